//! Topics that come and go: subscriptions by pattern and before a topic exists, and
//! `get_or_create_topic`.
#![allow(clippy::unwrap_used, clippy::panic)]

use ringlog::{
    Assignment, Assignor, Broker, ConsumeError, Consumer, ConsumerConfig, GroupView, OffsetReset,
    Overflow, PartitionChoice, Partitioner, RangeAssignor, Rebalance, RebalanceListener,
    RebalanceProtocol, Record, SendError, Topic, TopicConfig, TopicError, TopicPartition,
    WaitAction, WaitPolicy, WaitStrategy,
};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// What no test needs, unless something hangs.
const LIMIT: Duration = Duration::from_secs(60);

fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(4)
        .segment_bytes(256)
        .max_block(Duration::ZERO)
}

fn consumer(broker: &Broker, config: ConsumerConfig) -> Consumer {
    broker.consumer(config).unwrap()
}

fn following(broker: &Broker, config: ConsumerConfig, pattern: &str) -> Consumer {
    let mut consumer = consumer(broker, config);
    consumer.subscribe_pattern(pattern).unwrap();
    consumer
}

/// A consumer of the topic `orders`, which need not exist.
fn waiting_for_orders(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = consumer(broker, config.wait_for_topics(true));
    consumer.subscribe(["orders"]).unwrap();
    consumer
}

fn latest() -> ConsumerConfig {
    ConsumerConfig::new().offset_reset(OffsetReset::Latest)
}

fn member() -> ConsumerConfig {
    latest().group("g")
}

fn create(broker: &Broker, name: &str) -> Topic {
    broker.create_topic(name, small()).unwrap()
}

fn send(topic: &Topic, value: &str) {
    topic.producer().send(Record::new(value)).unwrap();
}

/// Sends numbers until the ring is full, and returns how many.
fn fill(topic: &Topic) -> u64 {
    let mut producer = topic.producer();
    for n in 0..1000u64 {
        match producer.try_send(Record::new(&n.to_le_bytes())) {
            Ok(_) => {}
            Err(SendError::Full { .. }) => return n,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("nothing holds the producer back");
}

/// What one consumer has read: topic, partition, offset and value of each record.
#[derive(Default)]
struct Seen {
    records: Vec<(String, u32, u64, Vec<u8>)>,
    lost: u64,
}

impl Seen {
    /// Polls once. Returns how many records it read.
    fn poll(&mut self, consumer: &mut Consumer) -> usize {
        let batch = consumer.try_poll().unwrap();
        for record in &batch {
            let value = record.value().unwrap().to_vec();
            let (topic, partition) = (record.topic().to_owned(), record.partition());
            self.records
                .push((topic, partition, record.offset(), value));
        }
        self.lost += batch.lost();
        batch.len()
    }

    fn values(&self) -> Vec<String> {
        let values = self.records.iter().map(|record| record.3.clone());
        values.map(|v| String::from_utf8(v).unwrap()).collect()
    }
}

/// Polls until there is nothing.
fn drain(consumer: &mut Consumer) -> Seen {
    let mut seen = Seen::default();
    while seen.poll(consumer) > 0 {}
    seen
}

/// Polls the members in turn, until several rounds in a row have brought nothing.
fn drain_all(members: &mut [&mut Consumer]) -> Seen {
    let mut seen = Seen::default();
    let mut idle = 0;
    while idle < 8 {
        let read: usize = members.iter_mut().map(|member| seen.poll(member)).sum();
        idle = if read == 0 { idle + 1 } else { 0 };
    }
    seen
}

fn names(consumer: &Consumer) -> Vec<String> {
    let partitions = consumer.assignment().into_iter();
    partitions.map(|p| p.topic.to_string()).collect()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

// ---- get_or_create_topic ------------------------------------------------------------------

#[test]
fn a_topic_that_exists_is_returned_as_it_is() {
    let broker = Broker::new();
    let topic = broker
        .get_or_create_topic("t", small().partitions(3))
        .unwrap();
    send(&topic, "x");
    let same = broker.get_or_create_topic("t", small()).unwrap();
    assert_eq!(same.partitions(), 3);
    let ends = (0..3).map(|p| same.log_end_offset(p).unwrap());
    assert_eq!(ends.sum::<u64>(), 1);
    // Its configuration is not looked at, and it may be closed.
    topic.close();
    let same = broker
        .get_or_create_topic("t", small().partitions(0))
        .unwrap();
    assert!(same.is_closed());
    broker.delete_topic("t").unwrap();
    let other = broker.get_or_create_topic("t", small()).unwrap();
    assert!(!other.is_closed());
    assert_eq!(other.partitions(), 1);
}

#[test]
fn what_cannot_be_created_is_refused() {
    let broker = Broker::new();
    let refused = broker.get_or_create_topic("", small());
    assert!(matches!(refused, Err(TopicError::InvalidName { .. })));
    let refused = broker.get_or_create_topic("t", small().partitions(0));
    assert!(matches!(refused, Err(TopicError::InvalidConfig { .. })));
    assert!(broker.topic_names().is_empty());
}

#[test]
fn threads_that_race_get_one_topic() {
    // Memory that takes longer to allocate than a name to look up: most find no topic.
    let large = || small().segment_bytes(1 << 20).prefault(true);
    for _ in 0..30 {
        let broker = Broker::new();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    send(&broker.get_or_create_topic("t", large()).unwrap(), "x");
                });
            }
        });
        assert_eq!(broker.topic("t").unwrap().log_end_offset(0), Ok(4));
    }
}

