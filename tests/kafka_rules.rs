//! Kafka's rules: the partition, the offset and the position that its users expect.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::conditions::LIMIT;
use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    ConsumeError, ConsumerConfig, Destination, Header, Murmur2, OffsetReset, Overflow,
    PartitionChoice, Partitioner, Record, RoundRobin, Timestamps, TopicConfig, TopicPartition,
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[test]
fn with_murmur2_keys_land_where_kafkas_java_clients_put_them() {
    // org.apache.kafka.common.utils.UtilsTest.testMurmur2, and two more.
    let hashes = [
        ("21", -973_932_308_i32 as u32),
        ("foobar", -790_332_482_i32 as u32),
        ("abc", 479_470_107),
        ("", 0x106e_08d9),
        ("kafka", 0xd067_cf64),
    ];
    for partitions in [1, 2, 3, 10, 97, 1000] {
        let config = TopicConfig::new()
            .partitioner(Murmur2)
            .partitions(partitions);
        let (_broker, topic) = make(config.segment_records(8).segment_bytes(1024).segments(2));
        let mut producer = topic.producer();
        for (key, hash) in hashes {
            let expected = (hash & 0x7fff_ffff) % partitions;
            let at = producer.send(Record::new("v").key(key)).unwrap();
            assert_eq!(at.partition, expected, "{key:?} of {partitions}");
            let at = producer
                .send_batch(&[Record::tombstone(key)])
                .unwrap()
                .get(0);
            assert_eq!(at.unwrap().partition, expected);
            let route = Destination::Key(key.as_bytes());
            assert_eq!(
                producer.send_values(route, &[1u8]).unwrap().partition,
                expected
            );
            let claim = producer.claim(route, None, 1).unwrap();
            assert_eq!(claim.publish().partition, expected);
        }
    }
}

#[test]
fn an_empty_key_is_a_key_and_keyless_records_stick_to_a_partition_for_a_while() {
    let (_broker, topic) = make(
        TopicConfig::new()
            .partitions(5)
            .overflow(Overflow::DropOldest),
    );
    let mut producer = topic.producer();
    let value = [0; 1024];
    let home = producer
        .send(Record::new(&value).key(""))
        .unwrap()
        .partition;
    let mut visits = Vec::new();
    for _ in 0..200 {
        let at = producer.send(Record::new(&value).key("")).unwrap();
        assert_eq!(at.partition, home);
        visits.push(producer.send(Record::new(&value)).unwrap().partition);
    }
    // Runs of about 16 KiB, and every partition in turn.
    let runs: Vec<_> = visits.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
    assert!(
        runs[..runs.len() - 1]
            .iter()
            .all(|&n| (16..=17).contains(&n)),
        "{runs:?}"
    );
    visits.sort_unstable();
    visits.dedup();
    assert_eq!(visits.len(), 5);
}

#[test]
fn an_explicit_partition_beats_the_key_and_uses_no_turn_of_round_robin() {
    let (_broker, topic) = make(TopicConfig::new().partitions(3).partitioner(RoundRobin));
    let mut producer = topic.producer();
    let first = producer.send(Record::new("v")).unwrap().partition;
    for i in 1..30 {
        let explicit = producer
            .send(Record::new("v").key("k").partition(i % 3))
            .unwrap();
        assert_eq!(explicit.partition, i % 3);
        // A record with an explicit partition uses no turn.
        let record = Record::new("v").key("always the same");
        let at = producer.send(record).unwrap();
        assert_eq!(at.partition, (first + i) % 3);
    }
}

#[test]
fn a_custom_partitioner_chooses_for_every_record_without_a_partition() {
    #[derive(Debug)]
    struct ByLength;
    impl Partitioner for ByLength {
        fn choose(&self, key: Option<&[u8]>, partitions: u32) -> PartitionChoice {
            key.map_or(PartitionChoice::RoundRobin, |key| {
                PartitionChoice::Partition(key.len() as u32 % partitions)
            })
        }
    }
    let (_broker, topic) = make(TopicConfig::new().partitions(4).partitioner(ByLength));
    let mut producer = topic.producer();
    for (key, partition) in [("", 0), ("aa", 2), ("abcde", 1), ("abc", 3)] {
        let at = producer.send(Record::new("v").key(key)).unwrap();
        assert_eq!(at.partition, partition);
    }
    let mut partitions: Vec<_> = (0..4)
        .map(|_| producer.send(Record::new("v")).unwrap().partition)
        .collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2, 3]);
}

