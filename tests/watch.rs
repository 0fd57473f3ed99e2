//! Being watched: every number against a known run.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    Broker, BrokerSnapshot, Consumer, ConsumerConfig, ConsumerPartitionStats, OffsetReset,
    Overflow, PartitionStats, Record, Route, SendError, Timestamps, Topic, TopicConfig,
    TopicPartition,
};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

/// Segments of four records, without times: an empty value takes no bytes, one of 8 bytes 8.
fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(3)
        .segment_records(4)
        .segment_bytes(1024)
        .timestamps(Timestamps::Given)
}

fn send(topic: &Topic, count: u64) {
    let mut producer = topic.producer();
    for i in 0..count {
        producer.send(Record::new(&i.to_ne_bytes())).unwrap();
    }
}

fn only(topic: &Topic) -> PartitionStats {
    topic.stats().partitions[0]
}

fn seen(snapshot: &BrokerSnapshot, client_id: &str) -> ConsumerPartitionStats {
    let mut all = snapshot.consumers.iter();
    let consumer = all.find(|c| c.client_id == client_id).unwrap();
    consumer.partitions[0].clone()
}

fn named(name: &str) -> ConsumerConfig {
    ConsumerConfig::new().client_id(name)
}

#[test]
fn records_bytes_rolls_and_retired_segments_of_a_known_run() {
    let (_broker, topic) = make(small());
    let new = only(&topic);
    assert_eq!(
        (new.log_start, new.log_end, new.retained_records()),
        (0, 0, 0)
    );
    assert_eq!((new.appended_bytes, new.retained_bytes), (0, 0));
    assert_eq!((new.rolls, new.retired_segments), (0, 0));

    send(&topic, 4); // full, and nobody has rolled yet
    assert_eq!((only(&topic).rolls, only(&topic).appended_bytes), (0, 32));

    send(&topic, 7); // 11: segments of 4, 4 and 3
    let stats = only(&topic);
    assert_eq!((stats.log_start, stats.log_end), (0, 11));
    assert_eq!((stats.appended_records, stats.appended_bytes), (11, 88));
    assert_eq!((stats.retained_bytes, stats.rolls), (88, 2));

    send(&topic, 6); // 17: two segments gone, and one record in the fifth
    let stats = only(&topic);
    assert_eq!((stats.log_start, stats.log_end), (8, 17));
    assert_eq!((stats.appended_records, stats.appended_bytes), (17, 136));
    assert_eq!((stats.retained_records(), stats.retained_bytes), (9, 72));
    assert_eq!((stats.rolls, stats.retired_segments), (4, 2));
}

