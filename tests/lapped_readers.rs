//! Readers that may be lapped on a `Backpressure` topic, beside others that may not.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, grouped, make, subscribed};
use ringlog::{
    ConsumeError, Consumer, ConsumerConfig, HoldBack, OffsetReset, Producer, Record, Topic,
    TopicConfig,
};
use std::thread;
use std::time::Duration;

/// Two segments of two records each: four records fill the ring.
const RING: u64 = 4;

fn config() -> TopicConfig {
    TopicConfig::new().segments(2).segment_records(2)
}

fn lossy() -> ConsumerConfig {
    ConsumerConfig::new().hold_back(HoldBack::Nothing)
}

/// Sends until there is no room, or `most` records. Returns how many were sent.
fn send(producer: &mut Producer, most: u64) -> u64 {
    let mut sent = 0;
    while sent < most && producer.try_send(Record::new("x").partition(0)).is_ok() {
        sent += 1;
    }
    sent
}

/// Reads all that there is in partition 0: the offsets read, and how many were lost.
fn read(consumer: &mut Consumer) -> (Vec<u64>, u64) {
    let (mut offsets, mut lost) = (Vec::new(), 0);
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return (offsets, lost);
        }
        lost += batch.lost();
        offsets.extend(batch.iter().map(|record| record.offset()));
    }
}

/// Asserts that the topic's producers wait for no reader, and that `logger` has lost all but the
/// last records.
fn assert_lapped(topic: &Topic, logger: &mut Consumer) {
    let mut producer = topic.producer();
    let from = logger.position((TOPIC, 0)).unwrap();
    assert_eq!(send(&mut producer, 100), 100);
    let end = topic.log_end_offset(0).unwrap();
    let (read, lost) = read(logger);
    assert_eq!(read.last(), Some(&(end - 1)));
    assert_eq!(lost, end - from - read.len() as u64);
    assert!(lost >= 100 - RING, "{lost}");
}

#[test]
fn producers_wait_for_the_recorder_and_never_for_the_logger() {
    let (broker, topic) = make(config());
    let mut producer = topic.producer();
    let mut recorder = subscribed(&broker, ConsumerConfig::new());
    let mut logger = subscribed(&broker, lossy());
    assert_eq!(send(&mut producer, 100), RING);
    let held = logger.try_poll().unwrap();
    assert_eq!(held.first_offset(), Some(0));
    let held_value = held.iter().next().unwrap();
    // The logger stops here. The recorder reads on, and the producer follows it.
    let mut end = RING;
    for round in 1..50 {
        let (offsets, lost) = read(&mut recorder);
        assert_eq!((offsets.last(), lost), (Some(&(end - 1)), 0));
        // There is room in all segments but the one in which the recorder waits.
        let sent = send(&mut producer, 100);
        assert!((2..=RING).contains(&sent), "round {round}");
        end += sent;
    }
    assert_eq!(
        held_value.value_bytes(),
        b"x",
        "what it holds is not overwritten"
    );
    let (offsets, lost) = read(&mut logger);
    assert_eq!(offsets, (end - RING..end).collect::<Vec<_>>());
    assert_eq!(lost, end - RING - 2, "all but the two of its first batch");
    // Without the recorder there is nothing to wait for.
    drop(recorder);
    assert_lapped(&topic, &mut logger);
}

#[test]
fn the_recorder_gets_everything_while_threads_send_and_the_logger_naps() {
    const RECORDS: u64 = 20_000;
    let (broker, topic) = make(
        config()
            .segment_records(64)
            .max_block(Duration::from_secs(60)),
    );
    let mut recorder = subscribed(&broker, ConsumerConfig::new());
    let mut logger = subscribed(&broker, lossy());
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut producer = topic.producer();
            scope.spawn(move || {
                for i in 0..RECORDS / 2 {
                    producer.send(Record::new(&i.to_ne_bytes()[..])).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let (mut next, mut lost) = (0, 0);
            while next < RECORDS {
                let batch = logger.next_batch().unwrap();
                lost += batch.lost();
                for record in &batch {
                    assert!(record.offset() >= next);
                    next = record.offset() + 1;
                }
                thread::yield_now();
            }
            assert!(lost < RECORDS);
        });
        let mut next = 0;
        while next < RECORDS {
            let batch = recorder.next_batch().unwrap();
            assert_eq!((batch.first_offset(), batch.lost()), (Some(next), 0));
            next = batch.next_offset().unwrap();
        }
    });
}

