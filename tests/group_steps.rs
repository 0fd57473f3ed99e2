//! Groups, step by step in one thread: who gets what, from where, and what is refused.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, grouped, make, subscribed};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Fence, HoldBack, OffsetReset, Overflow,
    Producer, RangeAssignor, Rebalance, RebalanceListener, Record, StickyAssignor, TopicConfig,
    TopicPartition,
};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn send(producer: &mut Producer, partition: u32, records: u64) {
    for _ in 0..records {
        producer
            .try_send(Record::new(b"x").partition(partition))
            .unwrap();
    }
}

/// Everything there is to read now, as partition and offset.
fn read(consumer: &mut Consumer) -> Vec<(u32, u64)> {
    let all = common::drain(consumer).into_iter();
    let mut all: Vec<_> = all.map(|(p, offset, _)| (p, offset)).collect();
    all.sort_unstable();
    all
}

fn partitions(consumer: &Consumer) -> Vec<u32> {
    let mut all: Vec<_> = consumer.assignment().iter().map(|p| p.partition).collect();
    all.sort_unstable();
    all
}

#[test]
fn members_share_the_partitions_and_hand_them_over() {
    let (broker, topic) = make(TopicConfig::new().partitions(4));
    let mut producer = topic.producer();
    for p in 0..4 {
        send(&mut producer, p, 3);
    }
    let mut a = subscribed(&broker, grouped());
    assert_eq!(read(&mut a).len(), 12);
    let mut b = subscribed(&broker, grouped());
    assert_eq!(read(&mut b), []);
    assert_eq!(read(&mut a), []);
    assert_eq!(read(&mut b), []);
    assert_eq!(partitions(&a).len(), 2);
    assert_eq!(partitions(&b).len(), 2);
    for p in 0..4 {
        send(&mut producer, p, 1);
    }
    let (of_a, of_b) = (read(&mut a), read(&mut b));
    assert_eq!((of_a.len(), of_b.len()), (2, 2));
    drop(a);
    for p in 0..4 {
        send(&mut producer, p, 1);
    }
    // a has not polled since, so the last batch that it got may not have been handled.
    assert_eq!(read(&mut b).len(), 4);
}

// ---- a clock of the test's own ----------------------------------------------------------

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn now() -> Duration {
    Duration::from_millis(NOW.get())
}

fn pass(ms: u64) {
    NOW.set(NOW.get() + ms);
}

/// Has a member poll for so long; what it has read.
fn outlive(member: &mut Consumer, ms: u64) -> Vec<(u32, u64)> {
    let mut seen = Vec::new();
    for _ in 0..ms / 50 {
        pass(50);
        seen.extend((0..64).flat_map(|_| read(member)));
    }
    seen
}

fn timed() -> ConsumerConfig {
    grouped()
        .max_poll_interval(Duration::from_secs(1))
        .clock(now)
}

fn is_fenced<T>(result: Result<T, ConsumeError>, expected: Fence) -> bool {
    matches!(result, Err(ConsumeError::Fenced { reason, .. }) if reason == expected)
}

#[test]
fn a_member_that_does_not_poll_is_taken_for_dead_and_may_come_back() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    let (mut a, mut b) = (subscribed(&broker, timed()), subscribed(&broker, timed()));
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    send(&mut producer, partitions(&a)[0], 2);
    assert_eq!(a.try_poll().unwrap().len(), 2);
    outlive(&mut b, 1000);
    assert_eq!(partitions(&b).len(), 1, "not yet");
    // The batch was not committed: a has not polled since.
    assert_eq!(outlive(&mut b, 300).len(), 2);
    assert_eq!(partitions(&b), [0, 1]);
    assert!(is_fenced(a.commit(), Fence::MaxPollInterval));
    let here = (a.assignment()[0].clone(), 1);
    assert!(is_fenced(a.commit_offsets(&[here]), Fence::MaxPollInterval));
    assert!(is_fenced(a.try_poll(), Fence::MaxPollInterval));
    assert_eq!(a.assignment(), []);
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    assert_eq!((partitions(&a).len(), partitions(&b).len()), (1, 1));
}

#[test]
fn with_an_interval_of_zero_nobody_is_taken_for_dead() {
    let (broker, _topic) = make(TopicConfig::new().partitions(2));
    let config = timed().max_poll_interval(Duration::ZERO);
    let (mut a, mut b) = (
        subscribed(&broker, config.clone()),
        subscribed(&broker, config),
    );
    read(&mut a);
    for _ in 0..10 {
        outlive(&mut b, 5000);
    }
    assert_eq!(partitions(&b), [1]);
    assert!(a.try_poll().is_ok());
}

