//! What a send or a flush refuses is the caller's, or stays gathered.

use super::*;
use ringlog::{CloseError, Destination, FlushError, PartitionChoice, Partitioner, SendError};

fn is_full<T: std::fmt::Debug>(sent: Result<T, SendError>) -> bool {
    matches!(sent, Err(SendError::Full { .. }))
}

#[test]
fn a_full_partition_refuses_a_send_only_when_the_buffer_is_full_too() {
    let (broker, topic) = make(tiny());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    // Four in the log, and two gathered.
    send_numbers(&mut producer, 0..6);
    assert_eq!((logged(&topic), producer.gathered()), (4, 2));
    for _ in 0..3 {
        assert!(is_full(producer.send(Record::new("refused"))));
        assert!(is_full(producer.try_send(Record::new("refused"))));
        assert!(is_full(producer.send_with_ticket(Record::new("refused"))));
        assert!(is_full(producer.send_now(Record::new("refused"))));
        let FlushError { cause, unsent } = producer.flush().unwrap_err();
        assert!(is_full::<()>(Err(cause)) && unsent == 2);
        assert!(producer.try_flush().is_err());
        let batch = [Record::new("refused"); 2];
        let refused = producer.send_batch(&batch).map(drop).unwrap_err();
        assert_eq!((refused.appended, refused.refused), (0, vec![0, 1]));
        assert!(is_full(
            producer.send_values(Destination::Any, b"refused").map(drop)
        ));
        assert!(is_full(producer.claim(Destination::Any, None, 7).map(drop)));
    }
    assert_eq!(topic.stats().partitions[0].refused_sends, 3 * 9);
    assert_eq!(values(&mut consumer), ["0", "1", "2", "3"]);
    consumer.try_poll().unwrap(); // gives the last segment up
    send_numbers(&mut producer, 6..7);
    assert_eq!(values(&mut consumer), ["4", "5"]);
    producer.flush().unwrap();
    assert_eq!(values(&mut consumer), ["6"]);
}

