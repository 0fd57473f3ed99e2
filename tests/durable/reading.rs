//! Reading behind the ring: polls, seeks, and the way back into the ring.

use super::*;
use ringlog::{Destination, OffsetReset, Overflow, TopicPartition};

#[test]
fn a_consumer_reads_from_the_files_what_the_ring_does_not_retain() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let topic = broker.create_topic("t", small_ring()).unwrap();
    send(&topic, 0, 1000);
    assert_eq!(topic.log_start_offset(0).unwrap(), 0);
    read_all(&broker, "t", 0, 1000);
}

#[test]
fn a_consumer_goes_on_from_the_files_into_the_ring_and_back() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let (mut sent, mut next) = (0, 0);
    // Each round is of another length: the consumer is sometimes in the ring, and sometimes behind.
    for round in [1, 5, 100, 3, 40, 500, 2, 2, 64, 31] {
        send(&topic, sent, sent + round);
        sent += round;
        while next < sent {
            let batch = consumer.poll(LONG).unwrap();
            assert_eq!(batch.lost(), 0);
            for record in &batch {
                assert_eq!(record.value_bytes(), next.to_string().as_bytes());
                next += 1;
            }
        }
    }
    assert_eq!(consumer.position(("t", 0)).unwrap(), sent);
}

#[test]
fn a_seek_finds_every_offset() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    let mut values = Vec::new();
    for i in 0..300u64 {
        // Frames of several kinds.
        match i % 3 {
            0 => {
                let sent = producer.send(Record::new(b"single").key(b"k")).unwrap();
                assert_eq!(sent.offset, values.len() as u64);
                values.push(b"single".to_vec());
            }
            1 => {
                let numbers = [i, i + 1, i + 2];
                producer
                    .send_values(Destination::Partition(0), &numbers)
                    .unwrap();
                values.extend(numbers.map(|n| n.to_le_bytes().to_vec()));
            }
            _ => {
                let text = i.to_string();
                let records = [
                    Record::new(text.as_bytes()).key(b"k"),
                    Record::new(b"b").timestamp(i as i64),
                ];
                producer.send_batch(&records).unwrap();
                values.push(text.into_bytes());
                values.push(b"b".to_vec());
            }
        }
    }
    let mut consumer = broker
        .consumer(ConsumerConfig::new().max_poll_records(1))
        .unwrap();
    consumer.assign([("t", 0)]).unwrap();
    for (offset, value) in values.iter().enumerate() {
        consumer.seek(("t", 0), offset as u64).unwrap();
        let batch = consumer.poll(LONG).unwrap();
        let record = batch.iter().next().unwrap();
        assert_eq!(
            (record.offset(), record.value_bytes()),
            (offset as u64, &value[..])
        );
    }
}

#[test]
fn under_drop_oldest_the_files_have_what_the_copier_was_in_time_for() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let config = small_ring().overflow(Overflow::DropOldest);
    let topic = broker.create_topic("t", config).unwrap();
    let sent = 20_000;
    send(&topic, 0, sent);
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let (mut next, mut lost) = (0, 0);
    while next < sent {
        let batch = consumer.poll(LONG).unwrap();
        lost += batch.lost();
        next += batch.lost();
        for record in &batch {
            assert_eq!(record.offset(), next);
            assert_eq!(record.value_bytes(), next.to_string().as_bytes());
            next += 1;
        }
    }
    topic.flush(LONG).unwrap();
    drop((consumer, topic, broker));
    let (_, report) = open_small(dir.path());
    let partition = &report.topics[0].partitions[0];
    assert_eq!(partition.log_end, sent);
    assert!(lost < sent);
}

#[test]
fn consumers_of_a_durable_topic_hold_nothing_back() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let config = small_ring().max_block(LONG);
    let topic = broker.create_topic("t", config).unwrap();
    let mut alone = broker.consumer(ConsumerConfig::new()).unwrap();
    alone.subscribe(["t"]).unwrap();
    let mut member = broker.consumer(ConsumerConfig::new().group("g")).unwrap();
    member.subscribe(["t"]).unwrap();
    assert!(member.try_poll().unwrap().is_empty());
    send(&topic, 0, 1000); // many times the ring
    topic.add_partitions(2).unwrap();
    let mut producer = topic.producer();
    for _ in 0..200 {
        producer.send(Record::new(b"x").partition(1)).unwrap();
    }
    for consumer in [&mut alone, &mut member] {
        let mut read = 0;
        while read < 1200 {
            let batch = consumer.poll(LONG).unwrap();
            assert_eq!(batch.lost(), 0);
            read += batch.len();
        }
    }
}

#[test]
fn lookups_know_the_files() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    for i in 0..1000 {
        producer.send(Record::new(b"x").timestamp(i * 10)).unwrap();
    }
    let consumer = broker
        .consumer(ConsumerConfig::new().offset_reset(OffsetReset::Earliest))
        .unwrap();
    let partition = TopicPartition::new("t", 0);
    assert_eq!(
        consumer.beginning_offsets([&partition]).unwrap()[&partition],
        0
    );
    assert_eq!(
        consumer.end_offsets([&partition]).unwrap()[&partition],
        1000
    );
    for time in [0, 1, 9, 10, 11, 4999, 5000, 9990] {
        let found = topic.offset_for_time(0, time).unwrap().unwrap();
        let expected = (time as u64).div_ceil(10);
        assert_eq!(
            (found.offset, found.timestamp),
            (expected, expected as i64 * 10)
        );
    }
    assert_eq!(topic.offset_for_time(0, 9991).unwrap(), None);
}

#[test]
fn deleted_records_are_not_read_from_the_files() {
    let dir = dir();
    let (broker, _) = open_small(dir.path());
    let topic = broker.create_topic("t", small_ring()).unwrap();
    send(&topic, 0, 1000);
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert!(!consumer.poll(LONG).unwrap().is_empty());
    assert_eq!(topic.delete_records(0, 700).unwrap(), 700);
    let position = consumer.position(("t", 0)).unwrap();
    let batch = consumer.poll(LONG).unwrap();
    assert_eq!(batch.lost(), 700 - position);
    assert_eq!(batch.first_offset(), Some(700));
    read_all(&broker, "t", 700, 1000);
}
