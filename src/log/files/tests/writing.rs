//! Appending, reading, rolling, retention, full disks and failing operations.

use super::*;
use std::io::ErrorKind;

#[test]
fn what_was_appended_is_read_at_every_offset_also_after_a_restart() {
    let disk = ModelDisk::new(1);
    let mut files = create(&disk, 9000);
    for count in [1, 2, 30, 1, 100, 7, 64, 3] {
        append(&files, count, 0).unwrap();
        if count % 2 == 0 {
            sync(&files).unwrap();
        }
    }
    assert_has(&files, 0..208, 0);
    assert!(files_in(&disk).len() > 1, "it rolled");
    for _ in 0..3 {
        disk.kill();
        let (again, found) = recover(&disk, 9000);
        files = again;
        assert_has(&files, 0..208, 0);
        assert!(found.set_aside.is_empty(), "{found:?}");
        for at in 0..208 {
            let Found::Chunk(chunk) = files.read(at) else {
                panic!("nothing at {at}")
            };
            assert!((chunk.first_offset()..chunk.end()).contains(&at));
        }
        sync(&files).unwrap();
        assert_eq!(files.durable_end(), 208);
    }
    append(&files, 5, 0).unwrap();
    assert_has(&files, 0..213, 0);
    assert!(matches!(files.read(213), Found::Outside));
}

#[test]
fn a_chunk_after_a_sync_begins_on_a_page_of_its_own() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 1 << 20);
    let mut expected = format::FIRST_CHUNK;
    for round in 0..10 {
        append(&files, 3, 0).unwrap();
        let path = &files_in(&disk)[0];
        let bytes = disk.bytes(path);
        let chunk = &bytes[expected as usize..];
        let (header, _) = format::ChunkHeader::decode(chunk).unwrap();
        assert_eq!(u64::from(header.number), round);
        expected += header.stride();
        if round % 2 == 1 {
            sync(&files).unwrap();
            expected = expected.next_multiple_of(format::PAGE);
        }
    }
}

#[test]
fn a_file_that_was_sealed_is_not_scanned_after_a_power_cut() {
    for seed in 0..50 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 9000);
        for _ in 0..10 {
            append(&files, 10, 0).unwrap();
        }
        sync(&files).unwrap();
        disk.restart();
        let paths = files_in(&disk);
        assert!(paths.len() > 2);
        let last = disk.bytes(paths.last().unwrap()).len() as u64;
        let (_, found) = recover(&disk, 9000);
        assert_eq!(found.scanned_bytes, last, "seed {seed}");
    }
}

#[test]
fn gaps_are_kept() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    append(&files, 10, 0).unwrap();
    files.append_gap(5_000_000_000).unwrap();
    append(&files, 10, 0).unwrap();
    files.append_gap(3).unwrap(); // no gap
    sync(&files).unwrap();
    let gap = 10..5_000_000_000;
    assert_eq!(read_all(&files).gaps, std::slice::from_ref(&gap));
    let (files, found) = recover(&disk, 9000);
    assert_eq!(read_all(&files).records.len(), 20);
    assert_eq!(read_all(&files).gaps, std::slice::from_ref(&gap));
    assert_eq!(found.gaps, gap.end - gap.start);
}

#[test]
fn a_time_is_found_by_the_chunks_headers() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    for _ in 0..50 {
        append(&files, 10, 0).unwrap();
    }
    for (files, sealed) in [(files, false), (recover(&disk, 9000).0, true)] {
        for (time, from, found) in [
            (0, 0, Some(0)),
            (9, 0, Some(0)),
            (10, 0, Some(10)),
            (255, 0, Some(250)),
            (255, 253, Some(253)),
            (255, 300, Some(300)),
            (499, 0, Some(490)),
            (500, 0, None),
        ] {
            assert_eq!(files.find_time(time, from), found, "{time} {from} {sealed}");
        }
    }
}

#[test]
fn retention_removes_whole_files_and_the_next_offset_goes_on() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    for _ in 0..50 {
        append(&files, 10, 0).unwrap();
    }
    sync(&files).unwrap();
    let all = files_in(&disk).len();
    let now = write::now_ms();
    assert_eq!(files.apply_retention(Some(1 << 40), None, now).unwrap(), 0);
    // By bytes.
    let kept = files.apply_retention(None, Some(20_000), now).unwrap();
    assert!(kept > 0 && files.bytes() < 40_000 && files_in(&disk).len() < all);
    assert_has(&files, kept..500, 0);
    // By time: all of it, also what is in the file that is written.
    assert_eq!(files.apply_retention(Some(0), None, now + 1).unwrap(), 500);
    assert_has(&files, 500..500, 0);
    for _ in 0..3 {
        disk.restart();
        let (files, found) = recover(&disk, 9000);
        assert_eq!((found.start, found.end), (500, 500));
        assert_has(&files, 500..500, 0);
    }
    let (files, _) = recover(&disk, 9000);
    append(&files, 10, 0).unwrap();
    assert_has(&files, 500..510, 0);
}