#[test]
fn bytes_are_counted_as_the_log_takes_them_and_by_partition() {
    let (_broker, topic) = make(small().partitions(2).timestamps(Timestamps::Append));
    let mut producer = topic.producer();
    producer.send(Record::new("five!").partition(1)).unwrap(); // 8, and 8 for the time
    producer
        .send_values(Route::Partition(1), &[1u64, 2])
        .unwrap(); // 16 before them, and 16
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
fn numbers_go_on_from_where_a_topic_began() {
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
fn partitions_that_were_added_have_their_own_numbers() {
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
fn retention_and_deleted_records_show() {
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
fn sends_that_find_no_room_are_counted_once_each_and_a_roll_that_is_held_up_once() {
    let (broker, topic) = make(small().max_block(Duration::from_millis(5)));
    let mut reader = subscribed(&broker, ConsumerConfig::new());
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
        assert_eq!(stats.reader_stalls, 1, "it is the same roll");
    }
    // It looks many times while it waits.
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

    // One that gets room in the end has waited too.
    drain(&mut reader);
    send(&topic, 4);
    let waits = std::thread::scope(|scope| {
        let topic = &topic;
        let sends = scope.spawn(move || {
            let mut producer = topic.producer();
            for _ in 0..4 {
                while producer.send(Record::new("")).is_err() {}
            }
            producer.send(Record::new(""))
        });
        while only(topic).blocked_sends == 1 {
            std::thread::yield_now();
        }
        while !sends.is_finished() {
            drain(&mut reader);
        }
        sends.join().unwrap()
    });
    waits.unwrap();
    assert!(only(&topic).reader_stalls > 1, "{:?}", only(&topic));
}

#[test]
fn a_task_that_waits_for_room_is_counted_once_however_often_it_is_polled() {
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
fn a_position_is_exact_while_a_task_waits() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c").max_poll_records(2));
    send(&topic, 2);
    consumer.try_poll().unwrap();
    assert_eq!(seen(&broker.snapshot(), "c").position, 0);
    let mut context = Context::from_waker(Waker::noop());
    let mut next = std::pin::pin!(consumer.poll_async());
    assert!(next.as_mut().poll(&mut context).is_pending());
    let row = seen(&broker.snapshot(), "c");
    assert_eq!((row.position, row.position_max), (2, 2));
}

#[test]
fn a_topic_that_is_closed_still_has_its_numbers() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c"));
    send(&topic, 10);
    topic.close();
    let stats = only(&topic);
    assert_eq!(
        (stats.log_end, stats.appended_records, stats.appended_bytes),
        (10, 10, 80)
    );
    while consumer
        .poll(Duration::from_secs(1))
        .is_ok_and(|batch| !batch.is_empty())
    {}
    let row = seen(&broker.snapshot(), "c");
    assert_eq!((row.position, row.position_max, row.lag), (10, 10, 0));
}

#[test]
fn a_topic_without_readers_or_that_drops_never_stalls() {
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
fn claims_that_are_given_up_are_counted() {
    let (_broker, topic) = make(small().partitions(2));
    let mut producer = topic.producer();
    for _ in 0..3 {
        drop(producer.claim(Route::Partition(1), None, 8).unwrap());
    }
    producer
        .claim(Route::Partition(1), None, 8)
        .unwrap()
        .publish();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _claim = producer.claim(Route::Partition(0), None, 8).unwrap();
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
    assert_eq!(second.appended_records, 4, "their offsets were given out");
}

// ---- consumers ----------------------------------------------------------------------------

#[test]
fn consumers_are_listed_by_name_while_they_live() {
    let (broker, _topic) = make(small());
    let names = || -> Vec<_> {
        let all = broker.snapshot().consumers.into_iter();
        all.map(|c| (c.id, c.client_id, c.group)).collect()
    };
    assert_eq!(names(), []);
    let first = subscribed(&broker, ConsumerConfig::new());
    let member = broker.consumer(ConsumerConfig::new().group("g"));
    let second = broker.consumer(named("audit"));
    let third = broker.consumer(named("audit"));
    assert_eq!(
        (first.client_id(), second.client_id()),
        ("consumer-1", "audit")
    );
    let expected = [
        (1, "consumer-1".to_owned(), None),
        (2, "consumer-g-2".to_owned(), Some("g".to_owned())),
        (3, "audit".to_owned(), None),
        (4, "audit".to_owned(), None),
    ];
    assert_eq!(names(), expected);
    drop((first, member));
    third.close();
    assert_eq!(names(), expected[2..3]);
    let last = subscribed(&broker, ConsumerConfig::new());
    assert_eq!((last.client_id(), names().len()), ("consumer-5", 2));
}

#[test]
fn a_bad_name_is_refused_by_subscribe() {
    let (broker, _topic) = make(small());
    for bad in ["", "a\nb", &"x".repeat(250)] {
        let refused = broker.consumer(named(bad)).subscribe(&[TOPIC]).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("client_id"), "{told}");
    }
    // One that was made of a group's name may be longer than one may be given.
    let group = ConsumerConfig::new().group("x".repeat(249));
    broker.consumer(group).subscribe(&[TOPIC]).unwrap();
}

#[test]
fn partitions_come_and_go_on_a_consumers_card() {
    let (broker, topic) = make(small().partitions(2));
    let mut consumer = subscribed(&broker, named("c"));
    let partitions = || -> Vec<u32> {
        let snapshot = broker.snapshot();
        let all = snapshot.consumers[0].partitions.iter();
        all.map(|p| p.partition).collect()
    };
    assert_eq!(partitions(), [0, 1]);
    topic.add_partitions(3).unwrap();
    consumer.try_poll().unwrap();
    assert_eq!(partitions(), [0, 1, 2]);
    consumer.unsubscribe();
    assert_eq!(partitions(), []);
    consumer.assign(&[TopicPartition::new(TOPIC, 1)]).unwrap();
    assert_eq!(partitions(), [1]);
    broker.delete_topic(TOPIC).unwrap();
    assert_eq!(partitions(), [1], "it has it until it lets go");
    assert_eq!(broker.snapshot().topics, []);
    consumer.unsubscribe();
    assert_eq!(partitions(), []);
}

#[test]
fn a_consumers_own_numbers_are_exact_and_bring_the_snapshot_up_to_date() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c").max_poll_records(3));
    send(&topic, 10);
    consumer.try_poll().unwrap(); // 0, 1, 2
    let bound = seen(&broker.snapshot(), "c");
    // It was seen at the start and has not left that segment.
    assert_eq!(
        (bound.position, bound.position_max, bound.lag, bound.lead),
        (0, 4, 10, 0)
    );

    let own = consumer.stats();
    let row = &own.partitions[0];
    assert_eq!((own.id, &*own.client_id, own.lost), (1, "c", 0));
    assert_eq!(
        (row.position, row.position_max, row.lag, row.lead),
        (3, 3, 7, 3)
    );
    assert_eq!(
        (row.log_start, row.log_end, row.lost, row.overtaken),
        (0, 10, 0, 0)
    );
    assert_eq!(
        (&*row.topic, row.partition, row.committed),
        (TOPIC, 0, None)
    );

    let told = seen(&broker.snapshot(), "c");
    assert_eq!(
        (told.position, told.position_max, told.lag, told.lead),
        (3, 4, 7, 3)
    );
}

#[test]
fn a_position_is_a_bound_within_a_segment_and_exact_when_its_consumer_waits() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, topic) = make(small().overflow(overflow));
        let mut consumer = subscribed(&broker, named("c").max_poll_records(1));
        send(&topic, 10);
        for position in 1..=10 {
            consumer.try_poll().unwrap();
            let row = seen(&broker.snapshot(), "c");
            assert!(
                row.position <= position && position <= row.position_max,
                "{position}: {row:?}"
            );
            assert!(row.position + 4 >= position, "{position}: {row:?}");
            assert_eq!((row.lag, row.lead), (10 - row.position, row.position));
        }
        assert!(consumer.poll(Duration::from_micros(1)).unwrap().is_empty());
        let row = seen(&broker.snapshot(), "c");
        assert_eq!((row.position, row.position_max, row.lag), (10, 10, 0));
    }
}

