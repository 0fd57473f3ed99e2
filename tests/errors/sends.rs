//! Records that cannot be appended: too large, misdirected, or without room.

use super::common::conditions::{CountSleepers, LONG, woken};
use super::common::{TOPIC, drain, make, subscribed};
use super::{tiny, unchanged};
use ringlog::{
    BatchError, ConsumeError, ConsumerConfig, Destination, PartitionChoice, Partitioner, Record,
    SendError, TopicError,
};
use std::error::Error;
use std::thread;
use std::time::Duration;

#[test]
fn a_record_larger_than_a_segment_is_refused_by_every_call_at_once() {
    let (_broker, topic) = make(tiny());
    let mut producer = topic.producer();
    let value = [7u8; 121];
    // 121 bytes are padded to 128, and the time takes 8 more; 120 bytes and a time just fit.
    let too_large = SendError::RecordTooLarge {
        size: 136,
        max: 128,
    };
    assert_eq!(producer.send(Record::new(&value)), Err(too_large.clone()));
    assert_eq!(
        producer.try_send(Record::new(&value)),
        Err(too_large.clone())
    );
    assert_eq!(
        producer.claim(Destination::Any, None, 121).unwrap_err(),
        too_large
    );
    // The largest possible length: no overflow, and no allocation.
    let max = SendError::RecordTooLarge {
        size: u64::MAX,
        max: 128,
    };
    assert_eq!(
        producer
            .claim(Destination::Any, None, usize::MAX)
            .unwrap_err(),
        max
    );
    match producer
        .claim(Destination::Any, Some(b"key"), 1 << 40)
        .unwrap_err()
    {
        SendError::RecordTooLarge { size, max: 128 } => assert!(size > 1 << 40),
        other => panic!("{other}"),
    }
    let key = [1u8; 120];
    assert!(matches!(
        producer.send(Record::new("").key(&key)),
        Err(SendError::RecordTooLarge {
            size: 136,
            max: 128
        })
    ));
    let refused = producer.send_batch(&[Record::new(&value)]).unwrap_err();
    let cause = SendError::BatchTooLarge {
        partition: 0,
        records: 1,
        size: 144,
        max_records: 4,
        max: 128,
    };
    let expected = BatchError {
        cause: cause.clone(),
        appended: 0,
        refused: vec![0],
    };
    assert_eq!(refused, expected);
    assert_eq!(
        producer
            .send_values(Destination::Any, &[value])
            .unwrap_err(),
        cause
    );
    unchanged(&topic, 0);
    producer.send(Record::new(&value[..120])).unwrap();
    unchanged(&topic, 1);
}

#[test]
fn a_batch_larger_than_a_segment_is_refused_as_a_whole() {
    let (_broker, topic) = make(tiny().partitions(2));
    let mut producer = topic.producer();
    let mut records = vec![Record::new("a").partition(0)];
    records.extend([Record::new("b").partition(1); 5]);
    let refused = producer.send_batch(&records).unwrap_err();
    assert_eq!((refused.appended, refused.refused), (0, (0..6).collect()));
    let SendError::BatchTooLarge {
        partition: 1,
        records: 5,
        size: 24,
        max_records: 4,
        max: 128,
    } = refused.cause
    else {
        panic!("{}", refused.cause)
    };
    let refused = producer
        .send_values(Destination::Partition(1), &[0u64; 5])
        .unwrap_err();
    assert!(matches!(
        refused,
        SendError::BatchTooLarge {
            partition: 1,
            records: 5,
            ..
        }
    ));
    assert_eq!(topic.log_end_offset(0), Ok(0));
    assert_eq!(topic.log_end_offset(1), Ok(0));
}

#[test]
fn a_partly_refused_batch_reports_exactly_which_records_are_missing() {
    let (broker, topic) = make(tiny().partitions(3));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    // Partition 1 is full; 0 and 2 are not.
    while producer.try_send(Record::new("x").partition(1)).is_ok() {}
    let end = topic.log_end_offset(1).unwrap();
    let batch: Vec<_> = [2, 0, 1, 0, 1, 2]
        .map(|p| Record::new("y").partition(p))
        .to_vec();
    let refused = producer.try_send_batch(&batch).unwrap_err();
    assert!(matches!(
        refused.cause,
        SendError::Full { partition: 1, .. }
    ));
    assert_eq!((refused.appended, &refused.refused), (2, &vec![0, 2, 4, 5]));
    assert_eq!(topic.log_end_offset(0), Ok(2));
    assert_eq!(topic.log_end_offset(1), Ok(end));
    assert_eq!(topic.log_end_offset(2), Ok(0));
    assert!(refused.source().is_some());
    // Sent again when there is room, the refused records complete the batch.
    drain(&mut consumer);
    let rest: Vec<_> = refused.refused.iter().map(|&i| batch[i]).collect();
    assert_eq!(producer.try_send_batch(&rest).unwrap().len(), 4);
    assert_eq!(drain(&mut consumer).len(), 4);
}