#[test]
fn a_topic_deleted_meanwhile_is_created_again() {
    let broker = Broker::new();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    broker.get_or_create_topic("t", small()).unwrap();
                    broker.delete_topic("t").ok();
                }
            });
        }
    });
    assert!(broker.topic("t").is_err());
}

// ---- patterns -----------------------------------------------------------------------------

#[test]
fn a_pattern_matches_whole_names_now_and_later() {
    let broker = Broker::new();
    for name in ["orders", "orders-eu", "my-orders-us"] {
        create(&broker, name);
    }
    let mut consumer = following(&broker, ConsumerConfig::new(), "orders-.*|x");
    assert_eq!(names(&consumer), ["orders-eu"]);
    for name in ["orders-us", "x", "xx", "orders2"] {
        send(&create(&broker, name), name);
    }
    let mut seen = drain(&mut consumer).values();
    seen.sort();
    assert_eq!(seen, ["orders-us", "x"]);
}

#[test]
fn a_pattern_that_is_no_pattern_is_refused_and_the_old_subscription_stays() {
    let broker = Broker::new();
    let topic = create(&broker, "t");
    for config in [ConsumerConfig::new(), ConsumerConfig::new().group("g")] {
        let mut consumer = following(&broker, config, "t");
        for bad in ["", "(", "a)|(b", "[a", "*"] {
            let error = consumer.subscribe_pattern(bad).unwrap_err();
            let text = error.to_string();
            let ConsumeError::InvalidPattern { pattern, reason } = error else {
                panic!("{error}");
            };
            assert_eq!(pattern, bad);
            assert!(text.contains(&format!("{bad:?}")) && text.contains(&reason));
        }
        send(&topic, "x");
        assert!(!drain(&mut consumer).records.is_empty());
    }
}

#[test]
fn following_does_not_mix_with_assign_and_a_listener_needs_a_group() {
    struct Nothing;
    impl RebalanceListener for Nothing {}
    let broker = Broker::new();
    create(&broker, "t");
    let mut consumer = consumer(&broker, ConsumerConfig::new());
    let refused = consumer.subscribe_pattern_with(".*", Nothing);
    let asked = "subscribe_pattern_with";
    assert_eq!(refused, Err(ConsumeError::NoGroup { asked }));
    consumer.assign([("t", 0)]).unwrap();
    let refused = consumer.subscribe_pattern(".*");
    assert!(matches!(refused, Err(ConsumeError::MixedAssignment { .. })));
    consumer.unsubscribe();
    consumer.subscribe_pattern(".*").unwrap();
    let refused = consumer.assign([("t", 0)]);
    assert!(matches!(refused, Err(ConsumeError::MixedAssignment { .. })));
    // Without any topic it is subscribed nevertheless, until it unsubscribes.
    consumer.subscribe_pattern("nothing").unwrap();
    assert!(consumer.try_poll().unwrap().is_empty());
    consumer.unsubscribe();
    assert_eq!(
        consumer.try_poll().unwrap_err(),
        ConsumeError::NotSubscribed
    );
}

// ---- where reading begins -----------------------------------------------------------------

#[test]
fn a_new_topic_is_read_from_its_first_record_and_an_old_one_as_configured() {
    for config in [latest(), member()] {
        let broker = Broker::new();
        let old = create(&broker, "old");
        send(&old, "missed");
        let mut consumer = following(&broker, config, ".*");
        drain_all(&mut [&mut consumer]); // a group begins at its first poll
        let new = create(&broker, "new");
        send(&new, "first");
        send(&old, "later");
        let mut seen = drain_all(&mut [&mut consumer]).values();
        seen.sort();
        assert_eq!(seen, ["first", "later"]);
    }
}

#[test]
fn without_a_reset_policy_a_new_topic_has_a_position() {
    let broker = Broker::new();
    let config = ConsumerConfig::new().offset_reset(OffsetReset::None);
    let mut consumer = following(&broker, config, ".*");
    send(&create(&broker, "new"), "first");
    assert_eq!(drain(&mut consumer).values(), ["first"]);
}

