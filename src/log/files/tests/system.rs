//! The same files on the system's disk, where they are mapped: what is read of damaged ones is the
//! same as on the model disk, where they are not.

use super::*;
use crate::disk::{Disk, FileSystem};
use std::fs;

const FILE_BYTES: u64 = 25_000;

/// Copies a partition's files from the model disk to a directory.
fn copy_out(disk: &ModelDisk, dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for path in disk.paths() {
        if path.starts_with(DIR) {
            fs::write(dir.join(path.file_name().unwrap()), disk.bytes(&path)).unwrap();
        }
    }
}

fn recover_in(dir: &Path) -> (Arc<PartitionFiles>, Recovery) {
    let system: Arc<dyn Disk> = Arc::new(FileSystem);
    let recovered = PartitionFiles::recover(system, dir.into(), name(), options(FILE_BYTES));
    let (files, found) = recovered.unwrap();
    (Arc::new(files), found)
}

/// A disk with sealed files, a gap, and an open file.
fn some_files() -> ModelDisk {
    let disk = ModelDisk::new(1);
    let files = create(&disk, FILE_BYTES);
    for round in 0..12 {
        append(&files, 12, 0).unwrap();
        if round == 5 {
            files.append_gap(files.written_end() + 9).unwrap();
        }
        sync(&files).unwrap();
    }
    assert_eq!(files_in(&disk).len(), 3);
    disk
}

/// What a recovery has set aside: names and offsets.
fn asides(found: &Recovery) -> Vec<(String, Option<u64>)> {
    let asides = found.set_aside.iter();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    asides
        .map(|aside| (name(&aside.path), aside.from))
        .collect()
}

#[test]
fn damage_is_the_same_whether_files_are_mapped_or_not() {
    let disk = some_files();
    let root = tempfile::tempdir().unwrap();
    let mut number = 0;
    let mut compare = |disk: &ModelDisk, what: &str| {
        number += 1;
        let dir = root.path().join(number.to_string());
        copy_out(disk, &dir);
        let ((modelled, in_model), (mapped, on_disk)) =
            (recover(disk, FILE_BYTES), recover_in(&dir));
        assert_eq!(
            (in_model.start, in_model.end, asides(&in_model)),
            (on_disk.start, on_disk.end, asides(&on_disk)),
            "{what}"
        );
        assert_eq!(read_all(&modelled), read_all(&mapped), "{what}");
        // A chunk that was checked once is not summed again; it is read as before.
        assert_eq!(read_all(&modelled), read_all(&mapped), "{what}, again");
        for files in [&modelled, &mapped] {
            append(files, 5, 0).unwrap();
            sync(files).unwrap();
        }
        assert_eq!(
            read_all(&modelled),
            read_all(&mapped),
            "{what}, and appended"
        );
        drop(mapped);
        fs::remove_dir_all(dir).unwrap();
    };
    compare(&disk.fork(), "as it is");
    for path in files_in(&disk) {
        let bytes = disk.bytes(&path);
        for at in (0..bytes.len()).filter(|&at| bytes[at] != 0).step_by(23) {
            let fork = disk.fork();
            fork.corrupt(&path, at as u64, 1 << (at % 8));
            compare(&fork, &format!("{path:?}, byte {at}"));
        }
        for len in (0..bytes.len()).step_by(1777) {
            let fork = disk.fork();
            fork.put(&path, &bytes[..len]);
            compare(&fork, &format!("{path:?}, cut at {len}"));
        }
    }
}

#[test]
fn a_file_is_read_while_it_grows_past_what_was_mapped() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("p");
    let system: Arc<dyn Disk> = Arc::new(FileSystem);
    let files = PartitionFiles::create(system, dir.clone(), name(), options(FILE_BYTES), 0);
    let files = Arc::new(files.unwrap());
    append(&files, 1, 0).unwrap();
    assert_has(&files, 0..1, 0);
    // A chunk far longer than a file, which is mapped by then.
    append(&files, 2, 0).unwrap();
    append(&files, 60_000, 0).unwrap();
    sync(&files).unwrap();
    append(&files, 60_000, 0).unwrap();
    assert_has(&files, 0..120_003, 0);
    sync(&files).unwrap();
    drop(files);
    let (files, found) = recover_in(&dir);
    assert!(found.set_aside.is_empty());
    assert_has(&files, 0..120_003, 0);
    // What a reader has of a file stays when the file is removed.
    let Found::Chunk(chunk) = files.read(0) else {
        panic!("nothing at 0")
    };
    let before = records(&chunk);
    let kept = files.apply_retention(None, Some(1), 0).unwrap();
    assert!(kept > 0 && matches!(files.read(0), Found::Outside));
    assert_eq!(records(&chunk), before);
    assert_has(&files, kept..120_003, 0);
}

#[test]
fn a_process_that_finds_the_mark_of_a_failed_sync_reads_the_disk() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("p");
    let system: Arc<dyn Disk> = Arc::new(FileSystem);
    let files = PartitionFiles::create(system, dir.clone(), name(), options(FILE_BYTES), 0);
    let files = Arc::new(files.unwrap());
    append(&files, 10, 0).unwrap();
    drop(files);
    fs::write(dir.join(write::SYNC_FAILED), []).unwrap();
    // This disk has not failed: what is in memory is written, or stays until it is.
    let (files, _) = recover_in(&dir);
    assert_has(&files, 0..10, 0);
    assert!(!dir.join(write::SYNC_FAILED).exists());
}
