//! Directories of topics that are there twice, or whose topic is not known.

use super::*;
use std::fs;
use std::path::PathBuf;

/// A storage with topic `t`, which has ten records, and the topic's directory.
fn ten_records(data: &Path) -> PathBuf {
    let (broker, _) = open(data);
    send(&broker.create_topic("t", small_ring()).unwrap(), 0, 10);
    let mut entries = fs::read_dir(data.join("topics")).unwrap();
    entries.next().unwrap().unwrap().path()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn a_copy_of_a_topics_directory_is_reported_and_left_alone() {
    let dir = dir();
    let topic = ten_records(dir.path());
    // One before the original, by name, and one after it.
    for name in ["a-copy", "z.old"] {
        copy(&topic, &dir.path().join("topics").join(name));
    }
    for _ in 0..2 {
        let (broker, report) = open(dir.path());
        assert_eq!((report.topics.len(), report.records()), (1, 10));
        let found = report.not_served.iter().map(|left| left.path.file_name());
        let mut found: Vec<_> = found.flatten().collect();
        found.sort_unstable();
        assert_eq!(found, ["a-copy", "z.old"]);
        let reason = &report.not_served[0].reason;
        assert!(reason.contains(topic.to_str().unwrap()), "{reason}");
        assert!(report.has_damage());
        read_all(&broker, "t", 0, 10);
    }
}

#[test]
fn of_two_directories_of_a_topic_the_one_whose_record_is_whole_is_served() {
    let dir = dir();
    let topic = ten_records(dir.path());
    copy(&topic, &dir.path().join("topics/copy"));
    fs::write(topic.join("topic"), "damaged").unwrap();
    let (broker, report) = open(dir.path());
    assert_eq!((report.topics.len(), report.records()), (1, 10));
    assert!(!report.topics[0].settings_lost);
    assert_eq!(report.not_served[0].path, topic);
    read_all(&broker, "t", 0, 10);
}

#[test]
fn a_directory_whose_topic_is_not_known_is_reported_and_left_alone() {
    let dir = dir();
    let topic = ten_records(dir.path());
    fs::remove_file(topic.join("topic")).unwrap();
    let partition = topic.join("p00000");
    let files = || fs::read_dir(&partition).unwrap();
    for file in files() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let before = files().count();
    let (broker, report) = open(dir.path());
    assert_eq!(report.topics.len(), 0);
    assert_eq!(report.not_served[0].path, topic);
    assert!(report.has_damage());
    // The name may be used: by another directory.
    send(&broker.create_topic("t", small_ring()).unwrap(), 0, 3);
    drop(broker);
    let (broker, report) = open(dir.path());
    assert_eq!((report.records(), report.not_served.len()), (3, 1));
    read_all(&broker, "t", 0, 3);
    assert_eq!(files().count(), before);
}

#[test]
fn a_file_of_another_topic_does_not_name_one_whose_record_is_lost() {
    let dir = dir();
    let topic = ten_records(dir.path());
    let other = dir.path().join("topics").join(format!("t-{:032x}", 7));
    fs::rename(&topic, &other).unwrap();
    fs::remove_file(other.join("topic")).unwrap();
    for _ in 0..2 {
        let (_, report) = open(dir.path());
        assert_eq!(report.topics.len(), 0);
        assert_eq!(report.not_served[0].path, other);
    }
    // With its own name the directory is that topic's again.
    fs::rename(&other, &topic).unwrap();
    let (broker, report) = open(dir.path());
    assert_eq!((report.topics.len(), report.records()), (1, 10));
    read_all(&broker, "t", 0, 10);
}

#[test]
fn a_directory_that_is_named_nearly_as_a_partitions_is_none() {
    let dir = dir();
    let topic = ten_records(dir.path());
    let unknown = dir.path().join("topics/unknown");
    for name in ["p0", "p+0001", "p000000"] {
        fs::create_dir_all(unknown.join(name)).unwrap();
        fs::create_dir(topic.join(name)).unwrap();
    }
    fs::create_dir(topic.join("p9")).unwrap();
    let check = |settings_lost: bool| {
        let (broker, report) = open(dir.path());
        assert_eq!(report.topics[0].settings_lost, settings_lost);
        assert_eq!(report.not_served.len(), 0);
        assert_eq!(broker.topic("t").unwrap().partitions(), 1);
        broker.create_topic("u", small_ring()).unwrap();
        broker.delete_topic("u").unwrap();
    };
    check(false);
    fs::remove_file(topic.join("topic")).unwrap();
    check(true);
}

#[test]
fn a_damaged_record_of_a_topic_without_records_is_reported() {
    let dir = dir();
    drop(open(dir.path()).0.create_topic("t", small_ring()).unwrap());
    let mut entries = fs::read_dir(dir.path().join("topics")).unwrap();
    let topic = entries.next().unwrap().unwrap().path();
    fs::write(topic.join("topic"), "damaged").unwrap();
    let (_, report) = open(dir.path());
    assert_eq!(report.topics.len(), 0);
    assert_eq!(report.not_served[0].path, topic);
}