#[test]
fn seeks_show_at_once() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c").offset_reset(OffsetReset::Latest));
    send(&topic, 10);
    let position = || seen(&broker.snapshot(), "c").position;
    assert_eq!(position(), 0);
    consumer.seek(TOPIC, 0, 7).unwrap();
    assert_eq!(position(), 7);
    consumer.seek_to_end(TOPIC, 0).unwrap();
    assert_eq!(position(), 10);
    consumer.seek_to_beginning(TOPIC, 0).unwrap();
    assert_eq!(position(), 0);
    consumer.seek(TOPIC, 0, 1_000).unwrap(); // outside: the next poll goes to the end
    assert_eq!(position(), 10);
    consumer.try_poll().unwrap();
    assert_eq!(position(), 10);
    assert_eq!(
        subscribed(&broker, named("late").offset_reset(OffsetReset::Latest))
            .stats()
            .partitions[0]
            .position,
        10
    );
}

/// Under `DropOldest`, with three segments of four records.
fn lapped() -> (Broker, Topic, Consumer) {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let consumer = subscribed(&broker, named("slow"));
    (broker, topic, consumer)
}

#[test]
fn what_was_lost_is_counted_in_all_and_what_will_be_is_told() {
    let (broker, topic, mut consumer) = lapped();
    send(&topic, 17); // 8 to 16 are left
    let row = seen(&broker.snapshot(), "slow");
    assert_eq!(
        (row.position, row.position_max, row.lead, row.lag),
        (8, 8, 0, 9)
    );
    assert_eq!((row.lost, row.overtaken), (0, 8));

    let mut told = consumer.try_poll().unwrap().lost();
    assert_eq!(told, 8);
    let row = seen(&broker.snapshot(), "slow");
    assert_eq!(
        (row.lost, row.overtaken, broker.snapshot().consumers[0].lost),
        (8, 0, 8)
    );

    send(&topic, 20); // 37, of which 28 to 36 are left; it has read to 12
    assert_eq!(seen(&broker.snapshot(), "slow").overtaken, 20, "at most");
    told += consumer.try_poll().unwrap().lost();
    let row = seen(&broker.snapshot(), "slow");
    assert_eq!((row.lost, told), (24, 24));
    assert_eq!(
        (consumer.stats().lost, consumer.stats().partitions[0].lost),
        (24, 24)
    );

    // A partition that is given up takes its number along, and the consumer keeps its own.
    consumer.unsubscribe();
    consumer.subscribe(&[TOPIC]).unwrap();
    assert_eq!(
        (consumer.stats().lost, consumer.stats().partitions[0].lost),
        (24, 0)
    );
}

