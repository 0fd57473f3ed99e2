//! Directories and files that other programs move, link and remove, and limits of the system.

use super::*;
use ringlog::{StorageError, TopicError};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

/// The directories in the storage's `topics`.
fn topic_dirs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("topics")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_directory_has_one_storage_whatever_its_path_is() {
    let dir = dir();
    let (data, link) = (dir.path().join("data"), dir.path().join("link"));
    let (_broker, _) = open(&data);
    symlink(&data, &link).unwrap();
    for path in [link, dir.path().join("./data/../data")] {
        let second = Broker::open(&path);
        assert_eq!(
            second.unwrap_err(),
            TopicError::Storage(StorageError::Locked { dir: path })
        );
    }
}

#[test]
fn a_topic_whose_directory_is_elsewhere_is_deleted() {
    let dir = dir();
    let data = dir.path().join("data");
    {
        let (broker, _) = open(&data);
        send(&broker.create_topic("t", small_ring()).unwrap(), 0, 10);
    }
    let elsewhere = dir.path().join("elsewhere");
    let topic = topic_dirs(&data).remove(0);
    fs::rename(&topic, &elsewhere).unwrap();
    symlink(&elsewhere, &topic).unwrap();
    let (broker, report) = open(&data);
    assert_eq!(report.records(), 10);
    broker.delete_topic("t").unwrap();
    assert!(topic_dirs(&data).is_empty());
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);
}

#[test]
fn a_directory_that_is_removed_under_a_storage_is_an_error() {
    let dir = dir();
    let data = dir.path().join("data");
    let (broker, _) = open_small(&data);
    let topic = broker.create_topic("t", small_ring()).unwrap();
    send(&topic, 0, 10);
    topic.flush(LONG).unwrap();
    fs::remove_dir_all(&data).unwrap();
    // What is in the open file goes on; the next file cannot be created.
    let mut producer = topic.producer();
    while producer.send(Record::new(&[7; 200])).is_ok() {}
    assert!(topic.is_closed());
    topic.flush(LONG).unwrap_err();
    broker.create_topic("u", small_ring()).unwrap_err();
    let storage = broker.storage().unwrap();
    storage.put_value("v", b"x").unwrap_err();
    storage.close().unwrap_err();
    let (_, report) = open(&data);
    assert_eq!(report.records(), 0);
}

#[test]
fn what_a_consumer_has_of_a_file_stays_readable_when_retention_removes_it() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let config = small_ring().retention_bytes(1);
    let topic = broker.create_topic("t", config).unwrap();
    // In one file, and then in others, but for the last.
    let sent = 20_000;
    send(&topic, 0, 100);
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let batch = consumer.poll(LONG).unwrap();
    assert_eq!(batch.first_offset(), Some(0));
    send(&topic, 100, sent);
    topic.flush(LONG).unwrap();
    topic.apply_retention();
    let start = topic.log_start_offset(0).unwrap();
    assert!(start > 100);
    for (offset, record) in batch.iter().enumerate() {
        assert_eq!(record.value_bytes(), offset.to_string().as_bytes());
    }
    let read = batch.len() as u64;
    let batch = consumer.poll(LONG).unwrap();
    assert_eq!(batch.lost() + read, batch.first_offset().unwrap());
    drop(consumer);
    read_all(&broker, "t", topic.log_start_offset(0).unwrap(), sent);
}

/// The environment variable by which the child knows what to do.
const CHILD: &str = "RINGLOG_FILES_CHILD";

/// The child: it may open few files.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else {
        return; // not a child
    };
    let config = Storage::dir(&dir).flush(Flush::Manual);
    let (broker, _) = Broker::open(config).unwrap();
    let partitions = 20;
    let config = small_ring().partitions(partitions);
    let topic = broker.create_topic("t", config).unwrap();
    // Leaves room for ten.
    let mut others = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        others.push(file);
    }
    others.truncate(others.len() - 10);
    let mut producer = topic.producer();
    for partition in 0..partitions {
        let record = Record::new("first").partition(partition);
        producer.send(record).unwrap();
    }
    let storage = broker.storage().unwrap().clone();
    while storage.faults().is_empty() {
        std::thread::yield_now();
    }
    let fault = storage.faults()[0].to_string();
    assert!(
        fault.contains("creating the file failed: Too many open files"),
        "{fault}"
    );
    drop(others);
    topic.flush(LONG).unwrap();
    assert!(!topic.is_closed());
}

#[test]
fn too_many_open_files_are_waited_for_and_nothing_is_lost() {
    let dir = dir();
    let limited = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" unusual::child --exact"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    assert!(limited.status.success(), "{limited:?}");
    let (_, report) = open(dir.path());
    assert_eq!(report.records(), 20);
}
