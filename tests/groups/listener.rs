//! The rebalance listener: which calls it gets, what it may do, and what its panic does.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{outlive, partitions, read, send, timed};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Rebalance, RebalanceListener, StickyAssignor,
    TopicConfig, TopicPartition,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

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
