//! What ends a wait for several records early.

use super::common::conditions::{CountSleepers, LONG, woken};
use super::common::{TOPIC, make, subscribed};
use super::{after_the_timeout, at_once, patient, poll_asleep, send};
use ringlog::{
    ConsumeError, ConsumerConfig, HoldBack, OffsetReset, Overflow, Record, TopicConfig,
    UpstreamError, WaitAction, WaitPolicy, WaitStrategy,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

fn closed(topic: &str) -> ConsumeError {
    ConsumeError::Closed {
        topic: topic.into(),
    }
}

/// A ring of four segments of four records.
fn small() -> TopicConfig {
    TopicConfig::new().segment_records(4)
}

#[test]
fn the_records_of_a_closed_topic_are_not_waited_on() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 1);
    send(&topic, 1, 1);
    topic.close();
    assert_eq!(at_once(&mut consumer), Ok(1));
    assert_eq!(at_once(&mut consumer), Ok(1));
    for _ in 0..2 {
        assert_eq!(at_once(&mut consumer), Err(closed(TOPIC)));
    }
}

#[test]
fn closing_the_topic_ends_the_wait() {
    let sleepers = CountSleepers::default();
    for records in [0, 2] {
        let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
        let consumer = subscribed(&broker, patient(3));
        send(&topic, 0, records);
        let polling = poll_asleep(&sleepers, consumer);
        topic.close();
        let (mut consumer, read) = polling.join().unwrap();
        if records > 0 {
            assert_eq!(read, Ok(records));
            assert_eq!(at_once(&mut consumer), Err(closed(TOPIC)));
        } else {
            assert_eq!(read, Err(closed(TOPIC)));
        }
        assert!(consumer.is_finished());
    }
}

#[test]
fn the_end_of_another_topic_is_reported_during_the_wait() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let other = broker.create_topic("other", TopicConfig::new()).unwrap();
    let mut consumer = broker.consumer(patient(3)).unwrap();
    consumer.subscribe([TOPIC, "other"]).unwrap();
    send(&topic, 0, 1);
    let polling = poll_asleep(&sleepers, consumer);
    other.close();
    let (mut consumer, read) = polling.join().unwrap();
    assert_eq!(read, Err(closed("other")));
    // It was reported, and is no reason to return fewer records.
    let polling = poll_asleep(&sleepers, {
        assert_eq!(after_the_timeout(&mut consumer), 1);
        consumer
    });
    send(&topic, 0, 3);
    assert_eq!(polling.join().unwrap().1, Ok(3));
}

#[test]
fn a_deleted_topic_ends_the_wait() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 2);
    let polling = poll_asleep(&sleepers, consumer);
    broker.delete_topic(TOPIC).unwrap();
    assert_eq!(polling.join().unwrap().1, Err(closed(TOPIC)));
}

/// It has no records to return, and is not read on.
#[test]
fn the_deletion_of_another_topic_is_reported_during_the_wait() {
    for paused in [false, true] {
        let sleepers = CountSleepers::default();
        let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
        broker.create_topic("other", TopicConfig::new()).unwrap();
        let mut consumer = broker.consumer(patient(3)).unwrap();
        consumer.subscribe(["other", TOPIC]).unwrap();
        if paused {
            consumer.pause(("other", 0)).unwrap();
        }
        send(&topic, 0, 1);
        let polling = poll_asleep(&sleepers, consumer);
        broker.delete_topic("other").unwrap();
        assert_eq!(polling.join().unwrap().1, Err(closed("other")));
    }
}

#[test]
fn a_wakeup_ends_the_wait_and_moves_nothing() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(3));
    let handle = consumer.wakeup_handle();
    send(&topic, 0, 2);
    let polling = poll_asleep(&sleepers, consumer);
    handle.wakeup();
    let (mut consumer, read) = polling.join().unwrap();
    assert_eq!(read, Err(ConsumeError::Wakeup));
    assert_eq!(consumer.position((TOPIC, 0)), Ok(0));
    // One that comes first ends the next poll, also if there are enough records.
    send(&topic, 0, 1);
    handle.wakeup();
    assert_eq!(at_once(&mut consumer), Err(ConsumeError::Wakeup));
    assert_eq!(at_once(&mut consumer), Ok(3));
}

