//! One simulated group: the operations, and the state that the tests expect of the group.

mod checks;
mod polls;

use crate::clock::{milliseconds, now, pass, reset};
use ringlog::{
    Assignor, Broker, ConsumeError, Consumer, ConsumerConfig, HoldBack, Overflow, Producer, Record,
    SendError, Topic, TopicConfig, TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// `max_poll_interval`, in milliseconds of the test's clock.
pub(crate) const INTERVAL: u64 = 1000;

/// Rounds in which every member polls, after which every partition must have an owner: one round to
/// report that members are fenced, one to join again, and three for the rebalance protocol.
const ROUNDS: usize = 5;

const TOPICS: [&str; 2] = ["a", "b"];
const INSTANCE_IDS: [&str; 2] = ["x", "y"];

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The partition count of each topic.
    pub(crate) partitions: Vec<u32>,
    pub(crate) overflow: Overflow,
    pub(crate) auto_commit: bool,
    pub(crate) hold_back: HoldBack,
}

/// Numbers of members, topics and partitions are taken modulo their count.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Poll(usize),
    Send(u8, u8),
    /// An instance id, if any, and the only topic to subscribe to, if not all.
    Join(Option<u8>, Option<usize>),
    Drop(usize),
    Unsubscribe(usize),
    Subscribe(usize, Option<usize>),
    Commit(usize),
    CommitOffset(usize, u8, u8),
    Seek(usize, u8, u8),
    Pause(usize, u8),
    PassTime(u64),
    Settle,
}

/// How evenly partitions must be spread when all members read the same topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evenness {
    Overall,
    InEachTopic,
}

type Partition = (String, u32);

fn partition_of(at: &TopicPartition) -> Partition {
    (at.topic.to_string(), at.partition)
}

struct Member {
    consumer: Consumer,
    topics: Vec<&'static str>,
    /// The time of the last poll, or of joining.
    polled: u64,
    /// A poll has reported that it is fenced, or it unsubscribed: its next poll joins again, unless
    /// it was replaced.
    must_rejoin: bool,
    replaced: bool,
    paused: bool,
    /// The partition that the last poll read.
    last_read: Option<Partition>,
}

impl Member {
    fn owned(&self) -> BTreeSet<Partition> {
        self.consumer
            .assignment()
            .iter()
            .map(partition_of)
            .collect()
    }

    fn position(&self, at: &Partition) -> u64 {
        self.consumer.position((&at.0, at.1)).unwrap()
    }

    fn is_fenced(&mut self) -> bool {
        matches!(
            self.consumer.commit_offsets([(("", 0), 0); 0]),
            Err(ConsumeError::Fenced { .. })
        )
    }
}