#[test]
fn a_full_partition_does_not_hold_up_the_others() {
    let (_broker, topic) = make(tiny().partitions(3));
    let _consumer = subscribed(&_broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    for _ in 0..6 {
        producer.send(Record::new("x").partition(0)).unwrap();
    }
    for partition in [1, 2] {
        producer
            .send(Record::new("y").partition(partition))
            .unwrap();
    }
    for _ in 0..2 {
        let error = producer.flush().unwrap_err();
        assert!(
            matches!(error.cause, SendError::Full { partition: 0, .. }),
            "{error}"
        );
        assert_eq!(error.unsent, 2);
    }
    assert_eq!(
        (topic.log_end_offset(1), topic.log_end_offset(2)),
        (Ok(1), Ok(1))
    );
}

#[test]
fn what_has_lingered_before_a_full_partition_lingers_once_more() {
    let clock = ringlog::ManualClock::new(1000);
    let (broker, topic) = make(tiny().partitions(2).clock(clock.clone()));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let config = GatheringConfig::new()
        .linger(Duration::from_millis(5))
        .batch_records(2);
    let mut producer = topic.producer().gathering(config);
    for _ in 0..5 {
        producer.send(Record::new("x").partition(0)).unwrap();
    }
    clock.advance(Duration::from_millis(5));
    producer.send(Record::new("y").partition(1)).unwrap();
    assert_eq!(producer.gathered(), 2, "the send is not disturbed");
    clock.advance(Duration::from_millis(5));
    let error = producer.flush_due().unwrap_err();
    assert!(
        matches!(error.cause, SendError::Full { partition: 0, .. }),
        "{error}"
    );
    assert_eq!((error.unsent, topic.log_end_offset(1)), (1, Ok(1)));
    assert_eq!(producer.linger_left(), Some(Duration::from_millis(5)));
    producer.flush_due().unwrap();
    assert_eq!(values(&mut consumer).len(), 5);
    consumer.try_poll().unwrap();
    clock.advance(Duration::from_millis(5));
    producer.flush_due().unwrap();
    assert_eq!((producer.gathered(), logged(&topic)), (0, 5));
}

#[test]
fn a_record_that_is_wrong_is_refused_and_the_others_stay() {
    #[derive(Debug)]
    struct Third;
    impl Partitioner for Third {
        fn choose(&self, key: Option<&[u8]>, _: u32) -> PartitionChoice {
            PartitionChoice::Partition(if key.is_some() { 3 } else { 0 })
        }
    }
    let config = TopicConfig::new().segment_bytes(1024).partitions(2);
    let (broker, topic) = make(config.partitioner(Third));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    send_numbers(&mut producer, 0..2);
    let fine = Record::new("x");
    assert_eq!(
        producer.send(fine.timestamp(-1)),
        Err(SendError::InvalidTimestamp { timestamp: -1 })
    );
    let out_of_range = |partition| SendError::PartitionOutOfRange {
        partition,
        partitions: 2,
    };
    assert_eq!(producer.send(fine.partition(2)), Err(out_of_range(2)));
    assert_eq!(producer.send(fine.key("k")), Err(out_of_range(3)));
    send_numbers(&mut producer, 2..3);
    let large = producer.send(Record::new(&[0; 2000]));
    assert!(matches!(
        large,
        Err(SendError::RecordTooLarge { max: 1024, .. })
    ));
    // With its timestamp it is larger than a segment.
    let large = producer.send_now(Record::new(&[0; 1020]));
    assert!(matches!(
        large,
        Err(SendError::RecordTooLarge { size: 1032, .. })
    ));
    assert_eq!(producer.gathered(), 3);
    producer.flush().unwrap();
    assert_eq!(values(&mut consumer), ["0", "1", "2"]);
}

#[test]
fn a_record_that_no_segment_holds_is_refused_for_that_also_when_the_partition_is_full() {
    let (broker, topic) = make(
        tiny()
            .segment_bytes(1024)
            .max_block(common::conditions::LONG),
    );
    let _consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    while producer.try_send(Record::new("x")).is_ok() {}
    common::conditions::woken("a send that cannot succeed", || {
        let large = producer.send(Record::new(&[0; 2000]));
        assert!(matches!(large, Err(SendError::RecordTooLarge { .. })));
    });
    producer.take_unsent();
}

#[test]
fn what_lingers_before_a_full_partition_is_no_refused_send() {
    let clock = ringlog::ManualClock::new(1000);
    let (broker, topic) = make(tiny().partitions(2).clock(clock.clone()));
    let _consumer = subscribed(&broker, ConsumerConfig::new());
    let config = GatheringConfig::new().batch_records(2);
    let mut producer = topic.producer().gathering(config);
    for _ in 0..5 {
        producer.send(Record::new("x").partition(0)).unwrap();
    }
    clock.advance(Duration::from_millis(5));
    producer.send(Record::new("y").partition(1)).unwrap();
    assert_eq!(topic.stats().partitions[0].refused_sends, 0);
    clock.advance(Duration::from_millis(5));
    assert!(producer.flush_due().is_err());
    assert_eq!(topic.stats().partitions[0].refused_sends, 1);
}

#[test]
fn a_closed_topic_refuses_records_and_gives_the_gathered_ones_back() {
    let (_broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer().gathering(by_four());
    let headers = [ringlog::Header::new("a", b"1")];
    let records = [
        Record::new("0").partition(1).timestamp(5),
        Record::tombstone("key").partition(0).headers(&headers),
        Record::new("").partition(0),
    ];
    for record in records {
        producer.send(record).unwrap();
    }
    topic.close();
    let closed = SendError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(producer.send(Record::new("x")), Err(closed.clone()));
    let error = producer.flush().unwrap_err();
    assert_eq!((&error.cause, error.unsent), (&closed, 3));
    assert_eq!(
        error.to_string(),
        "3 gathered records are not sent yet: topic \"t\" is closed"
    );
    let CloseError { cause, records } = producer.close().unwrap_err();
    assert_eq!(cause, closed);
    let partitions: Vec<_> = records.iter().map(|record| record.partition).collect();
    assert_eq!(partitions, [0, 0, 1]);
    let mut room = Vec::new();
    let tombstone = Record::tombstone("key").headers(&headers);
    assert_eq!(records[0].as_record(&mut room), tombstone);
    assert_eq!(records[1].as_record(&mut room), Record::new(""));
    assert_eq!(
        records[2].as_record(&mut room),
        Record::new("0").timestamp(5)
    );
}

#[test]
fn an_exclusive_producer_of_a_closed_topic_ends_its_log() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.exclusive_producer().unwrap().gathering(by_four());
    for _ in 0..5 {
        producer.send(Record::new("x")).unwrap();
    }
    topic.close();
    assert!(producer.try_flush().is_err());
    assert_eq!(drain_to_the_end(&mut consumer), 4);
    assert_eq!(producer.take_unsent().len(), 1);
}

fn drain_to_the_end(consumer: &mut ringlog::Consumer) -> usize {
    let mut read = 0;
    loop {
        match consumer.try_poll() {
            Ok(batch) => read += batch.len(),
            Err(error) => {
                assert!(
                    matches!(error, ringlog::ConsumeError::Closed { .. }),
                    "{error}"
                );
                return read;
            }
        }
    }
}

#[test]
fn records_that_are_taken_back_are_not_sent() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    send_numbers(&mut producer, 0..6);
    let unsent = producer.take_unsent();
    let values: Vec<_> = unsent
        .iter()
        .map(|record| record.value.clone().unwrap())
        .collect();
    assert_eq!(values, [b"4", b"5"]);
    assert!(producer.take_unsent().is_empty());
    producer.close().unwrap();
    assert_eq!(logged(&topic), 4);
}

#[test]
fn a_closed_topic_refuses_a_record_for_which_its_buffer_has_room() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    send_numbers(&mut producer, 0..1);
    topic.close();
    let closed = SendError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(producer.send(Record::new("1").partition(0)), Err(closed));
    assert_eq!(producer.gathered(), 1);
}
