//! Changes of durable topics: of the files of a partition, of recovery, and of a storage's threads.

mod checks;
mod no_difference;
mod recovery;
mod storage;
mod syncs;

pub(crate) use checks::CHECKS;
pub(crate) use no_difference::NO_DIFFERENCE;
pub(crate) use recovery::RECOVERY;
pub(crate) use storage::STORAGE;
pub(crate) use syncs::SYNCS;

use super::table::Mutant;

const WRITE: &str = "src/log/files/write.rs";
const REMOVE: &str = "src/log/files/remove.rs";
const ASIDE: &str = "src/log/files/aside.rs";
const RECOVER: &str = "src/log/files/recover.rs";
const FORMAT: &str = "src/log/files/format.rs";
const SCAN: &str = "src/log/files/scan.rs";
const FILE: &str = "src/log/files/file.rs";
const MEMORY: &str = "src/log/files/memory.rs";
const REPLACE: &str = "src/disk/replace.rs";
const CHUNK: &str = "src/log/files/chunk.rs";
const FILES: &str = "src/log/files/mod.rs";
const COPIER: &str = "src/storage/copier.rs";
const SYNCER: &str = "src/storage/syncer.rs";
const SHARED: &str = "src/storage/shared.rs";
const WAITING: &str = "src/storage/waiting.rs";
const STORAGE_MOD: &str = "src/storage/mod.rs";
const OPEN: &str = "src/broker/open.rs";
const TEXT: &str = "src/storage/text.rs";
const COMMITS: &str = "src/storage/commits.rs";

/// The tests of the files on the model disk: the fastest first. Left out: the test that
/// takes most, of each bit; `system.rs` has a part of them.
const FILES_TESTS: &str = "--lib -- log::files disk:: --skip each_bit --skip power:: \
                           --skip failures:: --skip removal --skip a_seal_that \
                           && --lib -- log::files disk:: --skip each_bit";

/// A change that the tests of the files must notice.
const fn files(
    name: &'static str,
    file: &'static str,
    old: &'static str,
    new: &'static str,
) -> Mutant {
    Mutant {
        name,
        file,
        old,
        new,
        tests: FILES_TESTS,
    }
}

/// A change that the tests of a broker on the model disk must notice.
const fn storage(
    name: &'static str,
    file: &'static str,
    old: &'static str,
    new: &'static str,
) -> Mutant {
    Mutant {
        tests: "--lib -- broker:: storage::",
        ..files(name, file, old, new)
    }
}

/// A change that the tests of directories notice.
const fn directories(
    name: &'static str,
    file: &'static str,
    old: &'static str,
    new: &'static str,
) -> Mutant {
    Mutant {
        tests: "--test durable -- directories::",
        ..files(name, file, old, new)
    }
}