#[test]
fn a_full_topic_that_was_never_polled_has_lost_nothing() {
    for config in [latest(), member()] {
        let broker = Broker::new();
        let mut consumer = following(&broker, config, "new");
        let topic = create(&broker, "new");
        let sent = fill(&topic);
        assert_eq!(fill(&topic), 0);
        let seen = drain_all(&mut [&mut consumer]);
        let values = seen.records.iter().map(|record| record.3.clone());
        let expected = (0..sent).map(|n| n.to_le_bytes().to_vec());
        assert!(values.eq(expected));
        assert_eq!(seen.lost, 0);
        drain_all(&mut [&mut consumer]);
        assert!(fill(&topic) > 0, "the segments that were read are free");
    }
}

#[test]
fn under_drop_oldest_what_a_new_topic_has_dropped_is_counted() {
    let broker = Broker::new();
    let mut consumer = following(&broker, latest(), "new");
    let config = small().overflow(Overflow::DropOldest);
    let topic = broker.create_topic("new", config).unwrap();
    (0..30).for_each(|_| send(&topic, "x"));
    let seen = drain(&mut consumer);
    assert!(seen.lost > 0);
    assert_eq!(seen.lost + seen.records.len() as u64, 30);
}

#[test]
fn partitions_added_to_a_topic_that_was_found_are_read() {
    let broker = Broker::new();
    let mut consumer = following(&broker, latest(), ".*");
    let topic = broker.create_topic("t", small().partitions(2)).unwrap();
    topic.add_partitions(3).unwrap(); // before the poll that finds the topic
    drain(&mut consumer);
    topic.add_partitions(20).unwrap(); // and after it
    let mut producer = topic.producer();
    for p in 0..20 {
        producer.send(Record::new("x").partition(p)).unwrap();
    }
    let partitions = drain(&mut consumer).records.into_iter().map(|r| r.1);
    assert_eq!(partitions.collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn another_subscription_keeps_what_the_old_one_has_found() {
    let broker = Broker::new();
    let mut consumer = following(&broker, latest(), "a.*");
    send(&create(&broker, "ab"), "kept");
    send(&create(&broker, "ac"), "left");
    consumer.subscribe_pattern(".b").unwrap(); // no poll in between
    assert_eq!(drain(&mut consumer).values(), ["kept"]);
    // By name, it does not follow any more.
    consumer.subscribe(["ab"]).unwrap();
    send(&create(&broker, "xb"), "not read");
    assert_eq!(names(&consumer), ["ab"]);
    assert!(drain(&mut consumer).records.is_empty());
}

// ---- topics that go -----------------------------------------------------------------------

#[test]
fn a_deleted_topic_is_left_and_its_successor_is_read_from_the_start() {
    for config in [latest(), member()] {
        let broker = Broker::new();
        let mut consumer = following(&broker, config, "orders|other");
        let mut expected = Vec::new();
        for round in 0..5 {
            let value = format!("round {round}");
            let topic = create(&broker, "orders");
            (0..=round).for_each(|_| send(&topic, &value));
            let seen = drain_all(&mut [&mut consumer]);
            let offsets = seen.records.iter().map(|record| record.2);
            assert!(offsets.eq(0..=round));
            expected.resize(expected.len() + round as usize + 1, value);
            broker.delete_topic("orders").unwrap();
            if round % 2 == 0 {
                assert!(drain_all(&mut [&mut consumer]).records.is_empty());
                assert!(names(&consumer).is_empty());
            }
        }
        send(&create(&broker, "other"), "other");
        assert_eq!(drain_all(&mut [&mut consumer]).values(), ["other"]);
    }
}

#[test]
fn a_closed_topic_is_read_to_its_end_and_reported_once() {
    for config in [ConsumerConfig::new(), member()] {
        let broker = Broker::new();
        let mut consumer = following(&broker, config, ".*");
        let topic = create(&broker, "a");
        send(&topic, "last");
        topic.close();
        assert_eq!(drain_until_closed(&mut consumer), ["last"]);
        // The subscription goes on: it has no end.
        assert!(drain_all(&mut [&mut consumer]).records.is_empty());
        send(&create(&broker, "b"), "next");
        assert_eq!(drain_all(&mut [&mut consumer]).values(), ["next"]);
        broker.delete_topic("a").unwrap();
        assert!(drain_all(&mut [&mut consumer]).records.is_empty());
        assert_eq!(names(&consumer), ["b"]);
    }
}

/// Polls until `Closed`, and returns the values read before.
fn drain_until_closed(consumer: &mut Consumer) -> Vec<String> {
    let mut values = Vec::new();
    for _ in 0..20 {
        match consumer.try_poll() {
            Ok(batch) => values.extend(
                batch
                    .iter()
                    .map(|r| String::from_utf8(r.value().unwrap().to_vec()).unwrap()),
            ),
            Err(ConsumeError::Closed { .. }) => return values,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("not closed");
}

#[test]
fn many_partitions_come_and_go() {
    let broker = Broker::new();
    let mut consumer = following(&broker, latest(), "t-.*");
    let config = || small().partitions(12).segment_records(2);
    for round in 0..6 {
        let name = format!("t-{round}");
        let topic = broker.create_topic(&name, config()).unwrap();
        let mut producer = topic.producer();
        for p in 0..12 {
            producer.send(Record::new(&name).partition(p)).unwrap();
        }
        assert_eq!(drain(&mut consumer).values(), vec![name; 12]);
        if round >= 1 {
            // The next poll would continue after a partition near the end of its list.
            producer.send(Record::new("x").partition(10)).unwrap();
            assert_eq!(drain(&mut consumer).values(), ["x"]);
            broker.delete_topic(&format!("t-{}", round - 1)).unwrap();
        }
    }
    assert!(drain(&mut consumer).records.is_empty());
    assert_eq!(consumer.assignment().len(), 12);
}

#[derive(Debug)]
struct Counted(#[allow(dead_code)] Arc<()>);

impl Partitioner for Counted {
    fn choose(&self, _: Option<&[u8]>, _: u32) -> PartitionChoice {
        PartitionChoice::Partition(0)
    }
}

#[test]
fn a_topic_deleted_before_it_was_found_is_freed() {
    for config in [latest(), member()] {
        let broker = Broker::new();
        let mut consumer = following(&broker, config, ".*");
        let count = Arc::new(());
        let config = small().partitioner(Counted(count.clone()));
        let topic = broker.create_topic("t", config).unwrap();
        send(&topic, "x");
        drop(topic);
        assert!(Arc::strong_count(&count) > 1);
        broker.delete_topic("t").unwrap();
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(drain_all(&mut [&mut consumer]).records.is_empty());
    }
}

#[test]
fn a_topic_deleted_after_it_was_found_is_freed_by_the_next_poll() {
    for config in [latest(), member()] {
        let broker = Broker::new();
        let mut consumer = following(&broker, config, ".*");
        let count = Arc::new(());
        let config = small().partitioner(Counted(count.clone()));
        send(&broker.create_topic("t", config).unwrap(), "x");
        assert_eq!(drain_all(&mut [&mut consumer]).values(), ["x"]);
        broker.delete_topic("t").unwrap();
        assert!(drain_all(&mut [&mut consumer]).records.is_empty());
        assert_eq!(Arc::strong_count(&count), 1);
    }
}

#[test]
fn a_consumer_that_is_gone_or_unsubscribed_holds_nothing_back() {
    let broker = Broker::new();
    let gone = following(&broker, latest(), ".*");
    let mut unsubscribed = following(&broker, latest(), ".*");
    let topic = create(&broker, "t");
    fill(&topic);
    assert_eq!(fill(&topic), 0);
    drop(gone);
    unsubscribed.unsubscribe();
    (0..30).for_each(|_| send(&topic, "x"));
    let later = create(&broker, "later");
    (0..30).for_each(|_| send(&later, "x"));
}

// ---- before the topic exists --------------------------------------------------------------

#[test]
fn a_name_that_is_unknown_is_an_error_unless_it_is_waited_for() {
    let broker = Broker::new();
    let mut strict = consumer(&broker, ConsumerConfig::new());
    let unknown = strict.subscribe(["orders"]).unwrap_err();
    let name = "orders".to_owned();
    assert_eq!(unknown, ConsumeError::UnknownTopic { name });
    assert!(unknown.to_string().contains("wait_for_topics"));
    for config in [latest(), member()] {
        let mut waiting = waiting_for_orders(&broker, config.clone());
        assert!(drain_all(&mut [&mut waiting]).records.is_empty());
        let topic = create(&broker, "orders");
        send(&create(&broker, "orders2"), "another topic");
        send(&topic, "first");
        assert_eq!(drain_all(&mut [&mut waiting]).values(), ["first"]);
        // Also after it was deleted and created again.
        broker.delete_topic("orders").unwrap();
        send(&create(&broker, "orders"), "again");
        assert_eq!(drain_all(&mut [&mut waiting]).values(), ["again"]);
        broker.delete_topic("orders").unwrap();
        broker.delete_topic("orders2").unwrap();
        assert!(drain_all(&mut [&mut waiting]).records.is_empty());
    }
}

#[test]
fn a_name_that_no_topic_can_have_is_not_waited_for() {
    let broker = Broker::new();
    let config = ConsumerConfig::new().wait_for_topics(true);
    let mut consumer = consumer(&broker, config);
    for name in ["", "a\nb"] {
        let refused = consumer.subscribe(["orders", name]).unwrap_err();
        let ConsumeError::InvalidName { setting, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(setting, "topic name");
    }
    let none: [&str; 0] = [];
    consumer.subscribe(none).unwrap();
    assert_eq!(
        consumer.try_poll().unwrap_err(),
        ConsumeError::NotSubscribed
    );
}

// ---- waiting ------------------------------------------------------------------------------

#[test]
fn a_waiting_task_is_woken_by_a_topic_that_it_follows_and_by_no_other() {
    for config in [latest(), member()] {
        let broker = Broker::new();
        let mut consumer = following(&broker, config, "orders-.*");
        drain_all(&mut [&mut consumer]);
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let mut waits = pin!(consumer.poll_async());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        let before = count.get();
        create(&broker, "payments");
        assert_eq!(count.get(), before);
        let topic = create(&broker, "orders-eu");
        assert!(count.get() > before, "not woken");
        assert!(waits.as_mut().poll(&mut context).is_pending());
        // Deleted, it wakes the task too, which goes on waiting.
        let before = count.get();
        broker.delete_topic("orders-eu").unwrap();
        assert!(count.get() > before, "not woken");
        assert!(waits.as_mut().poll(&mut context).is_pending());
        drop(topic);
        let topic = create(&broker, "orders-eu");
        assert!(waits.as_mut().poll(&mut context).is_pending());
        let before = count.get();
        send(&topic, "x");
        assert!(count.get() > before, "not woken");
        match waits.as_mut().poll(&mut context) {
            Poll::Ready(batch) => assert_eq!(batch.unwrap().len(), 1),
            Poll::Pending => panic!("still pending"),
        };
    }
}

#[test]
fn a_thread_that_waits_reads_a_topic_that_is_created_meanwhile() {
    for config in [latest(), member()] {
        for existing in [0, 1] {
            let broker = Broker::new();
            for n in 0..existing {
                create(&broker, &format!("t-{n}"));
            }
            let mut consumer = following(&broker, config.clone(), "t-.*");
            let waiting = thread::spawn(move || consumer.poll(LIMIT).unwrap().len());
            send(&create(&broker, "t-new"), "x");
            assert_eq!(waiting.join().unwrap(), 1, "nothing came in time");
        }
    }
}

#[test]
fn a_wakeup_and_a_topic_that_is_found_do_not_hide_each_other() {
    let broker = Broker::new();
    let mut consumer = following(&broker, latest(), ".*");
    let handle = consumer.wakeup_handle();
    for round in 0..2 {
        let name = format!("t{round}");
        if round == 0 {
            handle.wakeup();
        }
        send(&create(&broker, &name), "x");
        if round == 1 {
            handle.wakeup();
        }
        assert_eq!(consumer.try_poll().unwrap_err(), ConsumeError::Wakeup);
        assert_eq!(drain(&mut consumer).values(), ["x"]);
    }
}

#[cfg(feature = "stream")]
#[test]
fn a_stream_follows_topics_and_does_not_end() {
    use futures_core::Stream;
    let broker = Broker::new();
    let mut stream = pin!(following(&broker, latest(), ".*").into_stream());
    let mut context = Context::from_waker(Waker::noop());
    assert!(stream.as_mut().poll_next(&mut context).is_pending());
    for name in ["a", "b"] {
        let topic = create(&broker, name);
        send(&topic, name);
        topic.close();
        let Poll::Ready(Some(Ok(record))) = stream.as_mut().poll_next(&mut context) else {
            panic!("no record");
        };
        assert_eq!(&*record.topic, name);
        let Poll::Ready(Some(Err(error))) = stream.as_mut().poll_next(&mut context) else {
            panic!("not closed");
        };
        assert!(matches!(error, ConsumeError::Closed { .. }));
        assert!(stream.as_mut().poll_next(&mut context).is_pending());
    }
}

// ---- groups -------------------------------------------------------------------------------

#[test]
fn members_share_the_topics_that_they_follow() {
    let broker = Broker::new();
    let mut a = following(&broker, member(), ".*");
    let mut b = following(&broker, member(), ".*");
    drain_all(&mut [&mut a, &mut b]);
    for round in 0..4 {
        let config = small().partitions(4);
        let topic = broker.create_topic(&format!("t{round}"), config).unwrap();
        let mut producer = topic.producer();
        for p in 0..4 {
            producer.send(Record::new("x").partition(p)).unwrap();
        }
        let seen = drain_all(&mut [&mut a, &mut b]);
        let read: BTreeSet<_> = seen.records.iter().map(|r| (r.1, r.2)).collect();
        assert_eq!(read, (0..4).map(|p| (p, 0)).collect());
        assert_eq!(seen.records.len(), 4);
        assert_eq!(a.assignment().len(), b.assignment().len());
        if round % 2 == 0 {
            broker.delete_topic(&format!("t{round}")).unwrap();
        }
    }
}

#[test]
fn members_may_follow_different_topics() {
    let broker = Broker::new();
    let mut a = following(&broker, member(), "a-.*");
    let mut b = following(&broker, member(), "b-.*");
    let mut plain = consumer(&broker, member());
    create(&broker, "plain");
    plain.subscribe(["plain"]).unwrap();
    for name in ["a-1", "b-1", "c-1"] {
        send(&create(&broker, name), name);
    }
    drain_all(&mut [&mut a, &mut b, &mut plain]);
    assert_eq!(names(&a), ["a-1"]);
    assert_eq!(names(&b), ["b-1"]);
    assert_eq!(names(&plain), ["plain"]);
    // A member that changes its pattern leaves its topics to others, and finds new ones.
    b.subscribe_pattern("[ac]-.*").unwrap();
    send(&create(&broker, "c-2"), "c-2");
    drain_all(&mut [&mut a, &mut b, &mut plain]);
    let all: BTreeSet<_> = names(&a).into_iter().chain(names(&b)).collect();
    assert!(all.iter().eq(["a-1", "c-1", "c-2"]));
    // By name, it follows no more.
    b.subscribe(["b-1"]).unwrap();
    create(&broker, "c-3");
    drain_all(&mut [&mut a, &mut b, &mut plain]);
    assert_eq!(names(&b), ["b-1"]);
}

#[test]
fn any_member_takes_in_what_was_found_for_a_member_that_is_silent() {
    let broker = Broker::new();
    let mut silent = following(&broker, member(), ".*");
    let mut busy = following(&broker, member(), ".*");
    drain_all(&mut [&mut silent, &mut busy]);
    let topics: Vec<_> = (0..4).map(|n| create(&broker, &format!("t{n}"))).collect();
    let sent: u64 = topics.iter().map(fill).sum();
    // The silent member has none of them yet, and it holds nothing back beside its group.
    let mut seen = drain_all(&mut [&mut busy]).records.len() as u64;
    let owned = names(&busy).len();
    assert!((1..4).contains(&owned));
    let read: Vec<_> = topics
        .iter()
        .filter(|t| names(&busy).contains(&t.name().to_owned()))
        .collect();
    drain_all(&mut [&mut busy]);
    for topic in read {
        assert!(fill(topic) > 0);
    }
    seen += drain_all(&mut [&mut silent]).records.len() as u64;
    assert!(seen >= sent);
}

#[test]
fn a_member_that_leaves_hands_over_what_was_found_for_it() {
    for leave in [Consumer::close, drop] {
        let broker = Broker::new();
        let leaving = following(&broker, member(), "new");
        let mut staying = following(&broker, member(), "other");
        drain_all(&mut [&mut staying]);
        let sent = fill(&create(&broker, "new"));
        leave(leaving); // without a poll after the topic was created
        staying.subscribe_pattern("new|other").unwrap();
        let seen = drain_all(&mut [&mut staying]);
        assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
    }
}

#[test]
fn a_member_that_changes_its_pattern_hands_over_what_was_found_for_it() {
    let broker = Broker::new();
    let mut changing = following(&broker, member(), "new");
    let mut other = following(&broker, member(), "other");
    let sent = fill(&create(&broker, "new"));
    changing.subscribe_pattern("something else").unwrap();
    other.subscribe_pattern("new").unwrap();
    let seen = drain_all(&mut [&mut changing, &mut other]);
    assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
}

#[test]
fn a_named_member_that_is_away_misses_nothing() {
    let broker = Broker::new();
    let config = member().instance_id("one");
    let mut away = following(&broker, config.clone(), ".*");
    drain_all(&mut [&mut away]);
    away.close();
    let sent = fill(&create(&broker, "new"));
    let mut back = following(&broker, config.clone(), ".*");
    let seen = drain_all(&mut [&mut back]);
    assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
    // A second one with its name takes its place, without a poll of the first in between.
    let sent = fill(&create(&broker, "newer"));
    let mut second = following(&broker, config, ".*");
    let seen = drain_all(&mut [&mut second]);
    assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
    let fenced = back.try_poll().map(|batch| batch.len());
    assert!(matches!(fenced, Err(ConsumeError::Fenced { .. })));
}

#[test]
fn a_member_that_was_expelled_hands_over_what_was_found_and_follows_again() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let config = || {
        let config = member().max_poll_interval(Duration::from_millis(100));
        config.clock(|| Duration::from_millis(NOW.load(Ordering::SeqCst)))
    };
    let broker = Broker::new();
    let mut silent = following(&broker, config(), "new.*");
    let mut busy = following(&broker, config(), "other");
    drain_all(&mut [&mut silent, &mut busy]);
    let sent = fill(&create(&broker, "new"));
    while broker.describe_group("g").unwrap().members.len() > 1 {
        NOW.fetch_add(50, Ordering::SeqCst);
        drain(&mut busy);
    }
    busy.subscribe_pattern("new").unwrap();
    let seen = drain_all(&mut [&mut busy]);
    assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
    let fenced = silent.try_poll().map(|batch| batch.len());
    assert!(matches!(fenced, Err(ConsumeError::Fenced { .. })));
    drain_all(&mut [&mut silent, &mut busy]);
    // It has joined again, and follows what it followed before.
    let sent = fill(&create(&broker, "newer"));
    let seen = drain_all(&mut [&mut silent, &mut busy]);
    assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
    assert!(names(&silent).contains(&"newer".to_owned()));
}

#[test]
fn the_poll_that_expels_a_member_takes_over_what_was_found_for_it() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let config = || {
        let config = member().max_poll_interval(Duration::from_millis(100));
        config.clock(|| Duration::from_millis(NOW.load(Ordering::SeqCst)))
    };
    let broker = Broker::new();
    let mut silent = following(&broker, config(), "new.*");
    let mut busy = following(&broker, config(), "other");
    drain_all(&mut [&mut silent, &mut busy]);
    let check = |busy: &mut Consumer, milliseconds| {
        NOW.fetch_add(milliseconds, Ordering::SeqCst);
        // One of them reads the clock.
        (0..100).for_each(|_| assert!(busy.try_poll().unwrap().is_empty()));
        broker.describe_group("g").unwrap().members.len()
    };
    assert_eq!(check(&mut busy, 50), 2);
    assert_eq!(check(&mut busy, 50), 2);
    let sent = fill(&create(&broker, "new"));
    assert_eq!(check(&mut busy, 100), 1);
    busy.subscribe_pattern("new").unwrap();
    let seen = drain_all(&mut [&mut busy]);
    assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
}

/// The member's assignor is asked for its name between the look at the topics and the joining.
#[test]
fn a_topic_deleted_during_the_subscription_is_left_out() {
    #[derive(Debug)]
    struct Deletes(Broker);
    impl Assignor for Deletes {
        fn name(&self) -> &str {
            self.0.delete_topic("t").ok();
            "deletes"
        }
        fn protocol(&self) -> RebalanceProtocol {
            RangeAssignor.protocol()
        }
        fn assign(&self, group: &GroupView) -> Assignment {
            RangeAssignor.assign(group)
        }
    }
    let broker = Broker::new();
    create(&broker, "t");
    let config = member().assignor(Deletes(broker.clone()));
    let mut consumer = following(&broker, config, ".*");
    assert!(broker.topic("t").is_err());
    send(&create(&broker, "other"), "x");
    assert_eq!(drain_all(&mut [&mut consumer]).values(), ["x"]);
}

/// The listener is called between the look at the deleted topics and the reading.
#[test]
fn a_topic_deleted_during_a_poll_is_left_without_an_error() {
    struct Deletes(Broker);
    impl RebalanceListener for Deletes {
        fn assigned(&mut self, _: &mut Rebalance<'_>) {
            let topic = self.0.topic("orders").unwrap();
            let mut producer = topic.exclusive_producer().unwrap();
            self.0.delete_topic("orders").unwrap();
            // With this refusal its log ends.
            assert!(producer.try_send(Record::new("x")).is_err());
        }
    }
    for records in 0..2 {
        let broker = Broker::new();
        let mut consumer = consumer(&broker, member());
        let listener = Deletes(broker.clone());
        consumer.subscribe_pattern_with("orders", listener).unwrap();
        let topic = create(&broker, "orders");
        (0..records).for_each(|_| send(&topic, "x"));
        assert!(drain_all(&mut [&mut consumer]).records.is_empty());
        assert!(broker.topic("orders").is_err());
        assert!(names(&consumer).is_empty());
    }
}

#[test]
fn a_successor_created_during_the_deletion_is_read_from_its_first_record() {
    struct Recreate {
        broker: Broker,
        member: Mutex<Consumer>,
        sent: AtomicU64,
    }
    impl Wake for Recreate {
        fn wake(self: Arc<Self>) {
            if self.sent.load(Ordering::SeqCst) > 0 {
                return;
            }
            let created = self.broker.create_topic("orders", small());
            self.sent.store(fill(&created.unwrap()), Ordering::SeqCst);
            drain_all(&mut [&mut self.member.lock().unwrap()]);
        }
    }
    let broker = Broker::new();
    create(&broker, "orders");
    let mut sleeping = following(&broker, member(), "orders");
    let mut other = following(&broker, member(), "orders");
    drain_all(&mut [&mut sleeping, &mut other]);
    assert!(other.assignment().is_empty());
    let recreate = Arc::new(Recreate {
        broker: broker.clone(),
        member: Mutex::new(other),
        sent: AtomicU64::new(0),
    });
    let waker = Waker::from(recreate.clone());
    let mut context = Context::from_waker(&waker);
    {
        let mut waits = pin!(sleeping.poll_async());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        broker.delete_topic("orders").unwrap();
    }
    let sent = recreate.sent.load(Ordering::SeqCst);
    assert!(sent > 0, "not woken");
    let topic = broker.topic("orders").unwrap();
    assert_eq!(fill(&topic), 0, "the group holds nothing back");
    let mut other = recreate.member.lock().unwrap();
    let seen = drain_all(&mut [&mut sleeping, &mut other]);
    assert_eq!((seen.records.len() as u64, seen.lost), (sent, 0));
}

#[test]
fn a_listener_learns_which_topics_come_and_go() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);
    impl Log {
        fn add(&self, what: &str, partitions: &[TopicPartition]) {
            let names = partitions.iter().map(|p| format!("{what} {}", p.topic));
            self.0.lock().unwrap().extend(names);
        }
    }
    impl RebalanceListener for Log {
        fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
            self.add("got", rebalance.partitions());
        }
        fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
            self.add("gave", rebalance.partitions());
        }
        fn lost(&mut self, partitions: &[TopicPartition]) {
            self.add("lost", partitions);
        }
    }
    let broker = Broker::new();
    let log = Log::default();
    let mut consumer = consumer(&broker, member());
    consumer.subscribe_pattern_with("t.", log.clone()).unwrap();
    drain_all(&mut [&mut consumer]);
    create(&broker, "t1");
    drain_all(&mut [&mut consumer]);
    broker.delete_topic("t1").unwrap();
    create(&broker, "t2");
    drain_all(&mut [&mut consumer]);
    consumer.close();
    let log = log.0.lock().unwrap();
    assert_eq!(*log, ["got t1", "lost t1", "got t2", "gave t2"]);
}