#[test]
fn who_has_read_a_segment_to_its_end_before_it_went_lost_nothing() {
    let (broker, topic, mut consumer) = lapped();
    send(&topic, 4);
    drain(&mut consumer);
    send(&topic, 12); // the first segment is gone, and all of it was read
    assert_eq!(consumer.try_poll().unwrap().lost(), 0);
    let row = seen(&broker.snapshot(), "slow");
    assert_eq!((row.lost, row.overtaken), (0, 0));
}

// ---- groups -------------------------------------------------------------------------------

#[test]
fn a_group_shows_who_has_what_and_how_far_it_is_behind() {
    let (broker, topic) = make(small().partitions(2));
    let config = |name| named(name).group("g").max_poll_records(3);
    let mut a = subscribed(&broker, config("a"));
    let mut b = subscribed(&broker, config("b"));
    for _ in 0..4 {
        a.try_poll().unwrap();
        b.try_poll().unwrap();
    }
    let mut producer = topic.producer();
    for i in 0..10u64 {
        let record = i.to_ne_bytes();
        producer.send(Record::new(&record).partition(0)).unwrap();
        producer.send(Record::new(&record).partition(1)).unwrap();
    }
    a.try_poll().unwrap(); // reads 0 to 2,
    a.try_poll().unwrap(); // commits that, and reads 3
    let snapshot = broker.snapshot();
    let group = &snapshot.groups[0];
    assert_eq!((&*group.name, group.members), ("g", 2));
    assert_eq!(group.generation, a.generation().unwrap());
    let mine = a.assignment()[0].partition;
    let row = &group.partitions[mine as usize];
    assert_eq!((row.owner.as_deref(), row.position), (Some("a"), Some(3)));
    assert_eq!(
        (row.committed, row.lag, row.lead),
        (Some(3), Some(7), Some(3))
    );
    assert_eq!((row.log_start, row.log_end, row.lost), (0, 10, 0));
    let other = &group.partitions[1 - mine as usize];
    assert_eq!(
        (other.owner.as_deref(), other.committed, other.lag),
        (Some("b"), Some(0), Some(10))
    );
    // The same of the member.
    let member = seen(&snapshot, "a");
    assert_eq!((member.partition, member.committed), (mine, Some(3)));
    assert_eq!((member.position, member.position_max), (3, 4));
    assert_eq!(a.stats().partitions[0].position, 4);
    assert_eq!(a.stats().partitions[0].committed, Some(3));

    a.close(); // commits the rest
    drop(b);
    let group = &broker.snapshot().groups[0];
    assert_eq!(
        (group.members, group.partitions[mine as usize].committed),
        (0, Some(4))
    );
    assert_eq!(
        (&group.partitions[0].owner, group.partitions[0].position),
        (&None, None)
    );
}

