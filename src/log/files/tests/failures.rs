//! Each operation of the disk fails in turn: the error says what failed, nothing durable is lost, and
//! what was appended is there.

use super::*;
use crate::disk::model::Op;
use std::collections::BTreeMap;
use std::io::ErrorKind;

const FILE_BYTES: u64 = 12_000;

/// What a caller has been promised.
#[derive(Clone, Debug, Default)]
struct Promised {
    written: u64,
    durable: u64,
    deleted: u64,
    /// Removed, or it may be.
    removed: u64,
}

/// What a storage's threads do with a partition. It ends where they would stop the partition.
fn work(files: &Arc<PartitionFiles>, promised: &mut Promised) -> Result<(), StorageError> {
    for round in 0..12u64 {
        append(files, 30, 0)?;
        promised.written = files.written_end();
        if round % 3 == 0 {
            if let Some(job) = files.begin_sync() {
                append(files, 7, 0)?;
                promised.written = files.written_end();
                promised.durable = job.run()?;
            }
        }
        if round == 5 {
            promised.removed = 40;
            files.delete_before(40)?;
            promised.deleted = 40;
        }
        if round == 8 {
            promised.removed = files.written_end();
            // It is reported, and tried again later.
            let failed = files.apply_retention(None, Some(30_000), 0).err();
            let again = files.apply_retention(None, Some(30_000), 0);
            if let Some(error) = failed.or(again.err()) {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Checks what is in the files against what was promised, whatever has failed.
fn check(files: &PartitionFiles, promised: &Promised, least: u64, what: &str) {
    let (start, end) = (files.start(), files.written_end());
    assert!(end >= least, "{what}: {end}, {promised:?}");
    assert!(
        start >= promised.deleted && start <= promised.removed,
        "{what}: {start}"
    );
    let back = read_all(files);
    assert_eq!((back.gaps, back.damaged), (vec![], vec![]), "{what}");
    let expected = (start..end).map(|offset| (offset, value(offset, 0)));
    assert!(back.records.into_iter().eq(expected), "{what}");
}

fn assert_names_the_failure(error: &StorageError, kind: ErrorKind, what: &str) {
    let StorageError::Io {
        kind: found,
        path,
        operation,
        ..
    } = error
    else {
        panic!("{what}: {error}")
    };
    assert_eq!(*found, kind, "{what}: {error}");
    assert!(path.starts_with("/t"), "{what}: {error}");
    assert!(!operation.is_empty(), "{what}: {error}");
}

/// Runs `run` with each operation of each kind failing in turn.
fn with_each_failure(
    disk: &ModelDisk,
    mut run: impl FnMut(&ModelDisk, Op, ErrorKind, &str),
) -> BTreeMap<Op, u64> {
    let mut counts = BTreeMap::new();
    for op in Op::ALL {
        for kind in [ErrorKind::PermissionDenied, ErrorKind::StorageFull] {
            let mut passed = 0;
            loop {
                let fork = disk.fork();
                fork.reseed(passed);
                fork.fail_nth(op, passed, kind);
                run(
                    &fork,
                    op,
                    kind,
                    &format!("{op:?} {passed} fails with {kind:?}"),
                );
                if !fork.has_failed(op) {
                    break;
                }
                passed += 1;
            }
            counts.insert(op, passed);
        }
    }
    counts
}

#[test]
fn each_operation_may_fail_while_a_partition_works() {
    let counts = with_each_failure(&ModelDisk::new(1), |disk, _, kind, what| {
        let mut promised = Promised::default();
        let created =
            { disk.create_dir(Path::new("/t")).is_ok() && disk.sync_dir(Path::new("/")).is_ok() };
        if !created {
            return;
        }
        let on = Arc::new(disk.clone());
        let options = options(FILE_BYTES);
        let files = match PartitionFiles::create(on, DIR.into(), name(), options, 0) {
            Ok(files) => Arc::new(files),
            Err(error) => return assert_names_the_failure(&error, kind, what),
        };
        let worked = work(&files, &mut promised);
        disk.heal();
        if let Err(error) = worked {
            assert_names_the_failure(&error, kind, what);
            check(&files, &promised, promised.written, what);
            files.stop(error.clone());
            assert_eq!(append(&files, 1, 0), Err(error), "{what}");
        } else {
            // What failed was of no consequence, or did not happen.
            // (Where the start is not stored for want of room, there is another way.)
            let is_full = kind == ErrorKind::StorageFull;
            assert!(is_full || !disk.has_failed(Op::Sync), "{what}");
            check(&files, &promised, promised.written, what);
        }
        // Another process, and then a power cut in place of that.
        let cut = disk.fork();
        if !disk.has_failed(Op::Sync) && !disk.has_failed(Op::SyncDir) {
            disk.kill();
            let (files, found) = recover(disk, FILE_BYTES);
            check(
                &files,
                &promised,
                promised.written,
                &format!("{what}: {found:?}"),
            );
            append(&files, 3, 0).unwrap();
        }
        for seed in 0..4 {
            let cut = cut.fork();
            cut.reseed(seed);
            cut.restart();
            let (files, found) = recover(&cut, FILE_BYTES);
            let what = format!("{what}, power cut {seed}: {found:?}");
            check(&files, &promised, promised.durable, &what);
            append(&files, 3, 0).unwrap();
            sync(&files).unwrap();
        }
    });
    for op in [
        Op::Create,
        Op::Write,
        Op::Sync,
        Op::SyncDir,
        Op::Allocate,
        Op::Rename,
    ] {
        assert!(counts[&op] > 0, "{counts:?}");
    }
    assert!(
        counts[&Op::RemoveFile] > 0 && counts[&Op::SetLen] > 0,
        "{counts:?}"
    );
}

/// A partition that has died with a torn tail, a damaged file, a stray one, and deleted records.
fn left_behind() -> ModelDisk {
    let disk = ModelDisk::new(1);
    let files = create(&disk, FILE_BYTES);
    let mut promised = Promised::default();
    work(&files, &mut promised).unwrap();
    disk.kill();
    let last = files_in(&disk).pop().unwrap();
    let mut bytes = disk.bytes(&last);
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[used + 100..used + 9000].fill(0xa5);
    disk.put(&last, &bytes);
    disk.put(&Path::new(DIR).join(write::file_name(1)), b"something else");
    disk
}

#[test]
fn each_operation_may_fail_while_a_partition_is_recovered() {
    let disk = left_behind();
    let expected = read_all(&recover(&disk.fork(), FILE_BYTES).0);
    assert!(!expected.records.is_empty());
    let counts = with_each_failure(&disk, |disk, _, kind, what| {
        if let Err(error) = try_recover(disk, FILE_BYTES) {
            assert_names_the_failure(&error, kind, what);
        } else {
            assert!(
                !disk.has_failed(Op::Open)
                    && !disk.has_failed(Op::Read)
                    && !disk.has_failed(Op::List),
                "{what}: it is taken for an answer"
            );
        }
        disk.heal();
        // Tried again, by the same process or another one.
        let again = disk.fork();
        assert!(
            read_all(&recover(&again, FILE_BYTES).0) == expected,
            "{what}"
        );
        disk.kill();
        assert!(read_all(&recover(disk, FILE_BYTES).0) == expected, "{what}");
    });
    for op in [
        Op::Open,
        Op::Read,
        Op::List,
        Op::Rename,
        Op::SetLen,
        Op::Sync,
        Op::SyncDir,
    ] {
        assert!(counts[&op] > 0, "{counts:?}");
    }
}

#[test]
fn each_operation_may_fail_while_a_file_is_read() {
    let disk = left_behind();
    recover(&disk, FILE_BYTES);
    disk.kill();
    let (_, found) = recover(&disk, FILE_BYTES);
    let mut failed = 0;
    for op in [Op::Open, Op::Len, Op::Read] {
        for passed in 0..12 {
            let (files, _) = recover(&disk, FILE_BYTES);
            disk.fail_nth(op, passed, ErrorKind::TimedOut);
            let (mut at, mut read) = (found.start, 0);
            while at < found.end {
                match files.read(at) {
                    Found::Chunk(chunk) => {
                        read += chunk.end() - at;
                        at = chunk.end();
                    }
                    // The next attempt is for the same offset.
                    Found::Unreadable { fault } => {
                        assert_names_the_failure(&fault, ErrorKind::TimedOut, "reading");
                        failed += 1;
                    }
                    _ => panic!("{op:?} {passed}: nothing at {at}"),
                }
            }
            assert_eq!(read, found.end - found.start);
            disk.kill();
        }
    }
    assert!(failed > 12, "{failed}");
}