#[test]
fn a_partition_out_of_range_is_refused_wherever_it_comes_from() {
    #[derive(Debug)]
    struct Wrong;
    impl Partitioner for Wrong {
        fn choose(&self, _: Option<&[u8]>, partitions: u32) -> PartitionChoice {
            PartitionChoice::Partition(partitions + 4)
        }
    }
    let (broker, topic) = make(tiny().partitions(3).partitioner(Wrong));
    let mut producer = topic.producer();
    let wrong = |partition| SendError::PartitionOutOfRange {
        partition,
        partitions: 3,
    };
    assert_eq!(producer.send(Record::new("").partition(3)), Err(wrong(3)));
    assert_eq!(
        producer.send(Record::new("").partition(u32::MAX)),
        Err(wrong(u32::MAX))
    );
    assert_eq!(
        producer
            .claim(Destination::Partition(3), None, 1)
            .unwrap_err(),
        wrong(3)
    );
    assert_eq!(
        producer.send_values(Destination::Partition(9), &[1u8]),
        Err(wrong(9))
    );
    let batch = [Record::new("").partition(0), Record::new("").partition(3)];
    let refused = producer.send_batch(&batch).unwrap_err();
    assert_eq!((refused.cause, refused.appended), (wrong(3), 0));
    assert_eq!(refused.refused, [0, 1]);
    assert_eq!(producer.send(Record::new("").key("k")), Err(wrong(7)));
    assert_eq!(producer.send(Record::new("")), Err(wrong(7)));
    assert_eq!(
        producer.send_values(Destination::Any, &[1u8]),
        Err(wrong(7))
    );
    for partition in 0..3 {
        assert_eq!(topic.log_end_offset(partition), Ok(0));
    }
    let topic_name: std::sync::Arc<str> = TOPIC.into();
    let wrong = TopicError::PartitionOutOfRange {
        topic: topic_name.clone(),
        partition: 3,
        partitions: 3,
    };
    assert_eq!(topic.log_end_offset(3), Err(wrong.clone()));
    assert_eq!(topic.log_start_offset(3), Err(wrong));
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    let wrong = ConsumeError::PartitionOutOfRange {
        topic: topic_name,
        partition: 3,
        partitions: 3,
    };
    let partition = |p| ringlog::TopicPartition::new(TOPIC, p);
    assert_eq!(consumer.assign([partition(0), partition(3)]), Err(wrong));
    assert!(consumer.assignment().is_empty());
}

#[test]
fn a_time_before_1970_is_refused() {
    let (_broker, topic) = make(tiny());
    let mut producer = topic.producer();
    for timestamp in [-1, i64::MIN] {
        let invalid = SendError::InvalidTimestamp { timestamp };
        let record = Record::new("x").timestamp(timestamp);
        assert_eq!(producer.send(record), Err(invalid.clone()));
        let refused = producer
            .send_batch(&[Record::new("y"), record])
            .unwrap_err();
        assert_eq!((refused.cause, refused.appended), (invalid, 0));
    }
    unchanged(&topic, 0);
    producer.send(Record::new("x").timestamp(0)).unwrap();
}

#[test]
fn a_full_partition_refuses_at_once_or_after_max_block_and_reports_the_wait() {
    let limit = Duration::from_millis(60);
    let (broker, topic) = make(tiny().max_block(limit));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    let full = loop {
        match producer.try_send(Record::new("x")) {
            Ok(_) => {}
            Err(full) => break full,
        }
    };
    assert_eq!(
        full,
        SendError::Full {
            topic: TOPIC.into(),
            partition: 0,
            waited: Duration::ZERO
        }
    );
    assert_eq!(topic.log_end_offset(0), Ok(8));
    let refusals = [
        producer.send(Record::new("x")).unwrap_err(),
        producer.send_batch(&[Record::new("x")]).unwrap_err().cause,
        producer.send_values(Destination::Any, &[1u64]).unwrap_err(),
        producer.claim(Destination::Any, None, 1).unwrap_err(),
    ];
    for refused in refusals {
        let SendError::Full {
            partition: 0,
            waited,
            ..
        } = refused
        else {
            panic!("{refused}")
        };
        assert!(waited >= limit && waited < LONG, "{waited:?}");
    }
    assert!(producer.try_send_values(Destination::Any, &[1u64]).is_err());
    unchanged(&topic, 8);
    assert_eq!(drain(&mut consumer).len(), 8);
    producer.try_send(Record::new("x")).unwrap();
}

#[test]
fn a_waiting_send_ends_when_the_topic_is_deleted() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(tiny().wait(sleepers.strategy()).max_block(LONG));
    let _consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    while producer.try_send(Record::new("x")).is_ok() {}
    let waiting = sleepers
        .asleep(|| thread::spawn(move || woken("the send", || producer.send(Record::new("x")))));
    broker.delete_topic(TOPIC).unwrap();
    let closed = SendError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(waiting.join().unwrap(), Err(closed));
}