#[test]
fn a_policy_that_panics_leaves_no_wait_behind() {
    #[derive(Debug)]
    struct Panics;
    impl WaitPolicy for Panics {
        fn next(&self, _: u32) -> WaitAction {
            panic!("a policy's own")
        }
    }
    let config = TopicConfig::new().wait(WaitStrategy::Custom(Arc::new(Panics)));
    let config = config.segment_records(2).overflow(Overflow::DropOldest);
    let (broker, topic) = make(config);
    let mut consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 2);
    let polled = catch_unwind(AssertUnwindSafe(|| consumer.poll(LONG).map(|b| b.len())));
    assert!(polled.is_err());
    assert_eq!(consumer.position((TOPIC, 0)), Ok(0));
    assert_eq!(consumer.try_poll().unwrap().len(), 2);
    // In the next segment, which only a full poll finds. A task does not wait for more.
    send(&topic, 0, 1);
    let mut task = pin!(consumer.poll_async());
    let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(batch)) if batch.len() == 1));
}

// ---- positions that a poll reports -------------------------------------------------------

#[test]
fn lost_records_end_the_wait() {
    let config = small().overflow(Overflow::DropOldest);
    let (broker, topic) = make(config.partitions(2));
    let mut consumer = subscribed(&broker, patient(100));
    // The log starts in the active segment.
    send(&topic, 0, 16);
    topic.delete_records(0, 16).unwrap();
    send(&topic, 0, 1);
    let batch = woken("a poll", || consumer.poll(LONG).unwrap());
    assert_eq!((batch.len(), batch.lost()), (1, 16));
    send(&topic, 0, 1);
    assert_eq!(after_the_timeout(&mut consumer), 1);
}

#[test]
fn records_that_are_deleted_during_the_wait_do_not_count() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 2);
    let polling = poll_asleep(&sleepers, consumer);
    topic.delete_records(0, 2).unwrap();
    send(&topic, 0, 3);
    // That records were lost is found at once, perhaps with the first of those that follow.
    let (mut consumer, read) = polling.join().unwrap();
    let mut read = read.unwrap();
    while consumer.position((TOPIC, 0)).unwrap() < 5 {
        read += consumer.try_poll().unwrap().len();
    }
    assert_eq!(read, 3);
    // Without other records nothing is found, and the next poll waits again.
    send(&topic, 0, 2);
    topic.delete_records(0, 7).unwrap();
    assert_eq!(after_the_timeout(&mut consumer), 0);
    send(&topic, 0, 3);
    let batch = woken("a poll", || consumer.poll(LONG).unwrap());
    assert_eq!((batch.len(), batch.lost()), (3, 2));
}

#[test]
fn a_position_that_needs_a_reset_policy_is_an_error_at_once() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut consumer = subscribed(&broker, patient(3).offset_reset(OffsetReset::None));
    send(&topic, 1, 1);
    let no_position = ConsumeError::NoPosition {
        topic: TOPIC.into(),
        partition: 0,
    };
    assert_eq!(at_once(&mut consumer), Err(no_position));
    consumer.seek((TOPIC, 0), 7).unwrap();
    consumer.seek((TOPIC, 1), 0).unwrap();
    assert!(matches!(
        at_once(&mut consumer),
        Err(ConsumeError::OffsetOutOfRange { position: 7, .. })
    ));
    // By the other policies such a position is reset, and what is found there counts.
    let mut latest = subscribed(&broker, patient(3).offset_reset(OffsetReset::Latest));
    latest.seek((TOPIC, 0), 7).unwrap();
    assert_eq!(after_the_timeout(&mut latest), 0);
    assert_eq!(latest.position((TOPIC, 0)), Ok(0));
    send(&topic, 0, 2);
    assert_eq!(after_the_timeout(&mut latest), 2);
}

