//! What goes wrong between operations: writes that fail in part, errors that pass, names that are
//! durable in another order than they were made.

use super::*;
use crate::disk::model::Op;
use crate::disk::{DiskFile, Entry, Mapping};
use std::io::{self, ErrorKind};
use std::sync::Mutex;

/// The model disk, of which one write fails when a part is written: nothing is promised about that
/// part, and it may be everything.
#[derive(Clone)]
struct PartlyWritten {
    disk: ModelDisk,
    /// The bytes that the next write writes before it fails.
    next: Arc<Mutex<Option<usize>>>,
    /// What happens when a file is opened the next time, before it is.
    on_open: Arc<Mutex<Option<Hook>>>,
}

type Hook = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for PartlyWritten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.disk.fmt(f)
    }
}

impl PartlyWritten {
    fn new() -> PartlyWritten {
        PartlyWritten {
            disk: ModelDisk::new(1),
            next: Arc::default(),
            on_open: Arc::default(),
        }
    }

    fn fail_after(&self, bytes: usize) {
        *self.next.lock().unwrap() = Some(bytes);
    }

    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(PartlyWrittenFile {
            file,
            next: self.next.clone(),
        })
    }
}

#[derive(Debug)]
struct PartlyWrittenFile {
    file: Arc<dyn DiskFile>,
    next: Arc<Mutex<Option<usize>>>,
}

impl Disk for PartlyWritten {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.create(path)?))
    }
    fn open(&self, path: &Path, for_writing: bool) -> io::Result<Arc<dyn DiskFile>> {
        let hook = self.on_open.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(self.file(self.disk.open(path, for_writing)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        self.disk.lock(path)
    }
}

impl DiskFile for PartlyWrittenFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self.next.lock().unwrap().take() {
            None => self.file.write_at(bytes, at),
            Some(part) => {
                self.file.write_at(&bytes[..part.min(bytes.len())], at)?;
                Err(io::Error::other("the rest could not be written"))
            }
        }
    }
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(out, at)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    #[cfg(unix)]
    fn map(&self, len: u64) -> io::Result<Option<Mapping>> {
        self.file.map(len)
    }
}

fn create_on(disk: &PartlyWritten) -> Arc<PartitionFiles> {
    let disk = Arc::new(disk.clone());
    let files = PartitionFiles::create(disk, DIR.into(), name(), options(100_000), 0);
    Arc::new(files.unwrap())
}

#[test]
fn a_write_that_failed_in_part_hides_no_later_chunk_from_readers() {
    let disk = PartlyWritten::new();
    let files = create_on(&disk);
    append(&files, 10, 0).unwrap();
    // The header is written and the payload is not.
    disk.fail_after(100);
    append(&files, 10, 0).unwrap_err();
    sync(&files).unwrap();
    append(&files, 10, 0).unwrap();
    sync(&files).unwrap();
    assert_has(&files, 0..20, 0);
    disk.disk.restart();
    assert_has(&recover(&disk.disk, 100_000).0, 0..20, 0);
}

#[test]
fn a_write_that_failed_when_all_was_written_hides_no_later_chunk_from_recovery() {
    let disk = PartlyWritten::new();
    let files = create_on(&disk);
    append(&files, 10, 0).unwrap();
    disk.fail_after(usize::MAX);
    append(&files, 10, 0).unwrap_err();
    sync(&files).unwrap();
    // Meanwhile there was more to append.
    append(&files, 30, 0).unwrap();
    sync(&files).unwrap();
    assert_eq!(files.durable_end(), 40);
    disk.disk.restart();
    assert_has(&recover(&disk.disk, 100_000).0, 0..40, 0);
}

#[test]
fn an_error_that_passes_is_not_damage() {
    for operation in ["open", "read", "len"] {
        let disk = ModelDisk::new(1);
        let files = create(&disk, 9000);
        for _ in 0..50 {
            append(&files, 10, 0).unwrap();
        }
        sync(&files).unwrap();
        let (files, _) = recover(&disk, 9000);
        disk.fail_next(operation, ErrorKind::Other);
        // A reader moves past what is damaged.
        let found = files.read(0);
        assert!(!matches!(found, Found::Damaged { .. }), "{operation}");
        assert_has(&files, 0..500, 0);
    }
}