#[test]
fn a_group_adds_up_what_its_members_lost() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let lost = || {
        let group = &broker.snapshot().groups[0];
        (group.partitions[0].lost, group.partitions[0].committed)
    };
    for (member, total) in [(1, 8), (2, 20)] {
        let mut consumer = subscribed(&broker, named("m").group("g"));
        consumer.try_poll().unwrap(); // it gets its partition, and the second reads 12 to 15
        send(&topic, if member == 1 { 17 } else { 20 });
        let batch = consumer.poll(Duration::from_secs(10)).unwrap();
        assert!(batch.lost() > 0);
        drop(batch);
        assert_eq!(lost().0, total, "member {member}");
        assert_eq!(consumer.stats().lost, if member == 1 { 8 } else { 12 });
        consumer.close();
    }
    assert_eq!(lost(), (20, Some(32)));
}

#[test]
fn an_assigned_consumer_shows_what_its_group_has_committed() {
    let (broker, topic) = make(small());
    send(&topic, 5);
    let mut consumer = broker.consumer(named("c").group("g"));
    consumer.assign(&[TopicPartition::new(TOPIC, 0)]).unwrap();
    while !consumer.poll(Duration::from_micros(1)).unwrap().is_empty() {}
    assert_eq!(seen(&broker.snapshot(), "c").committed, None);
    consumer.commit().unwrap();
    let row = seen(&broker.snapshot(), "c");
    assert_eq!((row.committed, row.position), (Some(5), 5));
    let group = &broker.snapshot().groups[0];
    assert_eq!((group.members, group.partitions[0].lag), (0, Some(0)));
    assert_eq!(group.partitions[0].owner, None, "it is no member");
}

// ---- while everybody works ----------------------------------------------------------------