#[test]
fn the_dead_hold_back_no_more_than_their_group() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, timed());
    send(&mut producer, 0, 8);
    assert_eq!(a.try_poll().unwrap().len(), 4);
    assert!(
        producer.try_send(Record::new(b"x")).is_err(),
        "nothing is committed"
    );
    let mut b = subscribed(&broker, timed());
    read(&mut b);
    // a has not let go of anything, and never will.
    assert_eq!(outlive(&mut b, 1300).len(), 8);
    send(&mut producer, 0, 4);
    assert_eq!(read(&mut b).len(), 4);
    assert!(is_fenced(a.try_poll(), Fence::MaxPollInterval));
}

#[test]
fn what_a_group_has_to_read_again_is_held_while_it_has_no_members() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped());
    send(&mut producer, 0, 8);
    assert_eq!(a.try_poll().unwrap().len(), 4);
    drop(a);
    assert!(producer.try_send(Record::new(b"x")).is_err());
    let mut b = subscribed(&broker, grouped());
    assert_eq!(read(&mut b).len(), 8);
    drop(b);
    send(&mut producer, 0, 4);
    let mut c = subscribed(&broker, grouped());
    assert_eq!(read(&mut c), [8, 9, 10, 11].map(|offset| (0, offset)));
    drop(c);
    // An abandoned group is deleted.
    while producer.try_send(Record::new(b"x")).is_ok() {}
    broker.delete_group("g").unwrap();
    send(&mut producer, 0, 100);
    let before = topic.memory_bytes();
    for _ in 0..20 {
        let mut d = subscribed(&broker, grouped());
        read(&mut d);
    }
    broker.delete_group("g").unwrap();
    assert_eq!(topic.memory_bytes(), before, "spares do not pile up");
}

#[test]
fn a_commit_lets_producers_go_on_as_far_as_it_goes() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped().auto_commit(false));
    read(&mut a);
    let mut room = || {
        let sent = (0..100).take_while(|_| producer.try_send(Record::new(b"x")).is_ok());
        sent.count()
    };
    assert_eq!(room(), 8);
    assert_eq!((read(&mut a).len(), room()), (8, 0));
    a.commit_offsets(&[(TopicPartition::new(TOPIC, 0), 3)])
        .unwrap();
    assert_eq!(room(), 0);
    a.commit().unwrap();
    assert_eq!(room(), 4);
}

#[test]
fn with_hold_back_read_what_was_read_may_go() {
    for (hold_back, more) in [(HoldBack::Committed, 0), (HoldBack::Read, 4)] {
        let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
        let mut producer = topic.producer();
        let config = grouped().auto_commit(false).hold_back(hold_back);
        let mut a = subscribed(&broker, config.clone());
        send(&mut producer, 0, 8);
        assert_eq!(read(&mut a).len(), 8);
        let sent = (0..4).take_while(|_| producer.try_send(Record::new(b"x")).is_ok());
        assert_eq!(sent.count(), more);
        drop(a);
        let mut b = subscribed(&broker, config);
        let batch = b.try_poll().unwrap();
        let first = batch.iter().next().unwrap().offset();
        assert_eq!(first - batch.lost(), 0);
        assert_eq!(batch.lost() > 0, more > 0);
    }
}

#[test]
fn a_group_that_was_overtaken_is_told_what_it_lost() {
    let config = TopicConfig::new().segments(2).segment_records(4);
    let (broker, topic) = make(config.overflow(Overflow::DropOldest));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, self::grouped());
    send(&mut producer, 0, 2);
    assert_eq!(read(&mut a).len(), 2);
    drop(a);
    send(&mut producer, 0, 40);
    let mut b = subscribed(&broker, self::grouped());
    let batch = b.try_poll().unwrap();
    let start = topic.log_start_offset(0).unwrap();
    assert_eq!(batch.iter().next().unwrap().offset(), start);
    assert_eq!(batch.lost(), start - 2);
}

// ---- names that outlive their members ---------------------------------------------------