// ---- the ring ----------------------------------------------------------------------------

#[test]
fn records_that_fill_half_of_the_ring_are_enough() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        // From several positions in a segment, also behind its last record.
        for position in [0, 1, 3, 4, 8] {
            let (broker, topic) = make(small().overflow(overflow));
            let mut consumer = subscribed(&broker, patient(100));
            send(&topic, 0, position);
            while consumer.position((TOPIC, 0)).unwrap() < position as u64 {
                assert!(!consumer.try_poll().unwrap().is_empty());
            }
            // As many as this segment and the next one have room for.
            send(&topic, 0, 8 - position % 4);
            assert_eq!(after_the_timeout(&mut consumer), 4 - position % 4);
            // What the timeout has found is returned without another wait.
            assert_eq!(at_once(&mut consumer), Ok(4));
            // The active segment is the second one after that of the position.
            send(&topic, 0, 9);
            for records in [4, 4, 1] {
                let batch = woken("a poll", || consumer.poll(LONG).unwrap());
                assert_eq!((batch.len(), batch.lost()), (records, 0), "from {position}");
            }
        }
    }
}

#[test]
fn a_ring_that_holds_fewer_records_stops_no_producer() {
    for (segments, records) in [(2, 1), (2, 4), (3, 2), (5, 3)] {
        let config = TopicConfig::new().segments(segments);
        let (broker, topic) = make(config.segment_records(records).max_block(LONG));
        let mut consumer = subscribed(&broker, patient(100));
        let sending = thread::spawn(move || {
            woken("the sends", || send(&topic, 0, 200));
            topic.close();
        });
        let mut left = 200;
        while left > 0 {
            left -= at_once(&mut consumer).unwrap();
        }
        sending.join().unwrap();
    }
}

/// What waits in one partition is not held up by a minimum that another one cannot reach.
#[test]
fn a_full_ring_is_read_beside_partitions_that_have_few_records() {
    let (broker, topic) = make(small().partitions(3));
    let mut consumer = subscribed(&broker, patient(1000));
    send(&topic, 2, 1);
    let mut producer = topic.producer();
    while producer.try_send(Record::new("order").partition(1)).is_ok() {}
    let mut left = 17;
    while left > 0 {
        left -= at_once(&mut consumer).unwrap();
    }
}

#[test]
fn a_producer_without_room_ends_the_wait() {
    let (broker, topic) = make(small());
    let mut slow = subscribed(&broker, ConsumerConfig::new());
    let mut consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 14);
    while consumer.position((TOPIC, 0)).unwrap() < 14 {
        assert!(!consumer.try_poll().unwrap().is_empty());
    }
    send(&topic, 0, 2);
    assert_eq!(after_the_timeout(&mut consumer), 2);
    consumer.seek((TOPIC, 0), 14).unwrap();
    // Another reader's gate holds up the producer.
    assert!(topic.producer().try_send(Record::new("order")).is_err());
    assert_eq!(at_once(&mut consumer), Ok(2));
    assert_eq!(after_the_timeout(&mut consumer), 0);
    // Not for good.
    assert_eq!(slow.try_poll().unwrap().len(), 4);
    assert_eq!(slow.try_poll().unwrap().len(), 4);
    send(&topic, 0, 2);
    assert_eq!(after_the_timeout(&mut consumer), 2);
}

