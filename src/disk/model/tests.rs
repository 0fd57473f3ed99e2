//! The model disk: what each kind of fault may do, and what it may not.

use super::contents::SECTOR;
use super::{ModelDisk, Op};
use crate::disk::{Disk, DiskFile};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

const SEEDS: u64 = 200;

fn dir() -> &'static Path {
    Path::new("/d")
}

fn a() -> &'static Path {
    Path::new("/d/a")
}

fn b() -> &'static Path {
    Path::new("/d/b")
}

/// A disk with the directory `/d`, durably.
fn disk(seed: u64) -> ModelDisk {
    let disk = ModelDisk::new(seed);
    disk.create_dir(dir()).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// One that has the file `/d/a` with these bytes, durably.
fn disk_with(seed: u64, bytes: &[u8]) -> (ModelDisk, Arc<dyn DiskFile>) {
    let disk = disk(seed);
    let file = disk.create(a()).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(dir()).unwrap();
    (disk, file)
}

/// The outcomes over many seeds.
fn outcomes<T: Ord>(outcome: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..SEEDS).map(outcome).collect()
}

#[test]
fn what_was_synced_is_there_after_a_power_cut() {
    let bytes: Vec<u8> = (0..5000u32).map(|i| i as u8).collect();
    for seed in 0..SEEDS {
        let (disk, file) = disk_with(seed, &bytes);
        // Other sectors and names change, and are not synced.
        file.write_at(&[1; 100], 10 * SECTOR).unwrap();
        disk.create(b()).unwrap();
        disk.restart();
        let found = disk.bytes(a());
        assert_eq!(&found[..5000], &bytes[..], "seed {seed}");
        assert!(found[5000..].iter().all(|&byte| byte < 2), "seed {seed}");
    }
}

#[test]
fn a_sector_that_was_not_synced_is_old_new_zero_or_torn() {
    let kinds = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 1024]);
        file.write_at(&[2; 512], 512).unwrap();
        disk.restart();
        let found = disk.bytes(a());
        assert_eq!(&found[..512], &[1; 512]);
        let (first, last) = (found[512], found[1023]);
        let torn = found[512..].windows(2).filter(|two| two[0] != two[1]);
        assert!(torn.count() <= 1);
        (first, last)
    });
    assert_eq!(
        kinds,
        BTreeSet::from([(0, 0), (1, 1), (1, 2), (2, 1), (2, 2)])
    );
}

#[test]
fn sectors_are_lost_one_by_one() {
    let kinds = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 1024]);
        file.write_at(&[2; 1024], 0).unwrap();
        disk.restart();
        let found = disk.bytes(a());
        (found[..512] == [2; 512], found[512..] == [2; 512])
    });
    assert_eq!(kinds.len(), 4);
}

#[test]
fn a_version_between_two_writes_may_be_what_is_left() {
    let kinds = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 512]);
        file.write_at(&[2; 512], 0).unwrap();
        file.write_at(&[3; 512], 0).unwrap();
        disk.restart();
        disk.bytes(a())[0]
    });
    assert_eq!(kinds, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn a_length_that_was_not_synced_is_old_or_new() {
    let longer = |seed| {
        let (disk, file) = disk_with(seed, &[1; 10]);
        file.write_at(&[2; 10], 1000).unwrap();
        disk.restart();
        disk.bytes(a()).len()
    };
    assert_eq!(outcomes(longer), BTreeSet::from([10, 1010]));
    let allocated = |seed| {
        let (disk, file) = disk_with(seed, &[1; 512]);
        file.allocate(4096).unwrap();
        disk.restart();
        let found = disk.bytes(a());
        assert_eq!(&found[..512], &[1; 512]);
        found.len()
    };
    assert_eq!(outcomes(allocated), BTreeSet::from([512, 4096]));
}

#[test]
fn what_was_cut_may_be_back() {
    let kinds = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 2048]);
        file.set_len(512).unwrap();
        file.set_len(2048).unwrap();
        assert!(disk.bytes(a())[512..].iter().all(|&byte| byte == 0));
        disk.restart();
        let found = disk.bytes(a());
        assert_eq!(&found[..512], &[1; 512]);
        (found.len(), found.get(1000).copied())
    });
    let expected = [(512, None), (2048, Some(0)), (2048, Some(1))];
    assert_eq!(kinds, BTreeSet::from(expected));
}

#[test]
fn the_sector_from_within_which_a_file_becomes_longer_is_written() {
    let kinds = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 700]);
        file.allocate(4096).unwrap();
        disk.restart();
        let found = disk.bytes(a());
        assert_eq!(&found[..512], &[1; 512]);
        found[512]
    });
    assert_eq!(kinds, BTreeSet::from([0, 1]));
}

#[test]
fn the_sector_that_is_cut_within_is_written() {
    let kinds = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 512]);
        file.set_len(300).unwrap();
        disk.restart();
        disk.bytes(a())[0]
    });
    assert_eq!(kinds, BTreeSet::from([0, 1]));
}