#[test]
fn a_named_member_that_comes_back_gets_its_partitions_without_a_rebalance() {
    let (broker, topic) = make(TopicConfig::new().partitions(4));
    let mut producer = topic.producer();
    let named = |name: &str| timed().instance_id(name);
    let (mut a, mut b) = (
        subscribed(&broker, named("a")),
        subscribed(&broker, named("b")),
    );
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    let (of_a, of_b, generation) = (partitions(&a), partitions(&b), b.generation());
    drop(a);
    for p in 0..4 {
        send(&mut producer, p, 1);
    }
    assert_eq!(outlive(&mut b, 900).len(), 2);
    let group = broker.describe_group("g").unwrap();
    assert_eq!(group.members.iter().filter(|m| m.is_live).count(), 1);
    let mut a = subscribed(&broker, named("a"));
    assert_eq!(read(&mut a).len(), 2);
    assert_eq!((partitions(&a), partitions(&b)), (of_a, of_b.clone()));
    assert_eq!((a.generation(), b.generation()), (generation, generation));
    // When it stays away, they go to the others.
    drop(a);
    outlive(&mut b, 1000);
    assert_eq!(partitions(&b), of_b);
    outlive(&mut b, 300);
    assert_eq!(partitions(&b), [0, 1, 2, 3]);
    // When it unsubscribes, at once.
    let mut a = subscribed(&broker, named("a"));
    for _ in 0..2 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    assert_eq!(partitions(&a).len(), 2);
    a.unsubscribe();
    read(&mut b);
    assert_eq!(partitions(&b), [0, 1, 2, 3]);
}

#[test]
fn of_two_of_one_name_the_older_is_fenced_for_good() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let named = grouped().instance_id("a");
    let mut old = subscribed(&broker, named.clone());
    send(&mut producer, 0, 1);
    assert_eq!(read(&mut old), [(0, 0)]);
    let mut new = subscribed(&broker, named);
    send(&mut producer, 0, 1);
    assert_eq!(read(&mut new), [(0, 1)]);
    assert!(is_fenced(old.commit(), Fence::InstanceId));
    for _ in 0..3 {
        assert!(is_fenced(old.try_poll(), Fence::InstanceId));
        assert!(new.try_poll().is_ok());
    }
    // Unless it says so itself.
    old.subscribe(&[TOPIC]).unwrap();
    assert!(is_fenced(new.try_poll(), Fence::InstanceId));
    assert!(old.try_poll().is_ok());
    assert_eq!(partitions(&old), [0]);
}

// ---- the listener -----------------------------------------------------------------------

type Told = Arc<Mutex<Vec<String>>>;

struct Tells(Told, &'static str);

impl Tells {
    fn tell(&self, what: &str, partitions: &[TopicPartition]) {
        let numbers: Vec<_> = partitions.iter().map(|p| p.partition).collect();
        let line = format!("{} {what} {numbers:?}", self.1);
        self.0.lock().unwrap().push(line);
    }
}

impl RebalanceListener for Tells {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        self.tell("assigned", rebalance.partitions());
    }
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        self.tell("revoked", rebalance.partitions());
    }
    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.tell("lost", partitions);
    }
}

fn telling(broker: &Broker, config: ConsumerConfig, told: &Told, name: &'static str) -> Consumer {
    let mut consumer = broker.consumer(config);
    let listener = Tells(told.clone(), name);
    consumer.subscribe_with(&[TOPIC], listener).unwrap();
    consumer
}

#[test]
fn a_cooperative_listener_is_told_what_moves_and_nothing_else() {
    let (broker, _topic) = make(TopicConfig::new().partitions(4));
    let told = Told::default();
    let mut a = telling(&broker, timed(), &told, "a");
    read(&mut a);
    a.pause(TOPIC, 0).unwrap();
    let mut b = telling(&broker, timed(), &told, "b");
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    outlive(&mut b, 1300);
    assert!(a.try_poll().is_err());
    b.unsubscribe();
    let told = told.lock().unwrap();
    assert_eq!(
        *told,
        [
            "a assigned [0, 1, 2, 3]",
            "a revoked [2, 3]",
            "b assigned [2, 3]",
            "b assigned [0, 1]",
            "a lost [0, 1]",
            "b revoked [2, 3, 0, 1]",
        ]
    );
}

