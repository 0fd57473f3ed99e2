//! What is durable of files that retention begins, of files that it removes, and of full ones.

use super::*;
use crate::disk::model::Op;
use crate::sync::lock_std;

#[test]
fn what_is_in_a_file_that_retention_has_begun_is_durable_after_a_sync() {
    for seed in 0..50 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 100_000);
        append(&files, 10, 0).unwrap();
        sync(&files).unwrap();
        let created = lock_std(&files.state).files[0].created_at;
        while write::now_ms() <= created {
            std::thread::yield_now();
        }
        // The first file is old enough to be ended. The one that is begun is not.
        assert_eq!(files.apply_retention(Some(1), None, created + 1), Ok(0));
        assert_eq!(files_in(&disk).len(), 2);
        append(&files, 10, 0).unwrap();
        sync(&files).unwrap();
        assert_eq!(files.durable_end(), 20);
        disk.restart();
        assert_has(&recover(&disk, 100_000).0, 0..20, 0);
    }
}

#[test]
fn a_file_that_was_given_up_on_a_full_disk_is_not_back_after_a_power_cut() {
    for seed in 0..50 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 9000);
        for _ in 0..20 {
            append(&files, 10, 0).unwrap();
        }
        sync(&files).unwrap();
        // There is no room for a `log-start`.
        disk.set_free(Some(0));
        assert_eq!(files.remove_oldest(), Ok(true));
        let start = files.start();
        assert!(start > 0);
        disk.restart();
        disk.set_free(None);
        let (files, found) = recover(&disk, 9000);
        assert_eq!(files.start(), start, "seed {seed}: {found:?}");
        assert_has(&files, start..200, 0);
    }
}

#[test]
fn on_a_full_disk_a_seal_that_was_not_synced_does_not_show_where_records_begin() {
    let mut removed = 0;
    for seed in 0..20 {
        for operations in 0..16 {
            let disk = ModelDisk::new(seed);
            let files = create(&disk, 9000);
            for _ in 0..4 {
                append(&files, 10, 0).unwrap();
            }
            // The process dies between the seals and their syncs.
            disk.stop_after(operations);
            let _ = sync(&files);
            disk.kill();
            let (files, _) = recover(&disk, 9000);
            disk.set_free(Some(0));
            removed += u64::from(files.remove_oldest().unwrap());
            let end = files.durable_end();
            disk.restart();
            disk.set_free(None);
            let (files, found) = recover(&disk, 9000);
            let left = files.written_end();
            let what = format!("seed {seed}, {operations}: {end}, {left}: {found:?}");
            assert!(left >= end, "{what}");
        }
    }
    assert!(removed > 0);
}

#[test]
fn on_a_full_disk_a_removal_is_not_lost_while_a_later_one_is_kept() {
    for seed in 0..60 {
        for operations in 0..10 {
            let disk = ModelDisk::new(seed);
            let files = create(&disk, 9000);
            for _ in 0..40 {
                append(&files, 10, 0).unwrap();
                sync(&files).unwrap();
            }
            // Removes files, whose names are not synced.
            files.delete_before(150).unwrap();
            disk.set_free(Some(0));
            disk.stop_after(operations);
            let _ = files.remove_oldest();
            disk.restart();
            disk.set_free(None);
            let (files, found) = recover(&disk, 9000);
            let what = format!("seed {seed}, {operations}: {found:?}");
            assert_eq!(files.written_end(), 400, "{what}");
            assert!(files.start() >= 150, "{what}");
        }
    }
}

#[test]
fn the_oldest_file_is_not_given_up_before_the_next_one_is_sealed() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    for _ in 0..6 {
        append(&files, 10, 0).unwrap();
    }
    let all = files_in(&disk);
    assert!(all.len() > 2);
    assert_eq!(files.remove_oldest(), Ok(false));
    assert_eq!(files_in(&disk), all);
    sync(&files).unwrap();
    assert_eq!(files.remove_oldest(), Ok(true));
    assert_eq!(files_in(&disk), all[1..]);
}

#[test]
fn a_start_that_was_not_synced_makes_nothing_durable() {
    for seed in 0..50 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 100_000);
        append(&files, 50, 0).unwrap();
        // The process dies when it is to sync the new name.
        disk.stop_after(4);
        files.delete_before(20).unwrap_err();
        disk.kill();
        let (files, _) = recover(&disk, 100_000);
        assert_eq!(files.start(), 20);
        let durable = files.durable_end();
        disk.restart();
        let (files, found) = recover(&disk, 100_000);
        assert!(files.written_end() >= durable, "seed {seed}: {found:?}");
    }
}

#[test]
fn room_is_reserved_in_a_file_that_was_recovered() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 1 << 20);
    append(&files, 10, 0).unwrap();
    let (files, _) = recover(&disk, 1 << 20);
    let reserved = disk.count(Op::Allocate);
    append(&files, 10, 0).unwrap();
    assert_eq!(disk.count(Op::Allocate), reserved + 1);
}

#[test]
fn a_failed_sync_of_the_directory_is_reported_though_all_was_synced() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    append(&files, 10, 0).unwrap();
    sync(&files).unwrap();
    disk.fail_next("sync_dir", std::io::ErrorKind::Other);
    let error = files.delete_before(5).unwrap_err();
    assert_eq!(sync(&files), Err(error));
}

#[test]
fn a_stopped_partition_is_not_synced_again() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    append(&files, 10, 0).unwrap();
    let error = std::io::Error::other("a failed sync");
    files.stop(StorageError::io("syncing", DIR, &error));
    assert!(files.begin_sync().is_none());
    assert_eq!(files.durable_end(), 0);
}

#[test]
fn a_full_file_that_was_not_sealed_is_written_further_without_a_loss() {
    for count in 1..40 {
        for seed in 0..20 {
            let disk = ModelDisk::new(seed);
            let files = create(&disk, 20_000);
            append(&files, 10, 0).unwrap();
            append(&files, count, 0).unwrap();
            // It gets its index, and no other file is begun.
            disk.fail_next("create", std::io::ErrorKind::Other);
            append(&files, 400, 0).unwrap_err();
            // The process dies before the seal is written.
            let syncs = disk.count(Op::Sync);
            disk.stop_after(2);
            sync(&files).unwrap_err();
            assert_eq!(disk.count(Op::Sync), syncs + 1);
            let durable = files.durable_end();
            assert_eq!(durable, 10 + count);
            disk.kill();
            let (files, _) = recover(&disk, 20_000);
            append(&files, 10, 0).unwrap();
            disk.restart();
            let (files, found) = recover(&disk, 20_000);
            let end = files.written_end();
            assert!(end >= durable, "seed {seed}, {count}: {found:?}");
            assert_has(&files, 0..end, 0);
        }
    }
}

#[test]
fn a_start_that_a_dead_process_has_stored_is_durable_before_files_are_removed_by_it() {
    for seed in 0..100 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 9000);
        while files_in(&disk).len() < 2 {
            append(&files, 10, 0).unwrap();
        }
        sync(&files).unwrap();
        let durable = files.durable_end();
        // The process dies when it is to sync the new name. The next one removes the first file.
        disk.stop_after(4);
        files.delete_before(durable - 1).unwrap_err();
        disk.kill();
        let (files, _) = recover(&disk, 9000);
        assert_eq!((files.start(), files_in(&disk).len()), (durable - 1, 1));
        disk.restart();
        let (files, found) = recover(&disk, 9000);
        assert_eq!(files.written_end(), durable, "seed {seed}: {found:?}");
    }
}
