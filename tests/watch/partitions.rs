//! Partitions in a snapshot: records, bytes, rolls, stalls, refusals and aborted claims.

use super::common::{TOPIC, drain, make, subscribed};
use super::{named, only, send, small, stats_of};
use ringlog::{ConsumerConfig, Destination, Overflow, Record, SendError, Timestamps};
use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

#[test]
fn records_bytes_rolls_and_retired_segments_are_counted() {
    let (_broker, topic) = make(small());
    let new = only(&topic);
    assert_eq!(
        (new.log_start, new.log_end, new.retained_records()),
        (0, 0, 0)
    );
    assert_eq!((new.appended_bytes, new.retained_bytes), (0, 0));
    assert_eq!((new.rolls, new.retired_segments), (0, 0));

    send(&topic, 4); // full, and not rolled yet
    assert_eq!((only(&topic).rolls, only(&topic).appended_bytes), (0, 32));

    send(&topic, 7); // 11: segments of 4, 4 and 3
    let stats = only(&topic);
    assert_eq!((stats.log_start, stats.log_end), (0, 11));
    assert_eq!((stats.appended_records, stats.appended_bytes), (11, 88));
    assert_eq!((stats.retained_bytes, stats.rolls), (88, 2));

    send(&topic, 6); // 17: two segments retired, and one record in the fifth
    let stats = only(&topic);
    assert_eq!((stats.log_start, stats.log_end), (8, 17));
    assert_eq!((stats.appended_records, stats.appended_bytes), (17, 136));
    assert_eq!((stats.retained_records(), stats.retained_bytes), (9, 72));
    assert_eq!((stats.rolls, stats.retired_segments), (4, 2));
}

#[test]
fn bytes_are_counted_by_partition_with_padding_and_times() {
    let (_broker, topic) = make(small().partitions(2).timestamps(Timestamps::Append));
    let mut producer = topic.producer();
    producer.send(Record::new("five!").partition(1)).unwrap(); // 8 bytes, and 8 for the time
    producer
        .send_values(Destination::Partition(1), &[1u64, 2])
        .unwrap(); // 16 bytes of header, and 16 of values
    let stats = topic.stats();
    assert_eq!(
        (
            stats.partitions[0].appended_bytes,
            stats.partitions[0].log_end
        ),
        (0, 0)
    );
    assert_eq!(
        (
            stats.partitions[1].appended_bytes,
            stats.partitions[1].log_end
        ),
        (48, 3)
    );
    assert_eq!((stats.max_records, stats.max_bytes), (12, 3 * 1024));
    assert_eq!(
        (stats.producers, stats.memory_bytes),
        (1, topic.memory_bytes() as u64)
    );
    assert_eq!(
        (&*stats.name, stats.overflow),
        (TOPIC, Overflow::Backpressure)
    );
}

#[test]
fn offsets_continue_from_the_first_one_and_counters_from_zero() {
    let (_broker, topic) = make(small().begin_at(1_000, 5_000));
    send(&topic, 17);
    let stats = only(&topic);
    assert_eq!(
        (stats.log_start, stats.log_end, stats.appended_records),
        (5_008, 5_017, 17)
    );
    assert_eq!(
        (stats.rolls, stats.retired_segments, stats.appended_bytes),
        (4, 2, 136)
    );
}

#[test]
fn added_partitions_have_their_own_counters() {
    let (_broker, topic) = make(small());
    send(&topic, 30);
    topic.add_partitions(2).unwrap();
    let mut producer = topic.producer();
    for _ in 0..5 {
        producer.send(Record::new(&[0; 8]).partition(1)).unwrap();
    }
    let added = topic.stats().partitions[1];
    assert_eq!(
        (
            added.partition,
            added.appended_records,
            added.appended_bytes
        ),
        (1, 5, 40)
    );
    assert_eq!((added.retained_bytes, added.rolls), (40, 1));
}

#[test]
fn retention_and_deletion_show() {
    let (_broker, topic) = make(small().retention(Duration::ZERO));
    send(&topic, 9);
    topic.apply_retention();
    let stats = only(&topic);
    assert_eq!(
        (
            stats.log_start,
            stats.retired_segments,
            stats.retained_bytes
        ),
        (8, 2, 8)
    );
    topic.delete_records(0, 9).unwrap();
    let stats = only(&topic);
    assert_eq!(
        (stats.log_start, stats.log_end, stats.retained_bytes),
        (9, 9, 8)
    );
    assert_eq!((stats.appended_records, stats.appended_bytes), (9, 72));
}