#[test]
fn under_an_eager_assignor_everybody_gives_everything_back_first() {
    let (broker, _topic) = make(TopicConfig::new().partitions(4));
    let told = Told::default();
    let config = grouped().assignor(StickyAssignor);
    let mut a = telling(&broker, config.clone(), &told, "a");
    let mut b = telling(&broker, config.clone(), &told, "b");
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    told.lock().unwrap().clear();
    let mut c = telling(&broker, config, &told, "c");
    for _ in 0..2 {
        assert!(read(&mut c).is_empty() && read(&mut a).is_empty());
    }
    assert_eq!(partitions(&c), [], "b has not let go");
    for _ in 0..2 {
        read(&mut b);
        read(&mut a);
        read(&mut c);
    }
    let told = told.lock().unwrap();
    assert!(told[0].starts_with("a revoked [") && told[1].starts_with("b revoked ["));
    let mut all = [partitions(&a), partitions(&b), partitions(&c)].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

/// Commits one offset at the last moment, and begins one further on.
struct Careful;

impl RebalanceListener for Careful {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        for p in rebalance.partitions().to_vec() {
            let position = rebalance.position(&p.topic, p.partition).unwrap();
            let committed = rebalance.committed(&p.topic, p.partition).unwrap();
            assert_eq!(position, committed.unwrap_or(0));
            rebalance.seek(&p.topic, p.partition, position + 1).unwrap();
        }
    }
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        let offsets: Vec<_> = rebalance
            .partitions()
            .iter()
            .map(|p| (p.clone(), 2))
            .collect();
        rebalance.commit_offsets(&offsets).unwrap();
    }
}

#[test]
fn a_listener_can_commit_what_it_gives_back_and_choose_where_to_begin() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    for p in 0..2 {
        send(&mut producer, p, 5);
    }
    let config = grouped().auto_commit(false);
    let mut a = broker.consumer(config.clone());
    a.subscribe_with(&[TOPIC], Careful).unwrap();
    assert_eq!(read(&mut a).len(), 8, "each but its first");
    let mut b = subscribed(&broker, config);
    read(&mut b);
    read(&mut a);
    assert_eq!(read(&mut b).len(), 3, "from the third on");
}

