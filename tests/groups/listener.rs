//! The rebalance listener: which calls it gets, what it may do, and what its panic does.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{partitions, poll_for, read, send, timed};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Rebalance, RebalanceListener, StickyAssignor,
    TopicConfig, TopicPartition,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

/// The calls that listeners got, in order.
type Calls = Arc<Mutex<Vec<String>>>;

struct Recorder(Calls, &'static str);

impl Recorder {
    fn record(&self, call: &str, partitions: &[TopicPartition]) {
        let numbers: Vec<_> = partitions.iter().map(|p| p.partition).collect();
        let line = format!("{} {call} {numbers:?}", self.1);
        self.0.lock().unwrap().push(line);
    }
}

impl RebalanceListener for Recorder {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        self.record("assigned", rebalance.partitions());
    }
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        self.record("revoked", rebalance.partitions());
    }
    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.record("lost", partitions);
    }
}

fn recorded(
    broker: &Broker,
    config: ConsumerConfig,
    calls: &Calls,
    name: &'static str,
) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    let listener = Recorder(calls.clone(), name);
    consumer.subscribe_with([TOPIC], listener).unwrap();
    consumer
}

#[test]
fn a_cooperative_listener_hears_only_of_partitions_that_move() {
    let (broker, _topic) = make(TopicConfig::new().partitions(4));
    let calls = Calls::default();
    let mut a = recorded(&broker, timed(), &calls, "a");
    read(&mut a);
    a.pause((TOPIC, 0)).unwrap();
    let mut b = recorded(&broker, timed(), &calls, "b");
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    poll_for(&mut b, 1300);
    assert!(a.try_poll().is_err());
    b.unsubscribe();
    let calls = calls.lock().unwrap();
    assert_eq!(
        *calls,
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
fn under_an_eager_assignor_all_members_give_all_partitions_back_first() {
    let (broker, _topic) = make(TopicConfig::new().partitions(4));
    let calls = Calls::default();
    let config = grouped().assignor(StickyAssignor);
    let mut a = recorded(&broker, config.clone(), &calls, "a");
    let mut b = recorded(&broker, config.clone(), &calls, "b");
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    calls.lock().unwrap().clear();
    let mut c = recorded(&broker, config, &calls, "c");
    for _ in 0..2 {
        assert!(read(&mut c).is_empty() && read(&mut a).is_empty());
    }
    assert_eq!(partitions(&c), [], "b has not returned its partitions");
    for _ in 0..2 {
        read(&mut b);
        read(&mut a);
        read(&mut c);
    }
    let calls = calls.lock().unwrap();
    assert!(calls[0].starts_with("a revoked [") && calls[1].starts_with("b revoked ["));
    let mut all = [partitions(&a), partitions(&b), partitions(&c)].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

#[test]
fn close_commits_what_the_polls_returned() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let calls = Calls::default();
    for (closes, expected) in [(true, Some(1)), (false, None)] {
        let _ = broker.delete_group("g");
        let mut a = recorded(&broker, grouped(), &calls, "a");
        send(&mut producer, 0, 1);
        let batch = a.try_poll().unwrap();
        assert_eq!(batch.iter().next().unwrap().offset(), 0);
        if closes {
            a.close()
        } else {
            drop(a)
        }
        let group = broker.describe_group("g").unwrap();
        assert_eq!(group.members, []);
        assert_eq!(group.partitions[0].committed.map(|_| 1), expected);
    }
    let calls = calls.lock().unwrap();
    assert_eq!(
        *calls,
        ["a assigned [0]", "a revoked [0]", "a assigned [0]"]
    );
}

/// Commits offset 2 when revoked, and begins one past the position when assigned.
struct Careful;

impl RebalanceListener for Careful {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        for p in rebalance.partitions().to_vec() {
            let position = rebalance.position((&p.topic, p.partition)).unwrap();
            let committed = rebalance.committed((&p.topic, p.partition)).unwrap();
            assert_eq!(position, committed.unwrap_or(0));
            rebalance
                .seek((&p.topic, p.partition), position + 1)
                .unwrap();
        }
    }
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        let offsets: Vec<_> = rebalance
            .partitions()
            .iter()
            .map(|p| (p.clone(), 2))
            .collect();
        rebalance.commit_offsets(offsets).unwrap();
    }
}

#[test]
fn a_listener_may_commit_what_is_revoked_and_seek_in_what_is_assigned() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    for p in 0..2 {
        send(&mut producer, p, 5);
    }
    let config = grouped().auto_commit(false);
    let mut a = broker.consumer(config.clone()).unwrap();
    a.subscribe_with([TOPIC], Careful).unwrap();
    assert_eq!(read(&mut a).len(), 8, "all but the first of each partition");
    let mut b = subscribed(&broker, config);
    read(&mut b);
    read(&mut a);
    assert_eq!(read(&mut b).len(), 3, "from offset 3 on");
}

struct Panics(&'static str);

/// The payload of a deliberate panic, which prints no message.
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
        let mut a = broker.consumer(timed()).unwrap();
        a.subscribe_with([TOPIC], Panics(when)).unwrap();
        let mut b = subscribed(&broker, timed());
        let mut polls = || {
            for _ in 0..3 {
                let _ = read(&mut a);
                if when == "lost" {
                    read(&mut b);
                    poll_for(&mut b, 1300);
                }
                read(&mut b);
            }
        };
        if when == "revoked" {
            // Let a own all partitions first.
            drop(std::mem::replace(&mut b, broker.consumer(timed()).unwrap()));
            read(&mut a);
            b.subscribe([TOPIC]).unwrap();
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
        // It may subscribe again.
        a.subscribe([TOPIC]).unwrap();
        for _ in 0..3 {
            assert!(read(&mut a).len() + read(&mut b).len() <= 1);
        }
        assert_eq!((partitions(&a).len(), partitions(&b).len()), (1, 1));
    }
}

/// What a listener's rebalance does is what its consumer does.
struct UsesAll(Arc<Mutex<Vec<String>>>);

impl RebalanceListener for UsesAll {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        let (p, other) = ((TOPIC, 0), (TOPIC, 1));
        rebalance.seek_to_end(p).unwrap();
        let end = rebalance.position(p);
        rebalance.seek_to_beginning(p).unwrap();
        let start = rebalance.position(p);
        rebalance.pause(p).unwrap();
        rebalance.pause(other).unwrap();
        rebalance.resume(other).unwrap();
        let seen = format!("{end:?} {start:?} {:?}", rebalance.committed(p));
        self.0.lock().unwrap().push(seen);
    }
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        rebalance.commit().unwrap();
        let seen = format!("{:?}", rebalance.committed((TOPIC, 1)));
        self.0.lock().unwrap().push(seen);
    }
}

#[test]
fn a_listener_moves_pauses_and_commits_as_its_consumer() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    send(&mut producer, 0, 3);
    send(&mut producer, 1, 2);
    let mut before = subscribed(&broker, grouped().auto_commit(false));
    assert_eq!(read(&mut before).len(), 5);
    before.commit_offsets([((TOPIC, 0), 2)]).unwrap();
    drop(before);

    let calls = Calls::default();
    let mut consumer = broker.consumer(grouped().auto_commit(false)).unwrap();
    consumer
        .subscribe_with([TOPIC], UsesAll(calls.clone()))
        .unwrap();
    assert_eq!(read(&mut consumer), [(1, 0), (1, 1)], "0 is paused");
    consumer.unsubscribe();
    let expected = ["Ok(3) Ok(0) Ok(Some(2))", "Ok(Some(2))"];
    assert_eq!(*calls.lock().unwrap(), expected);
}
