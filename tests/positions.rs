//! Offsets and times: a partition's bounds, lookups by time, a consumer's lead and lag; and
//! wakeups, which end a poll from another thread.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::conditions::{CountSleepers, LIMIT, LONG, woken};
use common::{TOPIC, make, subscribed};
use ringlog::{
    ConsumeError, ConsumerConfig, Destination, OffsetAndTimestamp, OffsetReset, Overflow, Record,
    Timestamps, Topic, TopicConfig, TopicError, TopicPartition,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(3)
        .segment_records(4)
        .segment_bytes(4096)
        .overflow(Overflow::DropOldest)
        .timestamps(Timestamps::Given)
}

fn at(partition: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

fn found(topic: &Topic, time: i64) -> Option<(u64, i64)> {
    let found = topic.offset_for_time(0, time).unwrap();
    found.map(
        |OffsetAndTimestamp {
             offset, timestamp, ..
         }| (offset, timestamp),
    )
}

#[test]
fn bounds_need_no_assignment_and_move_no_position() {
    let (broker, topic) = make(small().partitions(3));
    broker.create_topic("other", TopicConfig::new()).unwrap();
    let mut producer = topic.producer();
    for n in 0..20u8 {
        producer.send(Record::new(&[n]).partition(1)).unwrap();
    }
    producer.send(Record::new("x").partition(2)).unwrap();
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.assign([at(2)]).unwrap();
    let other = TopicPartition::new("other", 0);
    let partitions = [at(0), at(1), at(2), other.clone(), at(1)];
    let begins = consumer.beginning_offsets(&partitions).unwrap();
    let ends = consumer.end_offsets(&partitions).unwrap();
    let bounds = |p: &TopicPartition| (begins[p], ends[p]);
    assert_eq!(bounds(&at(0)), (0, 0));
    assert_eq!(bounds(&at(1)), (8, 20));
    assert_eq!(bounds(&at(2)), (0, 1));
    assert_eq!(bounds(&other), (0, 0));
    assert_eq!((begins.len(), ends.len()), (4, 4));
    assert_eq!(consumer.position((TOPIC, 2)), Ok(0));
    assert_eq!(consumer.assignment(), [at(2)]);
    assert!(consumer.beginning_offsets([("", 0); 0]).unwrap().is_empty());
}

#[test]
fn lead_and_lag_are_the_distances_from_both_ends() {
    let (broker, topic) = make(small());
    let mut producer = topic.producer();
    let config = ConsumerConfig::new().max_poll_records(3);
    let mut consumer = subscribed(&broker, config);
    let mut send = |n| {
        (0..n).for_each(|_| {
            producer.send(Record::new("x")).unwrap();
        })
    };
    send(8);
    assert_eq!(consumer.try_poll().unwrap().len(), 3);
    assert_eq!(
        (consumer.lead((TOPIC, 0)), consumer.lag((TOPIC, 0))),
        (Ok(3), Ok(5))
    );
    send(6); // retained: offsets from 4 on, which is what the lag counts
    assert_eq!(
        (consumer.lead((TOPIC, 0)), consumer.lag((TOPIC, 0))),
        (Ok(0), Ok(10))
    );
    consumer.seek_to_end((TOPIC, 0)).unwrap();
    assert_eq!(
        (consumer.lead((TOPIC, 0)), consumer.lag((TOPIC, 0))),
        (Ok(10), Ok(0))
    );
    consumer.seek((TOPIC, 0), u64::MAX).unwrap();
    assert_eq!(consumer.lag((TOPIC, 0)), Ok(0));
}

#[test]
fn a_time_finds_the_earliest_record_at_or_after_it() {
    let (_broker, topic) = make(small());
    let mut producer = topic.producer();
    assert_eq!(found(&topic, 0), None);
    for n in 0..10 {
        let record = Record::new("x").timestamp(100 + 10 * n);
        producer.send(record).unwrap();
        // Earlier lookups must not hide the new record.
        for time in 0..250 {
            let first = (time - 100 + 9).max(0) / 10;
            let expected = (first <= n).then_some((first as u64, 100 + 10 * first));
            assert_eq!(found(&topic, time), expected, "{time} of {n}");
        }
    }
    assert_eq!(found(&topic, i64::MAX), None);
    producer.send(Record::new("x").timestamp(i64::MAX)).unwrap();
    assert_eq!(found(&topic, i64::MAX), Some((10, i64::MAX)));
    // A full segment that contains the latest possible time.
    (0..5).for_each(|_| {
        producer.send(Record::new("x").timestamp(7)).unwrap();
    });
    assert_eq!(found(&topic, 300), Some((10, i64::MAX)));
    assert_eq!(found(&topic, 300), Some((10, i64::MAX)));
}

#[test]
fn unordered_times_hide_no_record_and_records_without_a_time_are_not_found() {
    let times = [50, 7, -1, 90, 3, 3, 80, -1, -1, 60, 95, 0];
    let (_broker, topic) = make(small());
    let mut producer = topic.producer();
    for time in times {
        let record = Record::new("x");
        let timed = record.timestamp(time);
        producer
            .send(if time < 0 { record } else { timed })
            .unwrap();
    }
    for _ in 0..2 {
        for time in 0..100 {
            let first = times.iter().position(|&t| t >= time);
            let expected = first.map(|i| (i as u64, times[i]));
            assert_eq!(found(&topic, time), expected, "{time}");
        }
    }
}

#[test]
fn every_kind_of_frame_is_found_by_time_except_aborted_ones() {
    let (_broker, topic) = make(small().segment_records(16).timestamps(Timestamps::Append));
    let mut producer = topic.producer();
    let start = producer.send(Record::new("x").timestamp(5)).unwrap().offset;
    drop(producer.claim(Destination::Any, None, 3).unwrap());
    let batch = [
        Record::new("a").timestamp(20),
        Record::new("b").timestamp(10).key("k"),
        Record::new("c"), // stamped at the append
    ];
    producer.send_batch(&batch).unwrap();
    let values = producer.send_values(Destination::Any, &[1u64, 2]).unwrap();
    assert_eq!((start, values.base_offset), (0, 5));
    let now = values.timestamp().unwrap();
    assert_eq!(found(&topic, 0), Some((0, 5)));
    assert_eq!(found(&topic, 6), Some((2, 20)));
    assert_eq!(found(&topic, 21).unwrap().0, 4);
    let later = producer
        .send_values(Destination::Any, &[[0u8; 3]; 2])
        .unwrap();
    let later = later.timestamp().unwrap();
    assert!(later >= now);
    assert_eq!(found(&topic, later + 1), None);
    let plain = [Record::new("same"), Record::new("size")];
    let uniform = producer.send_batch(&plain).unwrap().get(0).unwrap();
    assert_eq!(found(&topic, i64::MAX - 1), None);
    producer
        .send(Record::new("x").timestamp(i64::MAX - 1))
        .unwrap();
    assert_eq!(found(&topic, i64::MAX - 1).unwrap().0, uniform.offset + 2);
}

#[test]
fn a_time_lookup_stops_at_an_unpublished_claim() {
    let (broker, topic) = make(small());
    let mut producer = topic.producer();
    let mut other = topic.producer();
    producer.send(Record::new("x").timestamp(5)).unwrap();
    let claim = producer.claim(Destination::Any, None, 1).unwrap();
    // After the claim, in its segment and in the next.
    (0..4).for_each(|_| {
        other.send(Record::new("x").timestamp(9)).unwrap();
    });
    assert_eq!(found(&topic, 5), Some((0, 5)));
    assert_eq!(found(&topic, 6), None);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    assert_eq!(consumer.seek_to_time((TOPIC, 0), 6), Ok(1));
    assert!(consumer.try_poll().unwrap().is_empty());
    claim.publish();
    assert_eq!(found(&topic, 6), Some((2, 9)));
    let batch = consumer.try_poll().unwrap();
    assert_eq!(
        batch.iter().next().unwrap().offset(),
        1,
        "no record is skipped"
    );
}

#[test]
fn a_seek_to_a_time_goes_to_its_record_or_to_the_end() {
    let (broker, topic) = make(small());
    let mut producer = topic.producer();
    for time in [10, 20, 30] {
        producer.send(Record::new("x").timestamp(time)).unwrap();
    }
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    assert_eq!(consumer.seek_to_time((TOPIC, 0), 15), Ok(1));
    assert_eq!(
        consumer
            .try_poll()
            .unwrap()
            .iter()
            .next()
            .unwrap()
            .timestamp(),
        Some(20)
    );
    assert_eq!(consumer.seek_to_time((TOPIC, 0), 31), Ok(3));
    assert!(consumer.try_poll().unwrap().is_empty());
    producer.send(Record::new("x").timestamp(1)).unwrap();
    assert_eq!(
        consumer.try_poll().unwrap().iter().next().unwrap().offset(),
        3
    );
}

#[test]
fn a_lookup_leaves_no_spare_and_no_hold_behind() {
    let (_broker, topic) = make(small().overflow(Overflow::Backpressure));
    let mut producer = topic.producer();
    (0..8).for_each(|_| {
        producer.send(Record::new("x").timestamp(5)).unwrap();
    });
    assert_eq!(found(&topic, 9), None);
    let memory = topic.memory_bytes();
    for n in 8..100 {
        producer.try_send(Record::new("x").timestamp(5)).unwrap();
        assert_eq!(found(&topic, 9), None, "{n}");
    }
    assert_eq!(topic.memory_bytes(), memory);
}

#[test]
fn lookups_beside_producers_find_the_right_record() {
    // Each time equals its offset, and the log wraps many times.
    let (_broker, topic) = make(small().segment_records(64).segment_bytes(64 * 16));
    let done = Arc::new(AtomicBool::new(false));
    let stop = done.clone();
    let mut producer = topic.producer();
    let sender = thread::spawn(move || {
        let mut n = 0;
        while !stop.load(Ordering::Relaxed) {
            let sent = producer.send(Record::new("x").timestamp(n)).unwrap();
            assert_eq!(sent.offset, n as u64);
            n += 1;
        }
    });
    let mut exact = 0;
    let start = Instant::now();
    while exact < 20_000 {
        assert!(start.elapsed() < LIMIT, "only {exact} exact lookups");
        let first = topic.log_start_offset(0).unwrap();
        let last = topic.log_end_offset(0).unwrap();
        let wanted = first + (last - first) / 2;
        if let Some((offset, time)) = found(&topic, wanted as i64) {
            assert_eq!(offset, time as u64);
            // It is the wanted record, or that one has been overwritten meanwhile.
            let start = topic.log_start_offset(0).unwrap();
            assert!(
                offset == wanted || (offset > wanted && start > wanted),
                "{offset} {wanted}"
            );
            exact += u64::from(offset == wanted);
        } else {
            assert!(wanted + 1 >= last);
        }
    }
    done.store(true, Ordering::Relaxed);
    sender.join().unwrap();
}

#[test]
fn lookups_of_unknown_partitions_and_times_are_refused_with_the_facts() {
    let (broker, topic) = make(small().partitions(2));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let nowhere = TopicPartition::new("nowhere", 0);
    let unknown = ConsumeError::UnknownTopic {
        name: "nowhere".to_owned(),
    };
    let out_of_range = ConsumeError::PartitionOutOfRange {
        topic: TOPIC.into(),
        partition: 2,
        partitions: 2,
    };
    for (wanted, error) in [(nowhere, unknown), (at(2), out_of_range)] {
        let all = [at(0), wanted.clone()];
        assert_eq!(consumer.beginning_offsets(&all), Err(error.clone()));
        assert_eq!(consumer.end_offsets(&all), Err(error.clone()));
        let times = [(at(0), 0), (wanted, 0)];
        assert_eq!(consumer.offsets_for_times(times.clone()), Err(error));
    }
    let before = ConsumeError::InvalidTimestamp { timestamp: -1 };
    let times = [(at(0), 0), (at(1), -1)];
    assert_eq!(
        consumer.offsets_for_times(times.clone()),
        Err(before.clone())
    );
    assert_eq!(consumer.seek_to_time((TOPIC, 0), -1), Err(before));
    let not_assigned = ConsumeError::NotAssigned {
        topic: TOPIC.to_owned(),
        partition: 2,
    };
    assert_eq!(
        consumer.seek_to_time((TOPIC, 2), 0),
        Err(not_assigned.clone())
    );
    assert_eq!(consumer.lead((TOPIC, 2)), Err(not_assigned));
    let before = TopicError::InvalidTimestamp {
        timestamp: i64::MIN,
    };
    assert_eq!(topic.offset_for_time(0, i64::MIN), Err(before));
    let out_of_range = TopicError::PartitionOutOfRange {
        topic: TOPIC.into(),
        partition: 2,
        partitions: 2,
    };
    assert_eq!(topic.offset_for_time(2, 0), Err(out_of_range));
    assert_eq!(consumer.position((TOPIC, 0)), Ok(0));
}

// ---- wakeups and closing ----------------------------------------------------------------

#[test]
fn a_wakeup_ends_a_waiting_poll() {
    let sleepers = CountSleepers::default();
    let (broker, _topic) = make(small().wait(sleepers.strategy()));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let handle = consumer.wakeup_handle();
    let polling = sleepers.asleep(|| {
        thread::spawn(move || {
            let ended = woken("the poll", || consumer.poll(LONG).unwrap_err());
            assert_eq!(ended, ConsumeError::Wakeup);
            consumer
        })
    });
    handle.wakeup();
    let mut consumer = polling.join().unwrap();
    assert!(
        consumer.try_poll().unwrap().is_empty(),
        "a wakeup counts once"
    );
}

#[test]
fn a_wakeup_is_remembered_for_the_next_poll_even_when_records_are_ready() {
    let (broker, topic) = make(small());
    let config = ConsumerConfig::new().max_poll_records(1);
    let mut consumer = subscribed(&broker, config);
    let (handle, other) = (consumer.wakeup_handle(), consumer.wakeup_handle().clone());
    let mut producer = topic.producer();
    (0..3).for_each(|_| {
        producer.send(Record::new("x")).unwrap();
    });
    assert_eq!(consumer.try_poll().unwrap().len(), 1);
    handle.wakeup();
    other.wakeup();
    assert_eq!(consumer.try_poll().unwrap_err(), ConsumeError::Wakeup);
    assert_eq!(consumer.position((TOPIC, 0)), Ok(1), "nothing was read");
    assert_eq!(
        consumer.try_poll().unwrap().len(),
        1,
        "two wakeups count as one"
    );
    // `NotSubscribed` comes first, and the wakeup is kept.
    handle.wakeup();
    consumer.unsubscribe();
    assert_eq!(
        consumer.try_poll().unwrap_err(),
        ConsumeError::NotSubscribed
    );
    consumer.subscribe([TOPIC]).unwrap();
    assert_eq!(consumer.try_poll().unwrap_err(), ConsumeError::Wakeup);
    consumer.close();
    handle.wakeup();
}

#[test]
fn a_closed_consumer_holds_nothing_back() {
    let (broker, topic) = make(small().segments(2).overflow(Overflow::Backpressure));
    let consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    while producer.try_send(Record::new("x")).is_ok() {}
    consumer.close();
    producer.try_send(Record::new("x")).unwrap();
}

#[test]
fn an_overtaken_seek_to_a_time_counts_its_losses() {
    let config = TopicConfig::new()
        .segments(3)
        .segment_records(4)
        .segment_bytes(256)
        .overflow(Overflow::DropOldest);
    let (broker, topic) = make(config);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut producer = topic.producer();
            for time in 1.. {
                producer.send(Record::new("x").timestamp(time)).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let config = ConsumerConfig::new().offset_reset(OffsetReset::Latest);
        let mut consumer = subscribed(&broker, config);
        for _ in 0..5_000 {
            let at = consumer.seek_to_time((TOPIC, 0), 1).unwrap();
            let batch = consumer.poll(LONG).unwrap();
            let first = batch.iter().next().unwrap().offset();
            if first != at + batch.lost() {
                stop.store(true, Ordering::Relaxed);
            }
            assert_eq!(first, at + batch.lost());
        }
        stop.store(true, Ordering::Relaxed);
    });
}