#[test]
fn retention_that_fails_stops_no_append() {
    for operation in ["create", "write", "allocate", "sync", "remove"] {
        let disk = ModelDisk::new(1);
        let files = create(&disk, 9000);
        append(&files, 10, 0).unwrap();
        sync(&files).unwrap();
        disk.fail_next(operation, ErrorKind::Other);
        let _ = files.apply_retention(Some(0), None, write::now_ms() + 1);
        append(&files, 10, 0).unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
}

#[test]
fn a_directory_that_could_not_be_synced_stops_the_partition() {
    type Removal = fn(&PartitionFiles) -> Result<u64, StorageError>;
    let removals: [Removal; 3] = [
        |files| files.apply_retention(Some(0), None, write::now_ms() + 1),
        |files| files.apply_retention(None, Some(1), 0),
        |files| files.delete_before(5).map(|()| 5),
    ];
    for removal in removals {
        let disk = ModelDisk::new(1);
        let files = create(&disk, 9000);
        for _ in 0..10 {
            append(&files, 10, 0).unwrap();
        }
        let durable = files.durable_end();
        disk.fail_next("sync_dir", ErrorKind::Other);
        let error = removal(&files).unwrap_err();
        assert!(error.to_string().contains("syncing the directory"));
        // The names that were to be synced may be lost, whatever another sync reports.
        assert_eq!(append(&files, 10, 0).unwrap_err(), error);
        assert_eq!(sync(&files).unwrap_err(), error);
        assert_eq!(files.durable_end(), durable);
        // Nor is more removed, which might leave a gap between the files.
        let left = files_in(&disk);
        assert_eq!(files.apply_retention(None, Some(1), 0), Err(error.clone()));
        assert_eq!(files.remove_oldest(), Err(error.clone()));
        assert_eq!(files.delete_before(95), Err(error));
        assert_eq!((files_in(&disk), files.start() < 95), (left, true));
    }
}

#[test]
fn a_file_that_could_not_be_begun_is_begun_again() {
    // The removal of the unfinished file fails too.
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    disk.fail_next("allocate", ErrorKind::StorageFull);
    append(&files, 10, 0).unwrap_err();
    append(&files, 10, 0).unwrap();
    let disk = PartlyWritten::new();
    let files = create_on(&disk);
    disk.fail_after(10);
    disk.disk.fail_next("remove", ErrorKind::Other);
    append(&files, 10, 0).unwrap_err();
    append(&files, 10, 0).unwrap();
}

#[test]
fn the_first_files_name_is_not_lost_before_the_second_one_is() {
    for seed in 0..200 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 9000);
        for _ in 0..20 {
            append(&files, 10, 0).unwrap();
        }
        disk.restart();
        let (files, found) = recover(&disk, 9000);
        assert_eq!(files.start(), 0, "seed {seed}: {found:?}");
    }
}

#[test]
fn what_retention_reports_durable_is_not_given_out_again() {
    for seed in 0..200 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 9000);
        for _ in 0..20 {
            append(&files, 10, 0).unwrap();
        }
        files.apply_retention(None, Some(1), 0).unwrap();
        let durable = files.durable_end();
        disk.restart();
        let (files, found) = recover(&disk, 9000);
        assert!(
            files.written_end() >= durable,
            "seed {seed}: {durable} {found:?}"
        );
    }
}

#[test]
fn a_full_disk_is_recovered() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 9000);
    for _ in 0..30 {
        append(&files, 10, 0).unwrap();
    }
    drop(files);
    disk.kill();
    // The index of the full file was not written.
    disk.set_free(Some(0));
    let recovered = try_recover(&disk, 9000).map(|(files, _)| files);
    assert_has(&recovered.unwrap(), 0..300, 0);
}

#[test]
fn what_was_cut_off_is_not_back_after_a_power_cut() {
    let mut back = 0;
    for seed in 0..300 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 100_000);
        append(&files, 10, 0).unwrap();
        append(&files, 10, 0).unwrap();
        let path = files_in(&disk)[0].clone();
        let mut bytes = disk.bytes(&path);
        bytes[format::FIRST_CHUNK as usize + 100] ^= 1;
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.put(&path, &bytes);
        let (files, found) = recover(&disk, 100_000);
        assert_eq!((found.end, found.cut_bytes > 0), (0, true));
        append(&files, 10, 0).unwrap();
        disk.restart();
        let (files, _) = recover(&disk, 100_000);
        back += u64::from(files.written_end() > 10);
    }
    assert_eq!(back, 0);
}

#[test]
fn a_stray_file_deletes_no_records() {
    let disk = ModelDisk::new(1);
    let files = create(&disk, 100_000);
    append(&files, 100, 0).unwrap();
    sync(&files).unwrap();
    files.delete_before(10).unwrap();
    disk.put(&Path::new(DIR).join(write::file_name(5)), b"something else");
    let (files, _) = recover(&disk, 100_000);
    assert_has(&files, 10..100, 0);
}

#[test]
fn a_start_of_another_partition_is_not_taken() {
    let disk = ModelDisk::new(1);
    let mut other = name();
    other.partition = 9;
    let dir = Path::new("/t/other");
    let files = PartitionFiles::create(
        Arc::new(disk.clone()),
        dir.into(),
        other,
        options(100_000),
        70,
    );
    drop(files.unwrap());
    let files = create(&disk, 100_000);
    append(&files, 50, 0).unwrap();
    sync(&files).unwrap();
    let start = disk.bytes(&dir.join(remove::LOG_START));
    disk.put(&Path::new(DIR).join(remove::LOG_START), &start);
    let (files, found) = recover(&disk, 100_000);
    assert_has(&files, 0..50, 0);
    assert_eq!(found.set_aside.len(), 1);
}