#[test]
fn a_partition_that_always_has_records_does_not_starve_the_others() {
    let (broker, topic) = make(TopicConfig::new().partitions(3).segment_records(1000));
    let mut consumer = subscribed(&broker, ConsumerConfig::new().max_poll_records(10));
    let mut producer = topic.producer();
    let mut others = [0u64; 3];
    let fill = [Record::new("busy").partition(0); 20];
    for round in 0..300 {
        // More than one poll returns: partition 0 has records at every poll.
        producer
            .try_send_batch(&fill)
            .map(|_| ())
            .unwrap_or_default();
        producer
            .send(Record::new("rare").partition(1 + round % 2))
            .unwrap();
        // The rare record comes within as many polls as there are partitions.
        let mut seen = false;
        for _ in 0..3 {
            let batch = consumer.try_poll().unwrap();
            others[batch.partition().unwrap() as usize] += batch.len() as u64;
            seen |= batch.partition() == Some(1 + round % 2);
        }
        assert!(seen, "starved in round {round}");
    }
    assert_eq!(others[1..], [150, 150]);
    assert!(others[0] > 1000);
}

#[test]
fn the_position_moves_past_a_polled_batch_and_seeking_back_replays_it() {
    let (broker, topic) = make(TopicConfig::new().segment_records(4));
    let mut producer = topic.producer();
    for i in 0..14u8 {
        producer
            .send(Record::new(&[i]).key(&[i]).timestamp(i.into()))
            .unwrap();
    }
    let mut consumer = subscribed(&broker, ConsumerConfig::new().max_poll_records(3));
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.len(), 3);
    assert_eq!(consumer.position((TOPIC, 0)), Ok(3));
    assert_eq!(consumer.lag((TOPIC, 0)), Ok(11));
    let rest = drain(&mut consumer);
    assert_eq!(rest.len(), 11);
    assert_eq!(consumer.lag((TOPIC, 0)), Ok(0));
    for from in 0..14 {
        consumer.seek((TOPIC, 0), from).unwrap();
        assert_eq!(consumer.position((TOPIC, 0)), Ok(from));
        let again = drain(&mut consumer);
        let expected: Vec<_> = (from..14).map(|i| (0, i, vec![i as u8])).collect();
        assert_eq!(again, expected);
    }
    consumer.seek_to_beginning((TOPIC, 0)).unwrap();
    assert_eq!(drain(&mut consumer).len(), 14);
    consumer.seek_to_end((TOPIC, 0)).unwrap();
    assert!(drain(&mut consumer).is_empty());
}

#[test]
fn subscribe_replaces_the_subscription_and_keeps_positions_that_stay() {
    let (broker, topic) = make(TopicConfig::new());
    let other = broker
        .create_topic("other", TopicConfig::new().partitions(2))
        .unwrap();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    topic.producer().send(Record::new("a")).unwrap();
    assert_eq!(drain(&mut consumer).len(), 1);
    consumer.subscribe(["other", TOPIC, TOPIC]).unwrap();
    let all = [("other", 0), ("other", 1), (TOPIC, 0)];
    assert_eq!(
        consumer.assignment(),
        all.map(|(t, p)| TopicPartition::new(t, p))
    );
    assert_eq!(consumer.position((TOPIC, 0)), Ok(1));
    consumer.subscribe(["other"]).unwrap();
    topic.producer().send(Record::new("b")).unwrap();
    other.producer().send(Record::new("c")).unwrap();
    let read = drain(&mut consumer);
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].2, b"c");
    // After unsubscribing and subscribing again, it begins at the log start.
    consumer.subscribe([TOPIC]).unwrap();
    assert_eq!(drain(&mut consumer).len(), 2);
}

#[test]
fn latest_sees_only_what_is_sent_after_the_subscription() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    producer.send(Record::new("before")).unwrap();
    let config = ConsumerConfig::new().offset_reset(OffsetReset::Latest);
    let mut consumer = subscribed(&broker, config);
    // `Latest` counts from the subscription, not from the first poll.
    producer.send(Record::new("after")).unwrap();
    assert_eq!(drain(&mut consumer), [(0, 1, b"after".to_vec())]);
}