#[test]
fn a_logger_holds_nothing_back_wherever_it_begins_or_seeks() {
    let (broker, topic) = make(config());
    let mut logger = broker.consumer(lossy()).unwrap();
    logger.assign([(TOPIC, 0)]).unwrap();
    assert_lapped(&topic, &mut logger);
    for reset in [OffsetReset::Latest, OffsetReset::Earliest] {
        let mut logger = subscribed(&broker, lossy().offset_reset(reset));
        assert_eq!(send(&mut topic.producer(), 100), 100);
        assert!(!logger.try_poll().unwrap().is_empty());
    }
    // A seek to what is retained does not retain it.
    let start = topic.log_start_offset(0).unwrap();
    let seeks: [fn(&mut Consumer, u64); 5] = [
        |logger, start| logger.seek((TOPIC, 0), start).unwrap(),
        |logger, _| logger.seek_to_beginning((TOPIC, 0)).unwrap(),
        |logger, _| logger.seek_to_end((TOPIC, 0)).unwrap(),
        |logger, _| _ = logger.seek_to_time((TOPIC, 0), 0).unwrap(),
        |logger, _| logger.pause((TOPIC, 0)).unwrap(),
    ];
    for seek in seeks {
        seek(&mut logger, start);
        assert_eq!(send(&mut topic.producer(), 100), 100);
        read(&mut logger);
    }
}

#[test]
fn what_a_logger_seeks_and_loses_before_its_poll_is_counted() {
    let (broker, topic) = make(config());
    let mut logger = subscribed(&broker, lossy());
    let mut producer = topic.producer();
    send(&mut producer, RING);
    assert_eq!(read(&mut logger).0.len(), 4);
    logger.seek((TOPIC, 0), 1).unwrap();
    send(&mut producer, 100);
    assert_eq!(read(&mut logger), ((100..104).collect(), 99));
}

#[test]
fn a_lapped_logger_with_offset_reset_none_gets_an_error() {
    let (broker, topic) = make(config());
    let mut logger = broker
        .consumer(lossy().offset_reset(OffsetReset::None))
        .unwrap();
    logger.subscribe([TOPIC]).unwrap();
    logger.seek((TOPIC, 0), 0).unwrap();
    let mut producer = topic.producer();
    send(&mut producer, 100);
    let error = logger.try_poll().unwrap_err();
    let expected = ConsumeError::OffsetOutOfRange {
        topic: TOPIC.into(),
        partition: 0,
        position: 0,
        log_start: 96,
        log_end: 100,
    };
    assert_eq!(error, expected);
    logger.seek((TOPIC, 0), 98).unwrap();
    assert_eq!(read(&mut logger), (vec![98, 99], 0));
}

#[test]
fn a_partition_that_is_added_is_not_held_back_for_a_logger_or_its_group() {
    let (broker, topic) = make(config());
    let mut alone = subscribed(&broker, lossy());
    let mut member = subscribed(&broker, lossy().group("g"));
    read(&mut member);
    topic.add_partitions(2).unwrap();
    let mut producer = topic.producer();
    for _ in 0..100 {
        producer.try_send(Record::new("x").partition(1)).unwrap();
    }
    // Both begin with the first record of the partition, and count what they have lost of it.
    for logger in [&mut alone, &mut member] {
        let read = (0..10).map(|_| {
            let batch = logger.try_poll().unwrap();
            assert!(batch.partition() != Some(0));
            (batch.len(), batch.lost())
        });
        let (read, lost) = read.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        assert_eq!((read, lost), (4, 96));
    }
    for _ in 0..100 {
        producer.try_send(Record::new("x").partition(1)).unwrap();
    }
}

#[test]
fn a_topic_that_a_logger_or_its_group_finds_is_not_held_back() {
    let (broker, _topic) = make(config());
    let mut alone = broker.consumer(lossy()).unwrap();
    let mut member = broker.consumer(lossy().group("g")).unwrap();
    for logger in [&mut alone, &mut member] {
        logger.subscribe_pattern("new.*").unwrap();
        assert!(logger.try_poll().unwrap().is_empty());
    }
    let topic = broker.create_topic("new-1", config()).unwrap();
    assert_eq!(send(&mut topic.producer(), 100), 100);
    for logger in [&mut alone, &mut member] {
        let polls = (0..10).map(|_| {
            let batch = logger.try_poll().unwrap();
            (batch.len(), batch.lost())
        });
        let (read, lost) = polls.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        assert_eq!((read, lost), (4, 96));
    }
    assert_eq!(send(&mut topic.producer(), 100), 100);
}