#[test]
fn records_that_retention_may_evict_unread_are_not_waited_on() {
    let retention = |overflow| small().retention_bytes(0).overflow(overflow);
    let held = ConsumerConfig::new();
    let unheld = ConsumerConfig::new().hold_back(HoldBack::Nothing);
    for (overflow, config, may_lose) in [
        (Overflow::DropOldest, held.clone(), true),
        (Overflow::Backpressure, unheld, true),
        (Overflow::Backpressure, held, false),
    ] {
        let (broker, topic) = make(retention(overflow));
        let config = config.fetch_min_records(100).fetch_max_wait(LONG);
        let mut consumer = subscribed(&broker, config);
        send(&topic, 0, 2);
        assert_eq!(after_the_timeout(&mut consumer), 2);
        send(&topic, 0, 2);
        assert_eq!(after_the_timeout(&mut consumer), 2);
        send(&topic, 0, 3);
        assert_eq!(after_the_timeout(&mut consumer), 3);
        // One in the active segment, one in that before.
        send(&topic, 0, 2);
        if may_lose {
            assert_eq!(at_once(&mut consumer), Ok(1));
        } else {
            assert_eq!(after_the_timeout(&mut consumer), 1);
        }
        assert_eq!(at_once(&mut consumer), Ok(1));
        assert_eq!(consumer.position((TOPIC, 0)), Ok(9));
    }
}

#[test]
fn retention_that_is_set_later_ends_the_wait_for_what_it_may_evict() {
    let sleepers = CountSleepers::default();
    let config = small().overflow(Overflow::DropOldest);
    let (broker, topic) = make(config.wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(100));
    send(&topic, 0, 5); // one in the active segment
    let polling = poll_asleep(&sleepers, consumer);
    topic.set_retention_bytes(Some(0));
    let (_, read) = polling.join().unwrap();
    assert_eq!(read, Ok(4));
}

// ---- consumers that read after others ----------------------------------------------------

#[test]
fn a_dependent_reader_counts_what_its_upstream_has_read() {
    let (broker, topic) = make(TopicConfig::new());
    let mut upstream = subscribed(&broker, ConsumerConfig::new().max_poll_records(2));
    let mut dependent = subscribed(&broker, patient(3).read_after(&upstream.progress()));
    send(&topic, 0, 10);
    assert_eq!(upstream.try_poll().unwrap().len(), 2);
    assert_eq!(after_the_timeout(&mut dependent), 0);
    // The next poll says that the batch before was read.
    assert_eq!(upstream.try_poll().unwrap().len(), 2);
    assert_eq!(after_the_timeout(&mut dependent), 2);
    assert_eq!(upstream.try_poll().unwrap().len(), 2);
    assert_eq!(upstream.try_poll().unwrap().len(), 2);
    assert_eq!(at_once(&mut dependent), Ok(4));
}

#[test]
fn a_wait_publishes_what_the_poll_before_has_returned() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let mut upstream = subscribed(&broker, patient(2));
    let config = ConsumerConfig::new().read_after(&upstream.progress());
    let mut dependent = subscribed(&broker, config);
    send(&topic, 0, 2);
    assert_eq!(at_once(&mut upstream), Ok(2));
    assert!(dependent.try_poll().unwrap().is_empty());
    send(&topic, 0, 1);
    let polling = poll_asleep(&sleepers, upstream);
    assert_eq!(dependent.try_poll().unwrap().len(), 2);
    send(&topic, 0, 1);
    assert_eq!(polling.join().unwrap().1, Ok(2));
}

#[test]
fn the_end_of_an_upstream_ends_the_wait() {
    let sleepers = CountSleepers::default();
    let config = TopicConfig::new().partitions(2).wait(sleepers.strategy());
    let (broker, topic) = make(config);
    let mut upstream = subscribed(&broker, ConsumerConfig::new());
    let dependent = subscribed(&broker, patient(3).read_after(&upstream.progress()));
    send(&topic, 0, 2);
    send(&topic, 1, 2);
    // It has read one of the two partitions.
    for _ in 0..2 {
        upstream.try_poll().unwrap();
    }
    let polling = poll_asleep(&sleepers, dependent);
    drop(upstream);
    let (mut dependent, read) = polling.join().unwrap();
    // The records come first.
    assert_eq!(read, Ok(2));
    let ended = at_once(&mut dependent);
    assert!(
        matches!(
            ended,
            Err(ConsumeError::Upstream(UpstreamError::Ended { .. }))
        ),
        "{ended:?}"
    );
}
