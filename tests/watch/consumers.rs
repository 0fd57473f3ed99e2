//! Consumers in a snapshot: names, partitions, positions, lag and lost records.

use super::common::{TOPIC, drain, make, subscribed};
use super::{named, send, small, stats_of};
use ringlog::{Broker, Consumer, ConsumerConfig, OffsetReset, Overflow, Topic, TopicPartition};
use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

#[test]
fn a_position_is_exact_while_a_task_waits() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c").max_poll_records(2));
    send(&topic, 2);
    consumer.try_poll().unwrap();
    assert_eq!(stats_of(&broker.snapshot(), "c").position, 0);
    let mut context = Context::from_waker(Waker::noop());
    let mut next = std::pin::pin!(consumer.poll_async());
    assert!(next.as_mut().poll(&mut context).is_pending());
    let row = stats_of(&broker.snapshot(), "c");
    assert_eq!((row.position, row.position_max), (2, 2));
}

#[test]
fn consumers_are_listed_by_name_while_they_live() {
    let (broker, _topic) = make(small());
    let names = || -> Vec<_> {
        let all = broker.snapshot().consumers.into_iter();
        all.map(|c| (c.id, c.client_id, c.group)).collect()
    };
    assert_eq!(names(), []);
    let first = subscribed(&broker, ConsumerConfig::new());
    let member = broker.consumer(ConsumerConfig::new().group("g")).unwrap();
    let second = broker.consumer(named("audit")).unwrap();
    let third = broker.consumer(named("audit")).unwrap();
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
fn an_invalid_client_id_is_refused() {
    let (broker, _topic) = make(small());
    for bad in ["", "a\nb", &"x".repeat(250)] {
        let refused = broker.consumer(named(bad)).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("client_id"), "{message}");
    }
    // A default client id, which contains the group's name, may be longer than a configured one.
    let group = ConsumerConfig::new().group("x".repeat(249));
    broker.consumer(group).unwrap().subscribe([TOPIC]).unwrap();
}

#[test]
fn a_consumers_partitions_are_listed_while_it_has_them() {
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
    consumer.assign([TopicPartition::new(TOPIC, 1)]).unwrap();
    assert_eq!(partitions(), [1]);
    broker.delete_topic(TOPIC).unwrap();
    assert_eq!(partitions(), [1], "kept until it unsubscribes");
    assert_eq!(broker.snapshot().topics, []);
    consumer.unsubscribe();
    assert_eq!(partitions(), []);
}

#[test]
fn a_consumers_own_statistics_are_exact_and_update_the_snapshot() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c").max_poll_records(3));
    send(&topic, 10);
    consumer.try_poll().unwrap(); // 0, 1, 2
    let bound = stats_of(&broker.snapshot(), "c");
    // Its position was published at the start, and it has not left that segment.
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

    let updated = stats_of(&broker.snapshot(), "c");
    assert_eq!(
        (
            updated.position,
            updated.position_max,
            updated.lag,
            updated.lead
        ),
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
            let row = stats_of(&broker.snapshot(), "c");
            assert!(
                row.position <= position && position <= row.position_max,
                "{position}: {row:?}"
            );
            assert!(row.position + 4 >= position, "{position}: {row:?}");
            assert_eq!((row.lag, row.lead), (10 - row.position, row.position));
        }
        assert!(consumer.poll(Duration::from_micros(1)).unwrap().is_empty());
        let row = stats_of(&broker.snapshot(), "c");
        assert_eq!((row.position, row.position_max, row.lag), (10, 10, 0));
    }
}

#[test]
fn seeks_show_at_once() {
    let (broker, topic) = make(small());
    let mut consumer = subscribed(&broker, named("c").offset_reset(OffsetReset::Latest));
    send(&topic, 10);
    let position = || stats_of(&broker.snapshot(), "c").position;
    assert_eq!(position(), 0);
    consumer.seek((TOPIC, 0), 7).unwrap();
    assert_eq!(position(), 7);
    consumer.seek_to_end((TOPIC, 0)).unwrap();
    assert_eq!(position(), 10);
    consumer.seek_to_beginning((TOPIC, 0)).unwrap();
    assert_eq!(position(), 0);
    consumer.seek((TOPIC, 0), 1_000).unwrap(); // out of range: the next poll resets to the end
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
fn lost_records_are_counted_and_overtaken_ones_reported() {
    let (broker, topic, mut consumer) = lapped();
    send(&topic, 17); // retained: 8 to 16
    let row = stats_of(&broker.snapshot(), "slow");
    assert_eq!(
        (row.position, row.position_max, row.lead, row.lag),
        (8, 8, 0, 9)
    );
    assert_eq!((row.lost, row.overtaken), (0, 8));

    let mut lost = consumer.try_poll().unwrap().lost();
    assert_eq!(lost, 8);
    let row = stats_of(&broker.snapshot(), "slow");
    assert_eq!(
        (row.lost, row.overtaken, broker.snapshot().consumers[0].lost),
        (8, 0, 8)
    );

    send(&topic, 20); // 37, retained: 28 to 36; read up to 12
    assert_eq!(
        stats_of(&broker.snapshot(), "slow").overtaken,
        20,
        "an upper bound"
    );
    lost += consumer.try_poll().unwrap().lost();
    let row = stats_of(&broker.snapshot(), "slow");
    assert_eq!((row.lost, lost), (24, 24));
    assert_eq!(
        (consumer.stats().lost, consumer.stats().partitions[0].lost),
        (24, 24)
    );

    // A partition's count ends with its assignment; the consumer's total stays.
    consumer.unsubscribe();
    consumer.subscribe([TOPIC]).unwrap();
    assert_eq!(
        (consumer.stats().lost, consumer.stats().partitions[0].lost),
        (24, 0)
    );
}

#[test]
fn a_segment_read_to_its_end_before_it_was_retired_is_not_lost() {
    let (broker, topic, mut consumer) = lapped();
    send(&topic, 4);
    drain(&mut consumer);
    send(&topic, 12); // the first segment is retired, and all of it was read
    assert_eq!(consumer.try_poll().unwrap().lost(), 0);
    let row = stats_of(&broker.snapshot(), "slow");
    assert_eq!((row.lost, row.overtaken), (0, 0));
}
