//! Waiting until records are written.

use super::lifetimes::block_on;
use super::*;
use crate::topic::Topic;

/// A topic whose files are synced only by hand, with one record in memory.
fn topic_with_a_record(disk: &ModelDisk) -> (Broker, Topic) {
    let (broker, _) = Broker::open(config(disk).flush(Flush::Manual)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    topic.producer().send(Record::new("x")).unwrap();
    (broker, topic)
}

/// Waits for `offset`, as a task and as a thread. What is returned waits for the outcome of that, and
/// fails if it was not woken.
fn both_waits(topic: &Topic, offset: u64) -> [impl FnOnce() -> Result<(), StorageError>; 2] {
    [false, true].map(|is_task| {
        let topic = topic.clone();
        let (done, outcome) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let ended = match is_task {
                true => block_on(topic.wait_written_async(0, offset)),
                false => topic.wait_written(0, offset, LONG),
            };
            let _ = done.send(ended);
        });
        move || outcome.recv_timeout(LONG / 2).unwrap()
    })
}

#[test]
fn a_wait_until_records_are_written_syncs_nothing() {
    let disk = ModelDisk::new(1);
    let (_broker, topic) = topic_with_a_record(&disk);
    topic.wait_written(0, 1, LONG).unwrap();
    assert_eq!(topic.written_end(0), Ok(1));
    topic.producer().send(Record::new("y")).unwrap();
    block_on(topic.wait_written_async(0, 2)).unwrap();
    assert_eq!(topic.written_end(0), Ok(2));
    // What is written already is not waited for.
    topic.wait_written(0, 2, Duration::ZERO).unwrap();
    block_on(topic.wait_written_async(0, 1)).unwrap();
    assert_eq!(topic.durable_end(0), Ok(0));
}

#[test]
fn a_record_that_is_sent_later_ends_the_wait_for_it() {
    let disk = ModelDisk::new(1);
    let (_broker, topic) = topic_with_a_record(&disk);
    topic.wait_written(0, 1, LONG).unwrap();
    for round in 1..20 {
        let waits = both_waits(&topic, round + 1);
        if round % 2 == 0 {
            // So that the waits have begun, mostly.
            std::thread::sleep(Duration::from_millis(2));
        }
        topic.producer().send(Record::new("later")).unwrap();
        for wait in waits {
            wait().unwrap();
        }
    }
}

#[test]
fn a_wait_for_what_is_not_sent_says_how_far_the_records_are_stored() {
    let disk = ModelDisk::new(1);
    let (_broker, topic) = topic_with_a_record(&disk);
    topic.flush(LONG).unwrap();
    topic.producer().send(Record::new("y")).unwrap();
    topic.wait_written(0, 2, LONG).unwrap();
    let error = topic.wait_written(0, 9, Duration::ZERO).unwrap_err();
    assert_eq!(
        error.to_string(),
        "topic \"t\", partition 0: written up to offset 2 and durable up to 1, not yet up to 9"
    );
}

#[test]
fn a_wait_until_records_are_written_ends_with_their_files() {
    /// What ends the files of a topic, and what the wait returns.
    type End = (fn(&ModelDisk, &Broker), fn(&StorageError) -> bool);
    let fails: End = (
        |disk, broker| {
            disk.fail_next("write", std::io::ErrorKind::Other);
            let topic = broker.topic("t").unwrap();
            topic.producer().send(Record::new("fails")).unwrap();
        },
        |error| matches!(error, StorageError::Io { .. }),
    );
    let is_deleted: End = (
        |_, broker| broker.delete_topic("t").unwrap(),
        |error| matches!(error, StorageError::Deleted { .. }),
    );
    let is_closed: End = (
        |_, broker| broker.storage().unwrap().close().unwrap(),
        |error| matches!(error, StorageError::Closed { .. }),
    );
    for (end, is_expected) in [fails, is_deleted, is_closed] {
        let disk = ModelDisk::new(1);
        let (broker, topic) = topic_with_a_record(&disk);
        let waits = both_waits(&topic, 100);
        // So that the waits have begun, mostly.
        std::thread::sleep(Duration::from_millis(5));
        end(&disk, &broker);
        for wait in waits {
            let error = wait().unwrap_err();
            assert!(is_expected(&error), "{error}");
        }
        let error = topic.wait_written(0, 100, LONG).unwrap_err();
        assert!(is_expected(&error), "{error}");
    }
}

#[test]
fn a_wait_for_offsets_that_were_overwritten_ends_also_if_nothing_can_be_written_behind_them() {
    let disk = ModelDisk::new(1);
    let config = config(&disk).flush(Flush::Manual);
    let (broker, _) = Broker::open(config).unwrap();
    let ring = small_ring().overflow(Overflow::DropOldest);
    let topic = broker.create_topic("t", ring).unwrap();
    let mut producer = topic.producer();
    producer.send(Record::new("x")).unwrap();
    topic.wait_written(0, 1, LONG).unwrap();
    // Ten attempts a tenth of a second apart fail, so that records are overwritten meanwhile. Then there
    // is room for the chunk that says so, and for nothing behind it.
    let full = std::io::ErrorKind::StorageFull;
    (0..10).for_each(|_| disk.fail_next("write", full));
    (0..1000).for_each(|_| disk.fail_nth("write", 1, full));
    for _ in 0..100 {
        producer.send(Record::new("y")).unwrap();
    }
    for wait in both_waits(&topic, 2) {
        wait().unwrap();
    }
    assert!(topic.written_end(0).unwrap() < 101);
}