#[test]
fn each_send_without_room_and_each_stalled_roll_is_counted_once() {
    let (broker, topic) = make(small().max_block(Duration::from_millis(5)));
    let _reader = subscribed(&broker, ConsumerConfig::new());
    send(&topic, 12);
    let stats = only(&topic);
    assert_eq!(
        (
            stats.blocked_sends,
            stats.refused_sends,
            stats.reader_stalls
        ),
        (0, 0, 0)
    );

    let mut producer = topic.producer();
    for refused in 1..=3 {
        let full = producer.try_send(Record::new("")).unwrap_err();
        assert!(matches!(full, SendError::Full { .. }));
        let stats = only(&topic);
        assert_eq!((stats.blocked_sends, stats.refused_sends), (0, refused));
        assert_eq!(stats.reader_stalls, 1, "the same roll");
    }
    // It looks for room many times while it waits.
    assert!(producer.send(Record::new("")).is_err());
    let stats = only(&topic);
    assert_eq!(
        (
            stats.blocked_sends,
            stats.refused_sends,
            stats.reader_stalls
        ),
        (1, 4, 1)
    );
}

#[test]
fn a_send_that_gets_room_in_the_end_counts_as_blocked_as_well() {
    // No send gives up, however late the reader is scheduled.
    let (broker, topic) = make(small().max_block(Duration::MAX));
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    send(&topic, 12);
    std::thread::scope(|scope| {
        let topic = &topic;
        let sends = scope.spawn(move || {
            let mut producer = topic.producer();
            for _ in 0..5 {
                producer.send(Record::new("")).unwrap();
            }
        });
        while only(topic).blocked_sends == 0 {
            assert!(!sends.is_finished(), "a full topic took a send");
            std::thread::yield_now();
        }
        while !sends.is_finished() {
            drain(&mut reader);
        }
    });
    let stats = only(&topic);
    assert!(stats.blocked_sends >= 1, "{stats:?}");
    assert_eq!(stats.refused_sends, 0);
    assert!(stats.reader_stalls >= 1, "{stats:?}");
}

#[test]
fn a_task_waiting_for_room_is_counted_once_however_often_it_is_polled() {
    let (broker, topic) = make(small());
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    send(&topic, 12);
    let mut producer = topic.producer();
    let mut context = Context::from_waker(Waker::noop());
    let counts = || {
        let stats = only(&topic);
        (
            stats.blocked_sends,
            stats.refused_sends,
            stats.reader_stalls,
        )
    };
    let records = [Record::new(""), Record::new("")];
    let mut batch = std::pin::pin!(producer.send_batch_async(&records));
    for _ in 0..3 {
        assert!(batch.as_mut().poll(&mut context).is_pending());
        assert_eq!(counts(), (1, 0, 1));
    }
    drain(&mut reader);
    assert!(batch.as_mut().poll(&mut context).is_ready());
    assert_eq!(counts(), (1, 0, 1));

    let mut producer = topic.producer();
    while producer.try_send(Record::new("")).is_ok() {}
    assert_eq!(counts(), (1, 1, 2));
    let mut one = std::pin::pin!(producer.send_async(Record::new("")));
    for _ in 0..3 {
        assert!(one.as_mut().poll(&mut context).is_pending());
        assert_eq!(counts(), (2, 1, 2));
    }
}

#[test]
fn a_closed_topic_keeps_its_statistics() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c"));
    send(&topic, 10);
    topic.close();
    let stats = only(&topic);
    assert_eq!(
        (stats.log_end, stats.appended_records, stats.appended_bytes),
        (10, 10, 80)
    );
    while consumer.try_poll().is_ok_and(|batch| !batch.is_empty()) {}
    let row = stats_of(&broker.snapshot(), "c");
    assert_eq!((row.position, row.position_max, row.lag), (10, 10, 0));
}

#[test]
fn a_topic_that_drops_its_oldest_records_never_stalls() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let _reader = subscribed(&broker, ConsumerConfig::new());
    send(&topic, 100);
    let stats = only(&topic);
    assert_eq!(
        (
            stats.reader_stalls,
            stats.blocked_sends,
            stats.refused_sends
        ),
        (0, 0, 0)
    );
}

#[test]
fn aborted_claims_are_counted() {
    let (_broker, topic) = make(small().partitions(2));
    let mut producer = topic.producer();
    for _ in 0..3 {
        drop(producer.claim(Destination::Partition(1), None, 8).unwrap());
    }
    producer
        .claim(Destination::Partition(1), None, 8)
        .unwrap()
        .publish();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _claim = producer.claim(Destination::Partition(0), None, 8).unwrap();
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    let [first, second] = topic.stats().partitions[..] else {
        panic!("two partitions");
    };
    assert_eq!(
        (first.aborted_frames, first.aborted_records, first.log_end),
        (1, 1, 1)
    );
    assert_eq!((second.aborted_frames, second.aborted_records), (3, 3));
    assert_eq!(
        second.appended_records, 4,
        "aborted claims keep their offsets"
    );
}