#[test]
fn a_group_that_holds_back_nothing_is_lapped_with_and_without_members() {
    let (broker, topic) = make(config());
    for auto_commit in [true, false] {
        let config = || lossy().group("loggers").auto_commit(auto_commit);
        let mut a = subscribed(&broker, config());
        let mut b = subscribed(&broker, config());
        send(&mut topic.producer(), 100);
        for _ in 0..4 {
            drain(&mut a);
            drain(&mut b);
        }
        let owner = if a.assignment().is_empty() {
            &mut b
        } else {
            &mut a
        };
        assert_lapped(&topic, owner);
        owner.commit().unwrap();
        assert_lapped(&topic, owner);
        drop((a, b));
        // Its committed offset holds nothing back either.
        assert_eq!(send(&mut topic.producer(), 100), 100);
        let committed = broker.describe_group("loggers").unwrap().partitions[0].committed;
        let mut c = subscribed(&broker, config());
        let (offsets, lost) = read(&mut c);
        assert_eq!(offsets[0] - lost, committed.unwrap());
        drop(c);
        // Nor does a commit of a consumer that is no member.
        let mut assigned = broker.consumer(config()).unwrap();
        assigned.assign([(TOPIC, 0)]).unwrap();
        assigned.commit().unwrap();
        assert_eq!(send(&mut topic.producer(), 100), 100);
    }
    // Beside it, another group is waited for.
    let mut recorder = subscribed(&broker, grouped());
    read(&mut recorder);
    assert!(send(&mut topic.producer(), 100) <= RING);
}

#[test]
fn members_agree_whether_their_group_holds_back() {
    let (broker, _topic) = make(config());
    let lossless = grouped().hold_back(HoldBack::Read);
    for (first, second, holds_back) in [
        (lossless.clone(), lossy().group("g"), true),
        (lossy().group("g"), grouped(), false),
    ] {
        let member = subscribed(&broker, first);
        let beside = subscribed(
            &broker,
            if holds_back {
                grouped()
            } else {
                lossy().group("g")
            },
        );
        let mut other = broker.consumer(second.clone()).unwrap();
        let error = other.subscribe([TOPIC]).unwrap_err();
        let expected = ConsumeError::OtherHoldBack {
            group: "g".into(),
            holds_back,
        };
        assert_eq!(error, expected);
        assert!(other.assignment().is_empty());
        drop((member, beside));
        // Without members, the next one decides.
        subscribed(&broker, second);
    }
}

#[test]
fn a_group_without_members_takes_the_setting_of_the_next_one() {
    let (broker, topic) = make(config());
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped());
    read(&mut a);
    drop(a);
    assert_eq!(
        send(&mut producer, 100),
        RING,
        "held back from its start on"
    );
    let mut b = subscribed(&broker, lossy().group("g"));
    assert_eq!(send(&mut producer, 100), 100, "not any more");
    assert_eq!(read(&mut b).1, 100);
    b.commit().unwrap();
    send(&mut producer, 2);
    drop(b);
    // Held back again, from what was committed on.
    let mut c = subscribed(&broker, grouped());
    topic.add_partitions(2).unwrap();
    assert_eq!(send(&mut producer, 100), 2);
    let mut to_added = || producer.try_send(Record::new("x").partition(1)).is_ok();
    assert_eq!((0..100).take_while(|_| to_added()).count() as u64, RING);
    let mut all = Vec::new();
    for _ in 0..3 {
        all.extend(drain(&mut c).iter().map(|(p, offset, _)| (*p, *offset)));
    }
    all.sort_unstable();
    let expected = (104..108)
        .map(|offset| (0, offset))
        .chain((0..4).map(|offset| (1, offset)));
    assert_eq!(all, expected.collect::<Vec<_>>());
}

#[test]
fn loggers_that_stop_with_a_batch_in_hand_stop_no_producer() {
    // Each has brought a spare segment for its pin.
    let (broker, topic) = make(config());
    let mut loggers: Vec<_> = (0..5).map(|_| subscribed(&broker, lossy())).collect();
    let mut producer = topic.producer();
    let mut held = Vec::new();
    for logger in &mut loggers {
        assert_eq!(send(&mut producer, 3), 3);
        let batch = logger.try_poll().unwrap();
        assert!(!batch.is_empty());
        held.push((batch.first_offset(), batch));
    }
    assert_eq!(send(&mut producer, 1000), 1000);
    for (first, batch) in held {
        assert_eq!(batch.first_offset(), first);
    }
}
