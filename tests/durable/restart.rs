//! What is there after a restart.

use super::*;
use ringlog::{OffsetReset, StorageError, TopicError};

#[test]
fn everything_that_was_sent_before_the_storage_was_closed_is_there() {
    let dir = dir();
    for round in 0..5 {
        let (broker, report) = open_small(dir.path());
        assert_eq!(report.records(), round * 500);
        assert!(!report.has_damage());
        let topic = broker.get_or_create_topic("t", small_ring()).unwrap();
        read_all(&broker, "t", 0, round * 500);
        send(&topic, round * 500, (round + 1) * 500);
        read_all(&broker, "t", 0, (round + 1) * 500);
    }
}

#[test]
fn a_topic_has_its_configuration_and_its_partitions_again() {
    let dir = dir();
    {
        let (broker, _) = open(dir.path());
        let topic = broker
            .create_topic("a topic / of any name", small_ring().partitions(3))
            .unwrap();
        topic.add_partitions(5).unwrap();
        let mut producer = topic.producer();
        for partition in 0..5 {
            producer
                .send(Record::new(b"x").partition(partition))
                .unwrap();
        }
        let closed = broker.create_topic("closed", small_ring()).unwrap();
        send(&closed, 0, 3);
        closed.close();
        broker.create_topic("deleted", small_ring()).unwrap();
        broker.delete_topic("deleted").unwrap();
        broker
            .create_topic("in memory", TopicConfig::new().in_memory())
            .unwrap();
    }
    let (broker, report) = open(dir.path());
    assert_eq!(broker.topic_names(), ["a topic / of any name", "closed"]);
    let topic = broker.topic("a topic / of any name").unwrap();
    assert_eq!((topic.partitions(), topic.segment_records()), (5, 16));
    for partition in 0..5 {
        assert_eq!(topic.log_end_offset(partition).unwrap(), 1);
    }
    let closed = broker.topic("closed").unwrap();
    assert!(closed.is_closed());
    assert_eq!(closed.log_end_offset(0).unwrap(), 3);
    assert_eq!(report.topics.len(), 2);
}

#[test]
fn limits_that_were_changed_are_kept() {
    let dir = dir();
    let config = || {
        small_ring()
            .retention(Duration::from_secs(3600))
            .retention_bytes(1)
    };
    // What the ring has is not given up, so it has only the last records.
    let fill = |topic: &Topic| {
        let mut producer = topic.producer();
        for _ in 0..100 {
            producer.send(Record::new(&[1; 2000])).unwrap();
        }
        topic.flush(LONG).unwrap();
        topic.apply_retention();
        topic.log_start_offset(0).unwrap()
    };
    {
        let (broker, _) = open_small(dir.path());
        let topic = broker.create_topic("t", config()).unwrap();
        assert!(fill(&topic) > 0);
        topic.set_retention_bytes(None);
    }
    let start = {
        let (broker, report) = open_small(dir.path());
        let topic = broker.topic("t").unwrap();
        assert_eq!(fill(&topic), report.topics[0].partitions[0].log_start);
        topic.set_retention_bytes(Some(1));
        topic.set_retention(None);
        fill(&topic)
    };
    let (broker, report) = open_small(dir.path());
    assert!(report.topics[0].partitions[0].log_start >= start);
    assert!(fill(&broker.topic("t").unwrap()) > start);
}

#[test]
fn groups_go_on_where_they_had_committed() {
    let dir = dir();
    let config = || ConsumerConfig::new().group("g").auto_commit(false);
    {
        let (broker, _) = open(dir.path());
        let topic = broker.create_topic("t", small_ring()).unwrap();
        send(&topic, 0, 100);
        let mut consumer = broker.consumer(config().max_poll_records(42)).unwrap();
        consumer.subscribe(["t"]).unwrap();
        let mut read = 0;
        while read < 42 {
            let batch = consumer.poll(LONG).unwrap();
            read += batch.len();
            batch.commit().unwrap();
        }
    }
    let (broker, report) = open(dir.path());
    assert_eq!(report.groups, 1);
    let mut consumer = broker
        .consumer(config().offset_reset(OffsetReset::None))
        .unwrap();
    consumer.subscribe(["t"]).unwrap();
    let batch = consumer.poll(LONG).unwrap();
    let first = batch.first_offset().unwrap();
    assert!((42..84).contains(&first), "{first}");
}

#[test]
fn a_directory_has_one_storage_at_a_time() {
    let dir = dir();
    let (broker, _) = open(dir.path());
    let second = Broker::open(dir.path());
    let path = dir.path().to_owned();
    assert_eq!(
        second.unwrap_err(),
        TopicError::Storage(StorageError::Locked { dir: path })
    );
    broker.storage().unwrap().close().unwrap();
    open(dir.path());
}

#[test]
fn a_topic_of_a_storage_that_is_not_attached_is_not_overwritten() {
    let dir = dir();
    {
        let (broker, _) = open(dir.path());
        send(&broker.create_topic("t", small_ring()).unwrap(), 0, 10);
    }
    let storage = Storage::dir(dir.path()).open().unwrap();
    let broker = Broker::new();
    let refused = broker.create_topic("t", small_ring().storage(&storage));
    assert!(matches!(
        refused,
        Err(TopicError::Storage(StorageError::NotAttached { .. }))
    ));
    broker.attach(&storage).unwrap();
    read_all(&broker, "t", 0, 10);
    let other = broker
        .create_topic("u", small_ring().storage(&storage))
        .unwrap();
    assert!(other.storage().is_some());
    let memory = broker.create_topic("v", small_ring()).unwrap();
    assert!(memory.storage().is_none());
    assert!(matches!(
        memory.flush(LONG),
        Err(StorageError::NotDurable { .. })
    ));
}

#[test]
fn values_are_kept_beside_the_topics() {
    let dir = dir();
    {
        let storage = Storage::dir(dir.path()).open().unwrap();
        assert_eq!(storage.value("cluster").unwrap(), None);
        storage.put_value("cluster", b"first").unwrap();
        storage.put_value("cluster", b"second").unwrap();
        assert!(storage.put_value("../escape", b"x").is_err());
    }
    let storage = Storage::dir(dir.path()).open().unwrap();
    assert_eq!(
        storage.value("cluster").unwrap().as_deref(),
        Some(&b"second"[..])
    );
    std::fs::write(dir.path().join("values/cluster"), b"else").unwrap();
    assert!(matches!(
        storage.value("cluster"),
        Err(StorageError::Damaged { .. })
    ));
}

#[test]
fn a_wait_for_records_of_a_topic_ends_when_it_is_deleted() {
    let dir = dir();
    let (broker, _) = open(dir.path());
    let topic = broker.create_topic("t", small_ring()).unwrap();
    send(&topic, 0, 3);
    std::thread::scope(|scope| {
        // What it waits for never comes.
        let waits = || topic.wait_durable(0, 4, Duration::from_secs(60));
        let before = scope.spawn(waits);
        broker.delete_topic("t").unwrap();
        for ended in [before.join().unwrap(), waits()] {
            let topic = "t".into();
            assert_eq!(ended, Err(StorageError::Deleted { topic }));
        }
    });
}