// ---- threads ------------------------------------------------------------------------------

/// Each consumer subscribes while topics are created, written to, and some of them deleted and
/// created again. Each reads every record of the topics that stay, once.
#[test]
fn a_subscription_beside_creations_misses_no_topic_and_reads_none_twice() {
    const TOPICS: usize = 30;
    const RECORDS: usize = 3;
    let broker = Broker::new();
    let start = Instant::now();
    thread::scope(|scope| {
        for half in 0..2 {
            let broker = &broker;
            scope.spawn(move || {
                for n in (half..TOPICS).step_by(2) {
                    let topic = create(broker, &format!("stays-{n}"));
                    let mut producer = topic.producer();
                    for _ in 0..RECORDS {
                        producer.send(Record::new("x")).unwrap();
                    }
                    let passing = broker.get_or_create_topic("passing", small()).unwrap();
                    passing.producer().try_send(Record::new("x")).ok();
                    broker.delete_topic("passing").ok();
                }
            });
        }
        // Two by themselves, and the two members of a group.
        for group in [None, None] {
            let broker = &broker;
            scope.spawn(move || read_all(broker, group, TOPICS * RECORDS, start));
        }
        let broker = &broker;
        scope.spawn(move || read_all(broker, Some("g"), TOPICS * RECORDS, start));
    });

    fn read_all(broker: &Broker, group: Option<&str>, records: usize, start: Instant) {
        let config = || match group {
            Some(group) => ConsumerConfig::new().group(group),
            None => ConsumerConfig::new(),
        };
        let mut consumers = vec![following(broker, config(), "stays-.*|passing")];
        if group.is_some() {
            consumers.push(following(broker, config(), "stays-.*|passing"));
        }
        let mut seen = Seen::default();
        let mut count = BTreeMap::new();
        while count.len() < records {
            assert!(
                start.elapsed() < LIMIT,
                "{} of {records} records",
                count.len()
            );
            for consumer in &mut consumers {
                seen.poll(consumer);
            }
            for (topic, partition, offset, _) in seen.records.drain(..) {
                if topic != "passing" {
                    *count.entry((topic, partition, offset)).or_insert(0) += 1;
                }
            }
        }
        assert!(count.values().all(|times| *times == 1));
        assert_eq!(seen.lost, 0);
    }
}

