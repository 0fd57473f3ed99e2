//! What names a durable broker creates, and that they outlive a power cut.

use super::*;
use crate::disk::model::Op;
use crate::error::TopicError;
use std::io::ErrorKind;
use std::path::Path;

#[test]
fn a_directory_above_the_storage_that_cannot_be_synced_is_an_error_unless_it_is_refused() {
    // The storage's directory and `topics` come first, then what is above.
    let open = |kind| {
        let disk = ModelDisk::new(1);
        let config = Storage::dir("/above/data").disk(Arc::new(disk.clone()));
        disk.fail_nth(Op::SyncDir, 3, kind);
        let opened = config.open();
        assert!(disk.has_failed(Op::SyncDir));
        opened.map(drop)
    };
    for refused in [
        ErrorKind::PermissionDenied,
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
    ] {
        open(refused).unwrap();
    }
    let error = open(ErrorKind::TimedOut).unwrap_err();
    assert!(
        matches!(&error, StorageError::Io { operation: "syncing the directory", path, kind, .. }
            if path == Path::new("/above") && *kind == ErrorKind::TimedOut),
        "{error}"
    );
}

/// Runs `make` on a disk, killed in each of its operations in turn; then `check`, which gets the
/// same disk in the next process, and what it is called.
fn killed_in_each_operation(
    seed: u64,
    prepare: impl Fn(&ModelDisk),
    make: impl Fn(&ModelDisk),
    check: impl Fn(&ModelDisk, &str),
) {
    for operation in 1..1000 {
        let disk = ModelDisk::new(seed);
        prepare(&disk);
        disk.stop_after(operation);
        make(&disk);
        let is_done = !disk.is_stopped();
        disk.kill();
        check(
            &disk,
            &format!("seed {seed}, killed in operation {operation}"),
        );
        if is_done {
            return;
        }
    }
    panic!("it does not end");
}

fn create(disk: &ModelDisk) {
    let (broker, _) = Broker::open(config(disk)).unwrap();
    broker.create_topic("t", small_ring()).unwrap();
}

#[test]
fn a_partition_that_a_killed_process_has_added_is_durable_in_the_next() {
    let add = |disk: &ModelDisk| -> Result<(), TopicError> {
        let (broker, _) = Broker::open(config(disk))?;
        let topic = broker.topic("t")?;
        match topic.partitions() {
            1 => topic.add_partitions(2),
            _ => Ok(()),
        }
    };
    let check = |disk: &ModelDisk, what: &str| {
        add(disk).unwrap();
        {
            let (broker, _) = Broker::open(config(disk)).unwrap();
            let topic = broker.topic("t").unwrap();
            let record = Record::new("first").partition(1);
            topic.producer().send(record).unwrap();
            topic.flush(LONG).unwrap();
        }
        disk.restart();
        let (broker, report) = Broker::open(config(disk)).unwrap();
        assert!(!report.has_damage(), "{what}: {report:?}");
        let topic = broker.topic("t").unwrap();
        assert_eq!(topic.partitions(), 2, "{what}");
        assert_eq!(topic.log_end_offset(1).unwrap(), 1, "{what}");
    };
    for seed in 0..10 {
        let add_killed = |disk: &ModelDisk| drop(add(disk));
        killed_in_each_operation(seed, create, add_killed, check);
    }
}

#[test]
fn a_partition_whose_directory_is_missing_is_durable_again() {
    let prepare = |disk: &ModelDisk| {
        create(disk);
        let topic = disk.names(Path::new("/data/topics")).remove(0);
        let topic = Path::new("/data/topics").join(topic);
        let partition = topic.join("p00000");
        for file in disk.names(&partition) {
            disk.remove(&partition.join(file));
        }
        disk.remove_dir(&partition).unwrap();
        disk.sync_dir(&topic).unwrap();
    };
    let open_killed = |disk: &ModelDisk| drop(Broker::open(config(disk)));
    let check = |disk: &ModelDisk, what: &str| {
        {
            let (broker, _) = Broker::open(config(disk)).unwrap();
            let topic = broker.topic("t").unwrap();
            topic.producer().send(Record::new("first")).unwrap();
            topic.flush(LONG).unwrap();
        }
        disk.restart();
        let (broker, _) = Broker::open(config(disk)).unwrap();
        let topic = broker.topic("t").unwrap();
        assert_eq!(topic.log_end_offset(0).unwrap(), 1, "{what}");
    };
    for seed in 0..10 {
        killed_in_each_operation(seed, prepare, open_killed, check);
    }
}

#[test]
fn a_value_that_a_killed_process_has_stored_is_durable_once_the_next_has_read_it() {
    let put = |disk: &ModelDisk, value: &[u8]| {
        let opened = config(disk).open();
        let _ = opened.and_then(|storage| storage.put_value("v", value));
    };
    let read = |disk: &ModelDisk| {
        let storage = config(disk).open().unwrap();
        storage.value("v").unwrap()
    };
    for seed in 0..10 {
        killed_in_each_operation(
            seed,
            |disk| put(disk, b"old"),
            |disk| put(disk, b"new"),
            |disk, what| {
                let value = read(disk);
                assert!(value.is_some(), "{what}");
                disk.restart();
                assert_eq!(read(disk), value, "{what}");
            },
        );
    }
}

#[test]
fn what_a_replacement_has_left_behind_is_used_again() {
    let disk = ModelDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let (path, temporary) = (Path::new("/d/small"), Path::new("/d/small.tmp"));
    disk.put(temporary, b"longer than what is stored next");
    let removed = disk.count(Op::RemoveFile);
    crate::disk::replace(&disk, path, b"new").unwrap();
    assert_eq!(disk.bytes(path), b"new");
    assert_eq!(disk.count(Op::RemoveFile), removed);
    // A full disk gets its room back.
    disk.set_free(Some(2));
    let error = crate::disk::replace(&disk, path, b"newer").unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(disk.names(Path::new("/d")), ["small"]);
    assert_eq!(disk.bytes(path), b"new");
}

#[test]
fn a_topic_that_a_killed_process_has_not_completed_is_no_damage() {
    let at_7 = || small_ring().begin_at(0, 7);
    let create_killed = |disk: &ModelDisk| {
        let opened = Broker::open(config(disk));
        drop(opened.and_then(|(broker, _)| broker.create_topic("t", at_7())));
    };
    let check = |disk: &ModelDisk, what: &str| {
        let (broker, report) = Broker::open(config(disk)).unwrap();
        assert!(!report.has_damage(), "{what}: {report:?}");
        let topic = broker.get_or_create_topic("t", at_7()).unwrap();
        let sent = topic.producer().send(Record::new("first")).unwrap();
        assert_eq!(sent.offset, 7, "{what}");
    };
    killed_in_each_operation(1, |_| {}, create_killed, check);
}