#[test]
fn a_file_that_retention_removes_while_it_is_looked_at_is_not_damaged() {
    let disk = PartlyWritten::new();
    let files = create(&disk.disk, 9000);
    for _ in 0..50 {
        append(&files, 10, 0).unwrap();
    }
    sync(&files).unwrap();
    let recovered =
        PartitionFiles::recover(Arc::new(disk.clone()), DIR.into(), name(), options(9000));
    let files = Arc::new(recovered.unwrap().0);
    // A reader has found the file, and is about to open it.
    let same = files.clone();
    *disk.on_open.lock().unwrap() = Some(Box::new(move || {
        assert!(same.apply_retention(None, Some(1), 0).unwrap() > 10);
    }));
    assert!(matches!(files.read(0), Found::Outside));
}

#[test]
fn a_removal_is_not_lost_while_a_later_one_is_kept() {
    for seed in 0..60 {
        for operations in 0..8 {
            for by_retention in [true, false] {
                let disk = ModelDisk::new(seed);
                let files = create(&disk, 9000);
                for _ in 0..40 {
                    append(&files, 10, 0).unwrap();
                    sync(&files).unwrap();
                }
                // Removes files, whose names are not synced.
                files.delete_before(150).unwrap();
                disk.stop_after(operations);
                if by_retention {
                    let _ = files.apply_retention(None, Some(40_000), 0);
                } else {
                    let _ = files.remove_oldest();
                }
                disk.restart();
                let (files, found) = recover(&disk, 9000);
                assert_eq!(
                    files.written_end(),
                    400,
                    "seed {seed}, {operations}: {found:?}"
                );
                assert!(files.start() >= 150);
            }
        }
    }
}

#[test]
fn a_failed_sync_is_known_until_a_recovery_has_ended() {
    for seed in 0..100 {
        for operations in 0..4 {
            let disk = ModelDisk::new(seed);
            let files = create(&disk, 100_000);
            append(&files, 30, 0).unwrap();
            sync(&files).unwrap();
            append(&files, 10, 0).unwrap();
            disk.fail_sync_once();
            files.stop(sync(&files).unwrap_err());
            disk.kill();
            // The next process dies while it recovers, and the one after that does not.
            disk.stop_after(operations);
            let _ = try_recover(&disk, 100_000);
            disk.kill();
            let (files, _) = recover(&disk, 100_000);
            append(&files, 10, 0).unwrap();
            sync(&files).unwrap();
            let end = files.durable_end();
            disk.restart();
            let (files, _) = recover(&disk, 100_000);
            assert_has(&files, 0..end, 0);
        }
    }
}

#[test]
fn records_that_a_dead_process_was_deleting_are_deleted_durably_by_the_next() {
    for seed in 0..100 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 100_000);
        append(&files, 50, 0).unwrap();
        sync(&files).unwrap();
        // The process dies when it is to sync the new name.
        let syncs = disk.count(Op::SyncDir);
        disk.stop_after(4);
        files.delete_before(20).unwrap_err();
        assert_eq!(disk.count(Op::SyncDir), syncs + 1);
        disk.kill();
        let (files, _) = recover(&disk, 100_000);
        assert_eq!(files.start(), 20);
        files.delete_before(20).unwrap();
        disk.restart();
        let (files, found) = recover(&disk, 100_000);
        assert_eq!(files.start(), 20, "seed {seed}: {found:?}");
    }
}

#[test]
fn a_seal_that_was_not_synced_does_not_show_where_records_begin() {
    for seed in 0..100 {
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
            if operations % 2 == 0 {
                files.remove_oldest().unwrap();
            } else {
                files.apply_retention(None, Some(20_000), 0).unwrap();
            }
            let end = files.durable_end();
            disk.restart();
            let (files, found) = recover(&disk, 9000);
            let left = files.written_end();
            assert!(
                left >= end,
                "seed {seed}, {operations}: {end}, {left}: {found:?}"
            );
        }
    }
}

#[test]
fn what_was_cut_off_by_a_process_whose_sync_failed_is_not_back() {
    for seed in 0..300 {
        let disk = ModelDisk::new(seed);
        let files = create(&disk, 100_000);
        append(&files, 10, 0).unwrap();
        append(&files, 10, 0).unwrap();
        let path = files_in(&disk)[0].clone();
        let mut bytes = disk.bytes(&path);
        bytes[format::FIRST_CHUNK as usize + 100] ^= 1;
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.put(&path, &bytes);
        disk.fail_sync_once();
        try_recover(&disk, 100_000).unwrap_err();
        disk.kill();
        // This process may see the file as it was cut, although it is not on the disk.
        let (files, _) = recover(&disk, 100_000);
        assert_eq!(files.written_end(), 0);
        append(&files, 10, 0).unwrap();
        disk.restart();
        let (files, found) = recover(&disk, 100_000);
        assert!(files.written_end() <= 10, "seed {seed}: {found:?}");
    }
}