#[test]
fn after_a_topic_is_deleted_partitions_added_to_another_are_read() {
    for config in [ConsumerConfig::new(), ConsumerConfig::new().group("g")] {
        let broker = Broker::new();
        let [kept, _deleted] = ["orders.a", "orders.b"].map(|name| create(&broker, name));
        let mut consumer = following(&broker, config, "orders.*");
        assert!(consumer.try_poll().unwrap().is_empty());
        broker.delete_topic("orders.b").unwrap();
        assert!(consumer.try_poll().unwrap().is_empty());
        kept.add_partitions(2).unwrap();
        kept.producer().send(Record::new("x").partition(1)).unwrap();
        let mut polls = (0..4).map(|_| consumer.try_poll().unwrap().partition());
        assert!(polls.any(|partition| partition == Some(1)));
    }
}

/// Ends a wait at the first attempt, and counts the waits.
#[derive(Clone, Debug, Default)]
struct CountWaits(Arc<AtomicU64>);

impl WaitPolicy for CountWaits {
    fn next(&self, attempts: u32) -> WaitAction {
        if attempts == 1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        WaitAction::Yield
    }
}

#[test]
fn a_consumer_waits_as_the_topic_that_it_found_does() {
    for config in [ConsumerConfig::new(), member()] {
        let broker = Broker::new();
        let mut consumer = following(&broker, config, "orders");
        assert!(consumer.try_poll().unwrap().is_empty());
        let waits = CountWaits::default();
        let config = small().wait(WaitStrategy::Custom(Arc::new(waits.clone())));
        broker.create_topic("orders", config).unwrap();
        assert!(consumer.try_poll().unwrap().is_empty());
        assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
        assert_eq!(waits.0.load(Ordering::SeqCst), 1);
    }
}