/// Two producers, one that gives up claims, two consumers and a member of a group; another thread
/// takes snapshots. No number goes back, and the order of offsets holds in each.
fn invariants(overflow: Overflow) {
    const RECORDS: u64 = 400_000;
    let (broker, topic) = make(
        small()
            .partitions(2)
            .segment_records(64)
            .overflow(overflow)
            .max_block(Duration::from_secs(60)),
    );
    let done = AtomicBool::new(false);
    let consumers: Vec<_> = [
        named("a"),
        named("b").max_poll_records(7),
        named("m").group("g"),
    ]
    .into_iter()
    .map(|config| subscribed(&broker, config))
    .collect();
    let lost = std::thread::scope(|scope| {
        let readers: Vec<_> = consumers
            .into_iter()
            .map(|mut consumer| {
                let done = &done;
                scope.spawn(move || {
                    let mut lost = 0;
                    loop {
                        let ends = done.load(Ordering::Acquire);
                        let batch = consumer.poll(Duration::from_millis(1)).unwrap();
                        lost += batch.lost();
                        if batch.is_empty() && ends {
                            break;
                        }
                    }
                    let stats = consumer.stats();
                    assert!(stats.partitions.iter().all(|p| p.lag == 0), "{stats:?}");
                    assert_eq!(stats.lost, lost);
                    (consumer, lost)
                })
            })
            .collect();
        let watcher = scope.spawn(|| {
            let mut before = broker.snapshot();
            let mut snapshots = 0u64;
            while !done.load(Ordering::Acquire) {
                let now = broker.snapshot();
                check(&before, &now);
                before = now;
                snapshots += 1;
            }
            snapshots
        });
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let topic = &topic;
                scope.spawn(move || {
                    let mut producer = topic.producer();
                    for i in 0..RECORDS {
                        let partition = (i % 2) as u32;
                        if i % 100 == 99 {
                            drop(
                                producer
                                    .claim(Route::Partition(partition), None, 8)
                                    .unwrap(),
                            );
                            continue;
                        }
                        let value = i.to_ne_bytes();
                        let record = Record::new(&value).partition(partition);
                        producer.send(record).unwrap();
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.join().unwrap();
        }
        done.store(true, Ordering::Release);
        assert!(watcher.join().unwrap() > 10);
        let joined = readers.into_iter().map(|reader| reader.join().unwrap());
        let all: Vec<_> = joined.collect();
        // With all of them still there.
        let last = broker.snapshot();
        for row in last.consumers.iter().flat_map(|c| &c.partitions) {
            assert_eq!((row.position, row.lag), (row.log_end, 0));
        }
        let group: u64 = last.groups[0].partitions.iter().map(|p| p.lost).sum();
        assert_eq!(group, all[2].1);
        all.iter().map(|(_, lost)| lost).sum::<u64>()
    });
    let stats = topic.stats();
    let sum = |number: fn(&PartitionStats) -> u64| stats.partitions.iter().map(number).sum::<u64>();
    assert_eq!(sum(|p| p.appended_records), 2 * RECORDS);
    assert_eq!(sum(|p| p.aborted_frames), 2 * RECORDS / 100);
    assert_eq!(sum(|p| p.appended_bytes), 2 * RECORDS * 8);
    match overflow {
        Overflow::Backpressure => assert_eq!(lost, 0),
        Overflow::DropOldest => assert_eq!(sum(|p| p.reader_stalls + p.blocked_sends), 0),
    }
}

fn check(before: &BrokerSnapshot, now: &BrokerSnapshot) {
    let partitions = |snapshot: &BrokerSnapshot| snapshot.topics[0].partitions.clone();
    for (old, new) in partitions(before).iter().zip(partitions(now)) {
        let counters = |p: &PartitionStats| {
            [
                p.log_start,
                p.log_end,
                p.appended_records,
                p.appended_bytes,
                p.aborted_records,
                p.rolls,
                p.retired_segments,
                p.reader_stalls,
                p.blocked_sends,
                p.refused_sends,
            ]
        };
        let pairs = counters(old).into_iter().zip(counters(&new));
        assert!(pairs.into_iter().all(|(a, b)| a <= b), "{old:?}\n{new:?}");
        assert!(new.log_start <= new.log_end);
        assert!(new.retained_bytes <= new.appended_bytes, "{new:?}");
        // Each record has 8 bytes here, and retention knows whole segments only.
        assert_eq!(new.appended_bytes, new.appended_records * 8, "{new:?}");
        assert_eq!(new.retained_bytes, new.retained_records() * 8, "{new:?}");
        assert!(new.aborted_records <= new.appended_records);
        assert!(new.rolls - new.retired_segments < 3, "{new:?}");
    }
    for consumer in &now.consumers {
        for row in &consumer.partitions {
            let order = [row.log_start, row.position, row.position_max, row.log_end];
            assert!(order.is_sorted(), "{row:?}");
            assert_eq!(
                (row.lag, row.lead),
                (row.log_end - row.position, row.position - row.log_start)
            );
            let log = &now.topics[0].partitions[row.partition as usize];
            assert_eq!((row.log_start, row.log_end), (log.log_start, log.log_end));
        }
    }
    let pairs = before.consumers.iter().zip(&now.consumers);
    assert!(pairs.into_iter().all(|(old, new)| old.lost <= new.lost));
    for row in now.groups.iter().flat_map(|g| &g.partitions) {
        assert!(
            row.committed
                .is_none_or(|committed| committed <= row.log_end),
            "{row:?}"
        );
    }
}

#[test]
fn snapshots_hold_together_while_everybody_works_under_backpressure() {
    invariants(Overflow::Backpressure);
}

#[test]
fn snapshots_hold_together_while_everybody_works_under_drop_oldest() {
    invariants(Overflow::DropOldest);
}
