//! Damage: flipped bits, files that are missing, doubled, swapped, cut or zeroed.

use super::*;

/// A disk with two sealed files and an open one.
fn small() -> (ModelDisk, u64) {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 25_000);
    for _ in 0..11 {
        append(&files, 12, 0).unwrap();
        sync(&files).unwrap();
    }
    sync(&files).unwrap();
    (disk, files.written_end())
}

/// Asserts that what is read is what was appended, or is reported to be damaged, without a hole
/// that is not.
fn assert_honest(files: &PartitionFiles, what: &str) -> ReadBack {
    let back = read_all(files);
    for (offset, found) in &back.records {
        assert_eq!(*found, value(*offset, 0), "{what}: offset {offset}");
    }
    let damaged: u64 = back
        .damaged
        .iter()
        .map(|range| range.end - range.start)
        .sum();
    let all = files.written_end() - files.start();
    assert_eq!(back.records.len() as u64 + damaged, all, "{what}");
    back
}

#[test]
fn each_bit_of_each_file_may_be_wrong() {
    let (disk, end) = small();
    let paths = files_in(&disk);
    assert_eq!(paths.len(), 3);
    let mut outcomes = std::collections::BTreeMap::new();
    for (number, path) in paths.iter().enumerate() {
        let bytes = disk.bytes(path);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                // What is zero and not part of a chunk is alike everywhere: a sample of it.
                if bytes[at] == 0 && (at * 8 + bit) % 61 != 0 {
                    continue;
                }
                let fork = disk.fork();
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                fork.put(path, &flipped);
                let what = format!("file {number}, byte {at}, bit {bit}");
                let recovered = try_recover(&fork, 25_000);
                if let Err(StorageError::NewerFormat { .. }) = &recovered {
                    panic!("{what}: its header's checksum is right?");
                }
                let (files, found) = recovered.unwrap();
                let back = assert_honest(&files, &what);
                let outcome = if found.end < end {
                    assert!(found.cut_bytes > 0 || !found.set_aside.is_empty(), "{what}");
                    "shorter"
                } else if !back.damaged.is_empty() {
                    "damaged"
                } else {
                    "harmless"
                };
                *outcomes.entry((number, outcome)).or_insert(0) += 1;
            }
        }
    }
    // A flip in a chunk of a sealed file is found when the chunk is read, and one in the open file
    // when it is scanned.
    for (number, outcome) in [(0, "damaged"), (1, "damaged"), (2, "shorter")] {
        assert!(outcomes.contains_key(&(number, outcome)), "{outcomes:?}");
    }
}

#[test]
fn a_file_may_be_cut_at_every_length_and_zeroed_in_the_middle() {
    let (disk, _) = small();
    for (number, path) in files_in(&disk).iter().enumerate() {
        let bytes = disk.bytes(path);
        for len in (0..bytes.len()).step_by(101).chain([bytes.len() - 1]) {
            let fork = disk.fork();
            fork.put(path, &bytes[..len]);
            let (files, _) = recover(&fork, 25_000);
            assert_honest(&files, &format!("file {number} cut at {len}"));
            let fork = disk.fork();
            let mut zeroed = bytes.clone();
            let end = (len + 700).min(bytes.len());
            zeroed[len..end].fill(0);
            fork.put(path, &zeroed);
            let (files, _) = recover(&fork, 25_000);
            assert_honest(&files, &format!("file {number} zeroed from {len}"));
        }
    }
}

#[test]
fn a_sealed_file_that_was_cut_is_not_sealed_when_it_is_as_long_again() {
    let (disk, _) = small();
    let paths = files_in(&disk);
    let second = &paths[1];
    disk.remove(&paths[2]);
    let sealed_end = recover(&disk.fork(), 25_000).1.end;
    let bytes = disk.bytes(second);
    for len in (0..bytes.len() as u64).step_by(64) {
        if len < format::FIRST_CHUNK {
            continue;
        }
        let fork = disk.fork();
        fork.put(second, &bytes[..len as usize]);
        let (files, found) = recover(&fork, 25_000);
        let end = files.written_end();
        // What a seal covers was durable.
        let is_reported = found.set_aside.iter().any(|aside| aside.was_durable);
        assert_eq!(is_reported, end < sealed_end, "{len}: {found:?}");
        append(&files, 3, 0).unwrap();
        sync(&files).unwrap();
        fork.restart();
        let (files, found) = recover(&fork, 25_000);
        assert!(found.set_aside.is_empty(), "{len}: {found:?}");
        assert_has(&files, 0..end + 3, 0);
    }
}