#[test]
fn deleted_records_stay_deleted() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    for _ in 0..50 {
        append(&files, 10, 0).unwrap();
    }
    sync(&files).unwrap();
    files.delete_before(123).unwrap();
    assert_has(&files, 123..500, 0);
    files.delete_before(100).unwrap(); // it never goes back
    disk.restart();
    let (files, _) = recover(&disk, 9000);
    assert_has(&files, 123..500, 0);
    files.delete_before(500).unwrap();
    disk.restart();
    let (files, found) = recover(&disk, 9000);
    assert_eq!((found.start, found.end), (500, 500));
    append(&files, 1, 0).unwrap();
    assert_has(&files, 500..501, 0);
}

#[test]
fn retention_brings_no_deleted_record_back() {
    for operations in 0..30 {
        let disk = ModelDisk::new(operations);
        let files = create(&disk, 9000);
        for _ in 0..50 {
            append(&files, 10, 0).unwrap();
        }
        sync(&files).unwrap();
        // They are deleted, but their files are left. (The first removal is of a temporary file.)
        disk.fail_nth("remove", 1, ErrorKind::PermissionDenied);
        files.delete_before(125).unwrap_err();
        assert_eq!(files.start(), 125);
        disk.stop_after(operations);
        let _ = files.apply_retention(None, Some(20_000), 0);
        disk.kill();
        let (files, found) = recover(&disk, 9000);
        assert!(files.start() >= 125, "{operations}: {found:?}");
    }
}

#[test]
fn a_full_disk_refuses_a_chunk_and_takes_it_later() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 200_000);
    append(&files, 10, 0).unwrap();
    disk.set_free(Some(100_000));
    let mut refused = 0;
    for _ in 0..400 {
        if let Err(error) = append(&files, 10, 0) {
            assert!(error.is_full(), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    let end = files.written_end();
    assert_has(&files, 0..end, 0);
    assert!(files.remove_oldest().is_ok());
    disk.set_free(None);
    append(&files, 10, 0).unwrap();
    assert_eq!(files.written_end(), end + 10);
}

#[test]
fn a_full_disk_gets_room_from_retention() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    for _ in 0..50 {
        append(&files, 10, 0).unwrap();
    }
    sync(&files).unwrap();
    files.delete_before(3).unwrap();
    disk.set_free(Some(0));
    while append(&files, 10, 0).is_ok() {}
    let end = files.written_end();
    let start = files.apply_retention(None, Some(20_000), 0).unwrap();
    assert!(start > 3);
    append(&files, 10, 0).unwrap();
    assert_has(&files, start..end + 10, 0);
}

#[test]
fn an_operation_that_fails_is_an_error_and_loses_nothing_durable() {
    for operation in [
        "create", "open", "list", "rename", "remove", "sync_dir", "write", "read", "len",
        "set_len", "allocate", "sync",
    ] {
        let disk = ModelDisk::new(1);
        let files = create(&disk, 20_000);
        for _ in 0..40 {
            append(&files, 10, 0).unwrap();
        }
        sync(&files).unwrap();
        disk.fail_next(operation, ErrorKind::PermissionDenied);
        let mut failed = Vec::new();
        for _ in 0..60 {
            failed.extend(append(&files, 10, 0).err());
            failed.extend(sync(&files).err());
        }
        failed.extend(files.delete_before(20).err());
        failed.extend(try_recover(&disk, 20_000).err());
        for error in failed {
            let StorageError::Io { kind, path, .. } = &error else {
                panic!("{operation}: {error}")
            };
            assert_eq!(*kind, ErrorKind::PermissionDenied, "{operation}: {error}");
            assert!(path.starts_with("/t"), "{operation}: {error}");
        }
        disk.kill();
        let (files, found) = recover(&disk, 20_000);
        assert!(found.end >= 400, "{operation}: {found:?}");
        assert_eq!(read_all(&files).damaged, [], "{operation}");
    }
}