struct Panics(&'static str);

/// What panics here, on purpose: without a message.
struct OnPurpose;

impl Panics {
    fn at(&self, when: &str) {
        if self.0 == when {
            resume_unwind(Box::new(OnPurpose));
        }
    }
}

impl RebalanceListener for Panics {
    fn assigned(&mut self, _: &mut Rebalance<'_>) {
        self.at("assigned");
    }
    fn revoked(&mut self, _: &mut Rebalance<'_>) {
        self.at("revoked");
    }
    fn lost(&mut self, _: &[TopicPartition]) {
        self.at("lost");
    }
}

#[test]
fn a_member_whose_listener_panics_leaves_and_the_others_go_on() {
    for when in ["assigned", "revoked", "lost"] {
        let (broker, topic) = make(TopicConfig::new().partitions(2));
        let mut producer = topic.producer();
        for p in 0..2 {
            send(&mut producer, p, 1);
        }
        let mut a = broker.consumer(timed());
        a.subscribe_with(&[TOPIC], Panics(when)).unwrap();
        let mut b = subscribed(&broker, timed());
        let mut polls = || {
            for _ in 0..3 {
                let _ = read(&mut a);
                if when == "lost" {
                    read(&mut b);
                    outlive(&mut b, 1300);
                }
                read(&mut b);
            }
        };
        if when == "revoked" {
            // It has everything first.
            drop(std::mem::replace(&mut b, broker.consumer(timed())));
            read(&mut a);
            b.subscribe(&[TOPIC]).unwrap();
            read(&mut b);
            let panic = catch_unwind(AssertUnwindSafe(|| read(&mut a).len()));
            assert!(panic.err().unwrap().is::<OnPurpose>());
        } else {
            let panic = catch_unwind(AssertUnwindSafe(&mut polls));
            assert!(panic.err().unwrap().is::<OnPurpose>(), "{when}");
        }
        assert_eq!(a.assignment(), []);
        assert_eq!(a.try_poll().err(), Some(ConsumeError::NotSubscribed));
        for _ in 0..3 {
            read(&mut b);
        }
        assert_eq!(partitions(&b), [0, 1], "{when}");
        let group = broker.describe_group("g").unwrap();
        assert_eq!(group.members.len(), 1);
        // And it may come back.
        a.subscribe(&[TOPIC]).unwrap();
        for _ in 0..3 {
            assert!(read(&mut a).len() + read(&mut b).len() <= 1);
        }
        assert_eq!((partitions(&a).len(), partitions(&b).len()), (1, 1));
    }
}

// ---- subscriptions that change ----------------------------------------------------------

#[test]
fn members_read_what_they_are_subscribed_to() {
    let broker = Broker::new();
    for name in ["a", "b"] {
        let config = TopicConfig::new().partitions(2);
        broker.create_topic(name, config).unwrap();
    }
    let of = |consumer: &Consumer| {
        let all = consumer.assignment().into_iter();
        let mut all: Vec<_> = all.map(|p| format!("{}{}", p.topic, p.partition)).collect();
        all.sort();
        all
    };
    let mut a = broker.consumer(grouped());
    a.subscribe(&["a"]).unwrap();
    let mut b = broker.consumer(grouped());
    b.subscribe(&["a", "b", "b"]).unwrap();
    let rounds = |a: &mut Consumer, b: &mut Consumer| {
        for _ in 0..3 {
            assert!(read(a).is_empty() && read(b).is_empty());
        }
    };
    rounds(&mut a, &mut b);
    assert_eq!(
        (of(&a), of(&b)),
        (
            vec!["a0".into(), "a1".into()],
            vec!["b0".into(), "b1".into()]
        )
    );
    a.subscribe(&["b"]).unwrap();
    rounds(&mut a, &mut b);
    assert_eq!(of(&a).len() + of(&b).len(), 4);
    assert!(of(&a).iter().all(|p| p.starts_with('b')));
    // A topic that is deleted is told once to whoever reads it, and the rest goes on.
    broker.delete_topic("a").unwrap();
    assert_eq!(a.try_poll().map(|b| b.len()), Ok(0));
    let closed = ConsumeError::Closed { topic: "a".into() };
    assert_eq!(b.try_poll().err(), Some(closed));
    rounds(&mut a, &mut b);
    assert_eq!((of(&a).len(), of(&b).len()), (1, 1));
    broker.delete_topic("b").unwrap();
    for _ in 0..3 {
        let closed = ConsumeError::Closed { topic: "b".into() };
        assert_eq!(a.try_poll().err(), Some(closed));
    }
    assert_eq!(broker.describe_group("g").unwrap().partitions, []);
    // A topic of the same name is another topic.
    let topic = broker.create_topic("b", TopicConfig::new()).unwrap();
    topic.producer().send(Record::new(b"x")).unwrap();
    a.subscribe(&["b"]).unwrap();
    assert_eq!(read(&mut a).len(), 1);
}

#[test]
fn a_pause_survives_a_rebalance_where_the_partition_stays() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped());
    read(&mut a);
    a.pause(TOPIC, 0).unwrap();
    let mut b = subscribed(&broker, grouped());
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    assert_eq!(partitions(&a), [0]);
    send(&mut producer, 0, 1);
    assert!(read(&mut a).is_empty());
    a.resume(TOPIC, 0).unwrap();
    assert_eq!(read(&mut a), [(0, 0)]);
}

#[test]
fn where_a_group_begins_is_said_once() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    send(&mut producer, 0, 3);
    let latest = grouped()
        .offset_reset(OffsetReset::Latest)
        .auto_commit(false);
    let mut a = subscribed(&broker, latest.clone());
    assert!(read(&mut a).is_empty());
    drop(a);
    send(&mut producer, 0, 2);
    // Nothing was committed, and nothing is skipped.
    let mut b = subscribed(&broker, latest);
    assert_eq!(read(&mut b), [(0, 3), (0, 4)]);
    b.unsubscribe();
    broker.delete_group("g").unwrap();
    let mut c = subscribed(&broker, grouped().offset_reset(OffsetReset::None));
    assert!(matches!(
        c.try_poll().err(),
        Some(ConsumeError::NoPosition { .. })
    ));
    c.seek(TOPIC, 0, 1).unwrap();
    assert_eq!(read(&mut c).len(), 4);
}