#[test]
fn names_that_were_not_synced_are_there_or_not() {
    let created = |seed| {
        let disk = disk(seed);
        disk.create(a()).unwrap();
        disk.create(b()).unwrap();
        disk.restart();
        disk.names(dir())
    };
    assert_eq!(outcomes(created).len(), 4);
    let removed = |seed| {
        let (disk, _) = disk_with(seed, &[1]);
        disk.remove_file(a()).unwrap();
        assert!(disk.names(dir()).is_empty());
        disk.restart();
        disk.names(dir()).len()
    };
    assert_eq!(outcomes(removed), BTreeSet::from([0, 1]));
    let synced = |seed| {
        let disk = disk(seed);
        disk.create(a()).unwrap();
        disk.sync_dir(dir()).unwrap();
        disk.restart();
        disk.names(dir()).len()
    };
    assert_eq!(outcomes(synced), BTreeSet::from([1]));
    let in_a_lost_directory = |seed| {
        let disk = ModelDisk::new(seed);
        disk.create_dir(dir()).unwrap();
        disk.create(a()).unwrap();
        disk.sync_dir(dir()).unwrap();
        disk.restart();
        disk.open(a(), false).is_ok()
    };
    assert_eq!(outcomes(in_a_lost_directory), BTreeSet::from([false, true]));
}

#[test]
fn a_rename_is_there_or_not() {
    let kinds = outcomes(|seed| {
        let (disk, _) = disk_with(seed, &[1]);
        disk.put(b(), &[2]);
        disk.rename(a(), b()).unwrap();
        assert_eq!(disk.names(dir()), ["b"]);
        disk.restart();
        let names = disk.names(dir());
        (names.len(), disk.bytes(b()))
    });
    assert_eq!(kinds, BTreeSet::from([(1, vec![1]), (2, vec![2])]));
}

#[test]
fn a_process_that_dies_loses_nothing_but_its_handles_and_locks() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with(seed, &[1; 512]);
        file.write_at(&[2; 512], 0).unwrap();
        disk.create(b()).unwrap();
        let lock = disk.lock(Path::new("/d/LOCK")).unwrap();
        let again = disk.lock(Path::new("/d/LOCK"));
        assert_eq!(again.unwrap_err().kind(), ErrorKind::WouldBlock);
        disk.kill();
        assert_eq!(disk.bytes(a()), [2; 512]);
        assert_eq!(disk.names(dir()), ["LOCK", "a", "b"]);
        assert!(file.write_at(&[3], 0).is_err() && file.len().is_err());
        let again = disk.lock(Path::new("/d/LOCK")).unwrap();
        // The dead process's lock is not released twice.
        drop(lock);
        assert!(disk.lock(Path::new("/d/LOCK")).is_err());
        drop(again);
        assert!(disk.lock(Path::new("/d/LOCK")).is_ok());
    }
}

#[test]
fn the_machine_stops_at_an_operation_that_is_done_in_part_or_not_at_all() {
    let written = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 4]);
        disk.stop_after(1);
        disk.create(b()).unwrap();
        file.write_at(&[2; 4], 0).unwrap_err();
        assert!(disk.is_stopped());
        assert!(disk.list(dir()).is_err() && disk.open(a(), false).is_err());
        assert!(file.read_at(&mut [0], 0).is_err());
        disk.kill();
        assert!(!disk.is_stopped());
        disk.bytes(a())
    });
    assert_eq!(written.len(), 5);
    let done = |op: fn(&ModelDisk) -> bool| {
        outcomes(|seed| {
            let (disk, _) = disk_with(seed, &[1; 4]);
            disk.stop_after(0);
            assert!(!op(&disk));
            disk.kill();
            (disk.names(dir()), disk.names(Path::new("/")))
        })
    };
    let operations: [fn(&ModelDisk) -> bool; 4] = [
        |disk| disk.create(b()).is_ok(),
        |disk| disk.rename(a(), b()).is_ok(),
        |disk| disk.remove_file(a()).is_ok(),
        |disk| disk.create_dir(Path::new("/e")).is_ok(),
    ];
    for operation in operations {
        assert_eq!(done(operation).len(), 2);
    }
}

#[test]
fn a_sync_that_stops_may_have_written_some_sectors() {
    let kinds = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 1024]);
        file.write_at(&[2; 1024], 0).unwrap();
        disk.stop_after(0);
        file.sync().unwrap_err();
        disk.restart();
        disk.bytes(a()) == [2; 1024]
    });
    assert_eq!(kinds, BTreeSet::from([false, true]));
}