#[test]
fn garbage_behind_the_end_is_cut_off() {
    let (disk, end) = small();
    let path = files_in(&disk).pop().unwrap();
    let mut bytes = disk.bytes(&path);
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    bytes[used.next_multiple_of(64)..].fill(0xa5);
    disk.put(&path, &bytes);
    let (files, found) = recover(&disk, 25_000);
    assert!(found.cut_bytes > 0 && found.set_aside.is_empty());
    assert_has(&files, 0..end, 0);
}

#[test]
fn what_was_durable_behind_damage_is_kept_under_another_name() {
    for seed in 0..20 {
        let (disk, _) = small();
        disk.reseed(seed);
        let path = files_in(&disk).pop().unwrap();
        let bytes = disk.bytes(&path);
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        // Twice: what is set aside does not replace what was.
        let mut kept = Vec::new();
        for xor in [1, 2] {
            let mut damaged = bytes[..used].to_vec();
            damaged[format::FIRST_CHUNK as usize + 70] ^= xor;
            disk.put(&path, &damaged);
            let (_, found) = recover(&disk, 25_000);
            assert!(found.set_aside[0].was_durable, "{found:?}");
            let rest = damaged[format::FIRST_CHUNK as usize..].to_vec();
            kept.push((found.set_aside[0].path.clone(), rest));
        }
        disk.restart();
        for (path, rest) in kept {
            assert!(disk.bytes(&path) == rest, "seed {seed}: {path:?}");
        }
    }
}

#[test]
fn a_file_that_is_missing_in_the_middle_ends_what_is_served() {
    let (disk, _) = small();
    let paths = files_in(&disk);
    disk.remove_file(&paths[1]).unwrap();
    let (files, found) = recover(&disk, 25_000);
    let end = files.written_end();
    assert_has(&files, 0..end, 0);
    assert_eq!(found.set_aside.len(), 1);
    let aside = &found.set_aside[0];
    assert!(
        aside.reason.contains(&format!("ends at {end}")),
        "{aside:?}"
    );
    assert!(disk.paths().contains(&aside.path));
    // Nothing more is found the next time, and appending goes on.
    append(&files, 5, 0).unwrap();
    sync(&files).unwrap();
    let (files, found) = recover(&disk, 25_000);
    assert!(found.set_aside.is_empty());
    assert_has(&files, 0..end + 5, 0);
}

#[test]
fn files_of_another_place_are_set_aside() {
    let (disk, end) = small();
    let paths = files_in(&disk);
    // One copied under another base, one of another partition, and one that is no file of ringlog.
    let other = Path::new("/t/other");
    let mut named = name();
    named.partition = 9;
    let options = options(25_000);
    let files = PartitionFiles::create(Arc::new(disk.clone()), other.into(), named, options, 0);
    append(&Arc::new(files.unwrap()), 3, 0).unwrap();
    let foreign = disk.bytes(&other.join(write::file_name(0)));
    let doubled = disk.bytes(&paths[0]);
    disk.put(&Path::new(DIR).join(write::file_name(end + 1)), &doubled);
    disk.put(&Path::new(DIR).join(write::file_name(end + 2)), &foreign);
    disk.put(
        &Path::new(DIR).join(write::file_name(end + 3)),
        b"something else",
    );
    let (files, found) = recover(&disk, 25_000);
    assert_has(&files, 0..end, 0);
    let reasons: Vec<_> = found.set_aside.iter().map(|aside| &*aside.reason).collect();
    assert_eq!(
        reasons,
        [
            "its name is not that of its first offset, 0",
            "it is of partition 9 of topic \"orders\"",
            "it does not begin as ringlog's files do",
        ]
    );
}