pub(crate) struct Simulation<A, F: Fn() -> A> {
    broker: Broker,
    topics: Vec<(Topic, Producer)>,
    setup: Setup,
    assignor: F,
    evenness: Evenness,
    members: Vec<Member>,
    /// The offset at which the first owner of each partition began.
    starts: BTreeMap<Partition, u64>,
    /// The committed offsets that the group reported last.
    committed: BTreeMap<Partition, u64>,
}

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(crate) fn new(setup: Setup, assignor: F, evenness: Evenness) -> Self {
        reset();
        let broker = Broker::new();
        let make = |(&partitions, name): (&u32, &str)| {
            let config = TopicConfig::new()
                .partitions(partitions)
                .overflow(setup.overflow)
                .segment_bytes(1024);
            // Under `DropOldest` the log has room for every record: losses are not tested here.
            let config = match setup.overflow {
                Overflow::Backpressure => config.segments(3).segment_records(4),
                Overflow::DropOldest => config.segments(9).segment_records(64),
            };
            let topic = broker.create_topic(name, config).unwrap();
            let producer = topic.producer();
            (topic, producer)
        };
        Simulation {
            topics: setup.partitions.iter().zip(TOPICS).map(make).collect(),
            broker,
            setup,
            assignor,
            evenness,
            members: Vec::new(),
            starts: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    pub(crate) fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.check_invariants();
        }
        self.end();
    }

    // ---- steps --------------------------------------------------------------------------

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Poll(i) => {
                if let Some(i) = self.pick_member(i) {
                    self.poll(i);
                }
            }
            Op::Send(at, records) => self.send(at, records),
            Op::Join(name, topics) => {
                if self.members.len() < 5 {
                    self.join(name, topics);
                }
            }
            Op::Drop(i) => {
                if let Some(i) = self.pick_member(i) {
                    drop(self.members.remove(i));
                }
            }
            Op::Unsubscribe(i) => {
                if let Some(i) = self.pick_member(i) {
                    let mut member = self.members.remove(i);
                    let before = self.positions(&member.owned(), Some(&member));
                    member.consumer.unsubscribe();
                    assert_eq!(member.consumer.assignment(), []);
                    self.check_own_commits(&before);
                }
            }
            Op::Subscribe(i, topics) => {
                if let Some(i) = self.pick_member(i) {
                    let topics = self.topic_names(topics);
                    let member = &mut self.members[i];
                    let before = member.owned();
                    let fenced = member.is_fenced();
                    member.consumer.subscribe(&topics).unwrap();
                    if fenced {
                        member.polled = milliseconds();
                        (member.must_rejoin, member.replaced, member.last_read) =
                            (false, false, None);
                        assert!(member.owned().is_empty());
                    } else {
                        assert_eq!(member.owned(), before);
                    }
                    member.topics = topics;
                }
            }
            Op::Commit(i) => {
                if let Some(i) = self.pick_member(i) {
                    self.commit(i);
                }
            }
            Op::CommitOffset(i, at, to) => {
                if let Some(i) = self.pick_member(i) {
                    self.commit_offset(i, at, to);
                }
            }
            Op::Seek(i, at, to) => {
                if let Some((i, at)) = self.pick_owned(i, at) {
                    let (start, end) = self.bounds(&at);
                    let to = start + u64::from(to) % (end - start + 1);
                    let member = &mut self.members[i];
                    member.consumer.seek((&at.0, at.1), to).unwrap();
                    member.last_read = member.last_read.take().filter(|last| *last != at);
                }
            }
            Op::Pause(i, at) => {
                if let Some((i, at)) = self.pick_owned(i, at) {
                    self.members[i].consumer.pause((&at.0, at.1)).unwrap();
                    self.members[i].paused = true;
                }
            }
            Op::PassTime(milliseconds) => pass(milliseconds),
            Op::Settle => self.settle(),
        }
    }

    fn pick_member(&self, i: usize) -> Option<usize> {
        (!self.members.is_empty()).then(|| i % self.members.len())
    }

    /// A member that owns a partition, and that partition.
    fn pick_owned(&mut self, i: usize, at: u8) -> Option<(usize, Partition)> {
        let i = self.pick_member(i)?;
        let owned = self.members[i].owned();
        let at = owned.iter().nth(usize::from(at) % owned.len().max(1))?;
        Some((i, at.clone()))
    }

    fn topic_names(&self, only: Option<usize>) -> Vec<&'static str> {
        let all = &TOPICS[..self.topics.len()];
        only.map_or(all.to_vec(), |only| vec![all[only % all.len()]])
    }

    fn topic(&self, name: &str) -> &Topic {
        let named = |(topic, _): &&(Topic, Producer)| topic.name() == name;
        &self.topics.iter().find(named).unwrap().0
    }

    fn bounds(&self, at: &Partition) -> (u64, u64) {
        let topic = self.topic(&at.0);
        (
            topic.log_start_offset(at.1).unwrap(),
            topic.log_end_offset(at.1).unwrap(),
        )
    }

    fn send(&mut self, at: u8, records: u8) {
        let count = self.topics.len();
        let (topic, producer) = &mut self.topics[usize::from(at) % count];
        let partition = u32::from(at) / 2 % topic.partitions();
        for _ in 0..records {
            let end = topic.log_end_offset(partition).unwrap();
            let value = end.to_ne_bytes();
            match producer.try_send(Record::new(&value).partition(partition)) {
                Ok(sent) => assert_eq!(sent.offset, end),
                Err(SendError::Full { .. }) => return,
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn join(&mut self, name: Option<u8>, topics: Option<usize>) {
        let mut config = ConsumerConfig::new()
            .group("g")
            .assignor((self.assignor)())
            .auto_commit(self.setup.auto_commit)
            .hold_back(self.setup.hold_back)
            .max_poll_records(3)
            .max_poll_interval(Duration::from_millis(INTERVAL))
            .clock(now);
        if let Some(name) = name {
            config = config.instance_id(INSTANCE_IDS[usize::from(name)]);
        }
        let mut consumer = self.broker.consumer(config).unwrap();
        let topics = self.topic_names(topics);
        consumer.subscribe(&topics).unwrap();
        self.members.push(Member {
            consumer,
            topics,
            polled: milliseconds(),
            must_rejoin: false,
            replaced: false,
            paused: false,
            last_read: None,
        });
    }

    fn positions(
        &self,
        owned: &BTreeSet<Partition>,
        member: Option<&Member>,
    ) -> BTreeMap<Partition, u64> {
        let positions = owned.iter().map(|at| {
            let position = member.map_or(0, |member| member.position(at));
            (at.clone(), position)
        });
        positions.collect()
    }
}