#[test]
fn an_assigned_consumer_commits_for_a_group_without_members() {
    let (broker, topic) = make(
        TopicConfig::new()
            .partitions(2)
            .segments(2)
            .segment_records(4),
    );
    let mut producer = topic.producer();
    send(&mut producer, 0, 6);
    let here = [TopicPartition::new(TOPIC, 0)];
    let mut alone = broker.consumer(grouped());
    alone.assign(&here).unwrap();
    assert_eq!(read(&mut alone).len(), 6);
    alone.commit_offsets(&[(here[0].clone(), 5)]).unwrap();
    assert_eq!(alone.committed(TOPIC, 0), Ok(Some(5)));
    assert_eq!(alone.committed(TOPIC, 1), Ok(None));
    drop(alone);
    let full = |producer: &mut Producer| {
        let to = |_: &i32| producer.try_send(Record::new(b"x").partition(0)).is_ok();
        (0..100).take_while(to).count()
    };
    assert_eq!(full(&mut producer), 6, "held from the fifth on");
    let mut again = broker.consumer(grouped());
    again.assign(&here).unwrap();
    assert_eq!(again.position(TOPIC, 0), Ok(5));
    let mut b = subscribed(&broker, grouped().assignor(RangeAssignor));
    assert_eq!(read(&mut b).len(), 7);
    let refused = again.commit();
    assert!(matches!(
        refused,
        Err(ConsumeError::NotAMember { members: 1, .. })
    ));
}

// ---- topics that change -----------------------------------------------------------------

#[test]
fn partitions_that_are_added_are_shared_and_read_from_their_start() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let small = TopicConfig::new().segments(2).segment_records(4);
        let (broker, topic) = make(small.overflow(overflow));
        let latest = grouped().offset_reset(OffsetReset::Latest);
        let (mut a, mut b) = (
            subscribed(&broker, latest.clone()),
            subscribed(&broker, latest),
        );
        for _ in 0..3 {
            assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
        }
        assert_eq!((partitions(&a), partitions(&b)), (vec![0], vec![]));
        topic.add_partitions(4).unwrap();
        let mut producer = topic.producer();
        for p in 1..4 {
            send(&mut producer, p, 8);
        }
        if overflow == Overflow::Backpressure {
            // Held since before anybody could send there.
            let record = Record::new(b"x").partition(3);
            assert!(producer.try_send(record).is_err());
        }
        let mut seen = [read(&mut b), read(&mut a), read(&mut b)].concat();
        seen.sort_unstable();
        let all = (1..4).flat_map(|p| (0..8).map(move |offset| (p, offset)));
        assert!(seen.into_iter().eq(all));
        assert_eq!((partitions(&a).len(), partitions(&b).len()), (2, 2));
        // Also by a group that had no members then.
        drop(a);
        drop(b);
        topic.add_partitions(5).unwrap();
        let mut producer = topic.producer();
        send(&mut producer, 4, 8);
        let mut c = subscribed(&broker, grouped());
        let seen = read(&mut c);
        assert_eq!(seen.iter().filter(|&&(p, _)| p == 4).count(), 8);
    }
}

#[test]
fn what_was_deleted_is_lost_to_a_group_and_holds_nothing_back() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped().auto_commit(false));
    read(&mut a);
    send(&mut producer, 0, 8);
    topic.delete_records(0, 6).unwrap();
    let batch = a.try_poll().unwrap();
    assert_eq!((batch.len(), batch.lost()), (2, 6));
    drop(batch);
    assert_eq!(topic.delete_records(0, 7).unwrap(), 7);
    assert_eq!(read(&mut a), []);
    send(&mut producer, 0, 4);
    drop(a);
    // Nothing was committed: the group begins where it did, and that is gone.
    topic.delete_records(0, 9).unwrap();
    let mut b = subscribed(&broker, grouped());
    let batch = b.try_poll().unwrap();
    assert_eq!((batch.len(), batch.lost()), (3, 9));
    drop(batch);
    send(&mut producer, 0, 4);
}

#[test]
fn a_member_that_closes_has_committed_what_its_polls_returned() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let told = Told::default();
    for (closes, expected) in [(true, Some(1)), (false, None)] {
        let _ = broker.delete_group("g");
        let mut a = telling(&broker, grouped(), &told, "a");
        send(&mut producer, 0, 1);
        let batch = a.try_poll().unwrap();
        assert_eq!(batch.iter().next().unwrap().offset(), 0);
        drop(batch);
        if closes {
            a.close()
        } else {
            drop(a)
        }
        let group = broker.describe_group("g").unwrap();
        assert_eq!(group.members, []);
        assert_eq!(group.partitions[0].committed.map(|_| 1), expected);
    }
    let told = told.lock().unwrap();
    assert_eq!(*told, ["a assigned [0]", "a revoked [0]", "a assigned [0]"]);
}