#[test]
fn files_that_two_partitions_have_swapped_are_set_aside_in_both() {
    let (disk, _) = small();
    let mut other = name();
    other.partition = 4;
    let recover_other = |disk: &ModelDisk| {
        let disk = Arc::new(disk.clone());
        PartitionFiles::recover(disk, "/t/p00004".into(), other.clone(), options(25_000)).unwrap()
    };
    let files = Arc::new(recover_other(&disk).0);
    for _ in 0..11 {
        append(&files, 12, 5).unwrap();
        sync(&files).unwrap();
    }
    let end = files.written_end();
    drop(files);
    // The second ones, of the same base.
    let ours = files_in(&disk)[1].clone();
    let theirs = Path::new("/t/p00004").join(ours.file_name().unwrap());
    let (bytes, their_bytes) = (disk.bytes(&ours), disk.bytes(&theirs));
    disk.put(&ours, &their_bytes);
    disk.put(&theirs, &bytes);
    let (files, found) = recover(&disk, 25_000);
    let (other_files, other_found) = recover_other(&disk);
    for (files, found, life, partition) in
        [(&*files, found, 0, 4), (&other_files, other_found, 5, 3)]
    {
        assert!(0 < found.end && found.end < end, "{found:?}");
        assert_has(files, 0..found.end, life);
        let reason = &found.set_aside[0].reason;
        assert_eq!(
            *reason,
            format!("it is of partition {partition} of topic \"orders\"")
        );
        // And the files that do not follow any more.
        assert_eq!(found.set_aside.len(), 2, "{found:?}");
    }
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let (disk, _) = small();
    let path = files_in(&disk)[1].clone();
    let mut bytes = disk.bytes(&path);
    bytes[8..12].copy_from_slice(&[2, 0, 2, 0]);
    let crc = crc32c::crc32c(&bytes[..508]);
    bytes[508..512].copy_from_slice(&crc.to_le_bytes());
    disk.put(&path, &bytes);
    let error = try_recover(&disk, 25_000).unwrap_err();
    assert_eq!(
        error,
        StorageError::NewerFormat {
            path,
            found: 2,
            supported: 1
        }
    );
}

#[test]
fn an_index_that_is_damaged_is_made_again() {
    let (disk, end) = small();
    let path = &files_in(&disk)[0];
    let mut bytes = disk.bytes(path);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    disk.put(path, &bytes);
    let (files, found) = recover(&disk, 25_000);
    assert!(found.set_aside.is_empty());
    assert_has(&files, 0..end, 0);
}

#[test]
fn a_damaged_log_start_is_reported_and_deletes_nothing() {
    let (disk, end) = small();
    let (files, _) = recover(&disk, 25_000);
    files.delete_before(3).unwrap();
    let path = Path::new(DIR).join(remove::LOG_START);
    let mut bytes = disk.bytes(&path);
    bytes[9] ^= 1;
    disk.put(&path, &bytes);
    let (files, found) = recover(&disk, 25_000);
    assert_eq!(found.set_aside.len(), 1);
    assert_has(&files, 0..end, 0);
}

#[test]
fn a_recovery_that_is_interrupted_changes_nothing() {
    // A directory in which recovery has much to do: a damaged open file with a rest that was
    // durable, and a file of another place.
    let (disk, _) = small();
    let path = files_in(&disk).pop().unwrap();
    let mut bytes = disk.bytes(&path);
    bytes[format::FIRST_CHUNK as usize + 70] ^= 1;
    disk.put(&path, &bytes);
    disk.put(&Path::new(DIR).join(write::file_name(7)), b"something else");
    let expected = {
        let fork = disk.fork();
        let (files, found) = recover(&fork, 25_000);
        assert_eq!(found.set_aside.len(), 2, "{found:?}");
        read_all(&files)
    };
    let mut operation = 1;
    loop {
        let fork = disk.fork();
        let mut interrupted = 0;
        // Ten times in a row, each time a little later.
        for round in 0..10 {
            fork.stop_at(fork.operations() + operation + round);
            if try_recover(&fork, 25_000).is_err() {
                interrupted += 1;
            }
            if (operation + round) % 2 == 0 {
                fork.kill();
            } else {
                fork.restart();
            }
        }
        let (files, _) = recover(&fork, 25_000);
        assert_eq!(
            read_all(&files),
            expected,
            "stopped at operation {operation}"
        );
        if interrupted == 0 {
            break;
        }
        operation += 1;
    }
    assert!(operation > 5);
}