#[test]
fn a_retained_position_is_in_range_though_the_segment_just_read_was_retired() {
    let config = TopicConfig::new().segments(2).segment_records(2);
    let (broker, topic) = make(config.overflow(Overflow::DropOldest));
    let config = ConsumerConfig::new().offset_reset(OffsetReset::None);
    let mut consumer = subscribed(&broker, config);
    consumer.seek_to_beginning((TOPIC, 0)).unwrap();
    let mut producer = topic.producer();
    let mut send = |n: u8| assert!(producer.send(Record::new(&[n])).is_ok());
    send(0);
    send(1);
    assert_eq!(consumer.try_poll().unwrap().len(), 2);
    // It has read the first segment to its end, and the log starts after that segment now.
    (2..5).for_each(&mut send);
    assert_eq!(topic.log_start_offset(0).unwrap(), 2);
    let seen = drain(&mut consumer);
    let offsets: Vec<_> = seen.iter().map(|&(_, offset, _)| offset).collect();
    assert_eq!(offsets, [2, 3, 4]);
    // A position before the log start is out of range.
    (5..20).for_each(&mut send);
    let wrong = consumer.try_poll().unwrap_err();
    assert!(
        matches!(
            wrong,
            ConsumeError::OffsetOutOfRange {
                position: 5,
                log_start: 16,
                ..
            }
        ),
        "{wrong}"
    );
    assert_eq!(consumer.position((TOPIC, 0)).unwrap(), 5);
}

#[test]
fn a_paused_partition_is_not_read_until_it_is_resumed() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    consumer.pause((TOPIC, 0)).unwrap();
    for partition in [0, 1, 0] {
        producer
            .send(Record::new("v").partition(partition))
            .unwrap();
    }
    assert_eq!(drain(&mut consumer), [(1, 0, b"v".to_vec())]);
    assert_eq!(consumer.lag((TOPIC, 0)), Ok(2));
    assert_eq!(consumer.assignment().len(), 2);
    consumer.resume((TOPIC, 0)).unwrap();
    assert_eq!(drain(&mut consumer).len(), 2);
}

#[test]
fn all_parts_of_a_record_come_back_as_they_were_sent() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let headers = [
        Header::new("h", b"1"),
        Header::new("h", b""),
        Header {
            name: "h",
            value: None,
        },
        Header::new("", b"nameless"),
    ];
    let records = [
        Record::new("value")
            .key("key")
            .headers(&headers)
            .timestamp(0),
        Record::new("").key(""),
        Record::tombstone("gone").headers(&headers[2..]),
        Record::tombstone(""),
        Record::new("plain").timestamp(i64::MAX),
    ];
    for record in records {
        producer.send(record).unwrap();
    }
    producer.send_batch(&records).unwrap();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.len(), 10);
    for (read, sent) in batch.iter().zip(records.iter().chain(&records)) {
        assert_eq!(read.value(), sent.value);
        assert_eq!(read.is_tombstone(), sent.is_tombstone());
        assert_eq!(read.key(), sent.key);
        assert_eq!(read.headers().collect::<Vec<_>>(), sent.headers);
        match sent.timestamp {
            Some(given) => assert_eq!(read.timestamp(), Some(given)),
            None => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                assert!((read.timestamp().unwrap() - now.as_millis() as i64).abs() < 10_000);
            }
        }
    }
}

#[test]
fn a_topic_with_given_times_adds_none_of_its_own() {
    let (broker, topic) = make(TopicConfig::new().timestamps(Timestamps::Given));
    let mut producer = topic.producer();
    assert_eq!(producer.send(Record::new("v")).unwrap().timestamp(), None);
    assert_eq!(
        producer
            .send(Record::new("v").timestamp(5))
            .unwrap()
            .timestamp(),
        Some(5)
    );
    let batch = [Record::new("v"), Record::new("v").timestamp(6)];
    let sent = producer.send_batch(&batch).unwrap();
    let times: Vec<_> = sent.iter().map(|at| at.timestamp()).collect();
    assert_eq!(times, [None, Some(6)]);
    let values = producer.send_values(Destination::Any, &[1u8]).unwrap();
    assert_eq!(values.timestamp(), None);
    let claim = producer.claim(Destination::Any, None, 1).unwrap();
    assert_eq!(claim.publish().timestamp(), None);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    let times: Vec<_> = batch.iter().map(|r| r.timestamp()).collect();
    assert_eq!(times, [None, Some(5), None, Some(6), None, None]);
}

#[test]
fn a_poll_waits_for_its_timeout_and_no_longer() {
    let (broker, _topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let start = Instant::now();
    assert!(consumer.poll(Duration::from_millis(50)).unwrap().is_empty());
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(start.elapsed() < LIMIT);
}