#[test]
fn after_a_sync_that_failed_a_good_one_says_nothing() {
    let files = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 512]);
        file.write_at(&[2; 512], 0).unwrap();
        disk.fail_sync_once();
        file.sync().unwrap_err();
        file.sync().unwrap();
        assert_eq!(disk.bytes(a()), [2; 512]);
        disk.restart();
        disk.bytes(a())[0]
    });
    assert_eq!(files, BTreeSet::from([0, 1, 2]));
    let reloaded = outcomes(|seed| {
        let (disk, file) = disk_with(seed, &[1; 1024]);
        file.write_at(&[2; 512], 0).unwrap();
        disk.fail_sync_once();
        file.sync().unwrap_err();
        file.write_at(&[3; 512], 512).unwrap();
        disk.kill();
        disk.open(a(), false).unwrap().reload().unwrap();
        let found = disk.bytes(a());
        assert_eq!(&found[512..], [3; 512]);
        disk.restart();
        assert_eq!(disk.bytes(a())[..512], found[..512]);
        found[0]
    });
    assert_eq!(reloaded, files);
    let names = outcomes(|seed| {
        let disk = disk(seed);
        disk.create(a()).unwrap();
        disk.fail_sync_once();
        disk.sync_dir(dir()).unwrap_err();
        disk.sync_dir(dir()).unwrap();
        assert_eq!(disk.names(dir()), ["a"]);
        disk.restart();
        disk.names(dir()).len()
    });
    assert_eq!(names, BTreeSet::from([0, 1]));
    // What is written after it is synced as ever.
    let (disk, file) = disk_with(1, &[1; 512]);
    disk.fail_sync_once();
    file.sync().unwrap_err();
    file.write_at(&[3; 512], 0).unwrap();
    file.sync().unwrap();
    disk.restart();
    assert_eq!(disk.bytes(a()), [3; 512]);
}

#[test]
fn a_full_disk_takes_what_fits() {
    for seed in 0..SEEDS {
        let (disk, file) = disk_with(seed, &[1; 100]);
        disk.set_free(Some(50));
        // In place, nothing is needed.
        file.write_at(&[2; 100], 0).unwrap();
        let error = file.write_at(&[3; 100], 100).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 150);
        let error = file.allocate(151).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        // Longer without room.
        file.set_len(1000).unwrap();
        assert!(file.write_at(&[3], 900).is_err());
        file.set_len(120).unwrap();
        file.allocate(150).unwrap();
        disk.remove_file(a()).unwrap();
        let other = disk.create(b()).unwrap();
        other.allocate(150).unwrap();
        assert!(other.allocate(151).is_err());
        disk.set_free(None);
        other.allocate(1000).unwrap();
    }
}

#[test]
fn one_operation_of_a_kind_fails() {
    for op in Op::ALL {
        let (disk, file) = disk_with(1, &[1; 4]);
        let run = || {
            let path = Path::new("/d/x");
            let dir_path = Path::new("/d/y");
            disk.create_dir(dir_path)?;
            let made = disk.create(path)?;
            made.allocate(10)?;
            made.write_at(&[1], 0)?;
            made.set_len(2)?;
            made.sync()?;
            disk.sync_dir(dir())?;
            made.len()?;
            made.read_at(&mut [0], 0)?;
            disk.open(path, true)?;
            disk.list(dir())?;
            disk.lock(b())?;
            disk.rename(path, a())?;
            disk.remove_file(a())?;
            disk.remove_dir(dir_path)
        };
        let before = disk.count(op);
        disk.fail_nth(op, 1, ErrorKind::Other);
        disk.fail_next(op, ErrorKind::TimedOut);
        assert_eq!(run().unwrap_err().kind(), ErrorKind::TimedOut, "{op:?}");
        assert_eq!(disk.count(op), before + 1);
        drop(file);
    }
    // The one after those that pass.
    let (disk, file) = disk_with(1, &[1; 4]);
    disk.fail_nth(Op::Len, 1, ErrorKind::Other);
    assert!(file.len().is_ok() && file.len().is_err() && file.len().is_ok());
}

#[test]
fn a_file_that_is_open_for_reading_is_not_written() {
    let (disk, _) = disk_with(1, &[1; 4]);
    let file = disk.open(a(), false).unwrap();
    let mut out = [0; 9];
    assert_eq!(file.read_at(&mut out, 1).unwrap(), 3);
    assert_eq!(&out[..4], &[1, 1, 1, 0]);
    assert!(file.write_at(&[2], 0).is_err() && file.set_len(0).is_err());
    assert_eq!(disk.bytes(a()), [1; 4]);
}

#[test]
fn a_fork_is_another_disk() {
    let (disk, file) = disk_with(1, &[1; 4]);
    let fork = disk.fork();
    fork.reseed(2);
    file.write_at(&[2; 4], 0).unwrap();
    assert_eq!(fork.bytes(a()), [1; 4]);
    fork.corrupt(a(), 3, 0xF0);
    assert_eq!(fork.bytes(a()), [1, 1, 1, 0xF1]);
    fork.restart();
    assert_eq!(fork.bytes(a()), [1, 1, 1, 0xF1]);
    fork.remove(a());
    fork.restart();
    assert!(fork.names(dir()).is_empty());
    assert_eq!(disk.bytes(a()), [2; 4]);
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = |seed| {
        let (disk, file) = disk_with(seed, &[1; 4096]);
        for at in 0..8 {
            file.write_at(&[2; 512], at * 512).unwrap();
            disk.create(&dir().join(at.to_string())).unwrap();
        }
        disk.restart();
        (disk.bytes(a()), disk.names(dir()))
    };
    assert_eq!(run(1), run(1));
    assert_eq!(outcomes(run).len() as u64, SEEDS);
}
