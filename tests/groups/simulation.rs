//! One simulated group: the operations, and the state that the tests expect of the group.

mod checks;
mod members;
mod polls;
mod positions;
mod promises;
mod topics;
mod waits;

pub(crate) use promises::{Evenness, Promise};

use super::super::clock::{milliseconds, now, pass, reset};
use promises::{Checked, Record as LastAssignment};
use ringlog::{
    Assignor, Broker, ConsumeError, Consumer, HoldBack, Overflow, Producer, Topic, TopicConfig,
    TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use waits::Wakes;

/// `max_poll_interval` of most members, in milliseconds of the test's clock.
pub(crate) const INTERVAL: u64 = 1000;

/// That of the patient ones.
const LONG_INTERVAL: u64 = 3 * INTERVAL;

/// Rounds in which every member polls, after which every partition must have an owner: one round to
/// report that members are fenced, one to join again, and three for the rebalance protocol.
const ROUNDS: usize = 5;

const TOPICS: [&str; 2] = ["a", "b"];
const INSTANCE_IDS: [&str; 2] = ["x", "y"];

/// The most partitions that a topic gets.
const MAX_PARTITIONS: u32 = 7;

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
    /// A poll, and what is committed of its batch while that is held.
    Poll(usize, BatchCommit),
    /// A poll of a task. If it is pending, the future is kept or dropped.
    PollTask(usize, bool),
    Send(u8, u8),
    Join(Joining),
    Leave(usize, Leave),
    /// A named member leaves a group in which nothing else happens, and comes back early or late.
    Restart(usize, Leave, bool),
    Subscribe(usize, Option<usize>),
    Commit(usize),
    CommitOffset(usize, u8, u8),
    Seek(usize, u8, Seek),
    /// Pauses a partition, or resumes it.
    SetPaused(usize, u8, bool),
    DeleteRecords(u8, u8),
    AddPartition(usize),
    Close(usize),
    PassTime(u64),
    /// Time passes. Only the members whose bits are set poll meanwhile, each often enough.
    Outlive(u8),
    Settle,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum BatchCommit {
    Nothing,
    All,
    /// Through the record at this place, modulo the batch's length.
    Through(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining {
    pub(crate) name: Option<u8>,
    /// The only topic to subscribe to, if not all.
    pub(crate) topic: Option<usize>,
    /// With a longer `max_poll_interval`.
    pub(crate) patient: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    Drop,
    Close,
    Unsubscribe,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Seek {
    /// To an offset from the log start on, modulo the retained ones and the end.
    To(u8),
    PastEnd(u8),
    Beginning,
    End,
    /// To the time of such an offset, or just before it.
    Time(u8, bool),
}

type Partition = (String, u32);

fn partition_of(at: &TopicPartition) -> Partition {
    (at.topic.to_string(), at.partition)
}

struct Member {
    consumer: Consumer,
    name: Option<u8>,
    topics: Vec<&'static str>,
    /// Its `max_poll_interval`, in milliseconds.
    interval: u64,
    /// The time of the end of its last poll, or of joining.
    polled: u64,
    /// A poll has reported that it is fenced: its next poll joins again, unless it was replaced.
    must_rejoin: bool,
    replaced: bool,
    paused: BTreeSet<Partition>,
    /// Partitions in which it has read or sought since its last poll.
    moved: BTreeSet<Partition>,
    /// The topics of which its polls have reported the end, and the group's `disturbances` then.
    ended: BTreeMap<String, u64>,
    /// Topics whose end is due again, because the member has sought in them.
    due_again: BTreeSet<String>,
    /// Partitions in which it has sought, and which no poll has tried since.
    sought: BTreeSet<Partition>,
    /// How many offsets its polls have skipped that no batch has counted yet, where that is known.
    skipped: BTreeMap<Partition, u64>,
    /// It waits in a pending future, with this waker.
    waits: Option<Arc<Wakes>>,
}

impl Member {
    fn owned(&self) -> BTreeSet<Partition> {
        self.consumer
            .assignment()
            .iter()
            .map(partition_of)
            .collect()
    }

    /// It was fenced off: what it joins again as is another member.
    fn forget(&mut self) {
        self.moved.clear();
        self.paused.clear();
        self.sought.clear();
        self.skipped.clear();
        self.ended.clear();
        self.due_again.clear();
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
    promise: Promise,
    last_assignment: Arc<Mutex<LastAssignment>>,
    members: Vec<Member>,
    /// The offset at which the first owner of each partition began.
    starts: BTreeMap<Partition, u64>,
    /// The committed offsets that the group reported last.
    committed: BTreeMap<Partition, u64>,
    /// Everything before these offsets was deleted.
    deleted: BTreeMap<Partition, u64>,
    /// Counts what may give a closed topic something to read again, or another reader.
    disturbances: u64,
    steps: u64,
}

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(crate) fn new(setup: Setup, assignor: F, promise: Promise) -> Self {
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
            promise,
            last_assignment: Arc::default(),
            members: Vec::new(),
            starts: BTreeMap::new(),
            committed: BTreeMap::new(),
            deleted: BTreeMap::new(),
            disturbances: 0,
            steps: 0,
        }
    }

    pub(crate) fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.check_invariants();
        }
        self.end();
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Send(at, records) => return self.send(at, records),
            Op::Join(joining) if self.members.len() < 5 => return self.join(joining),
            Op::Join(_) => return,
            Op::DeleteRecords(at, to) => return self.delete_records(at, to),
            Op::AddPartition(topic) => return self.add_partition(topic),
            Op::Close(topic) => return self.close(topic),
            Op::PassTime(milliseconds) => return pass(milliseconds),
            Op::Outlive(polling) => return self.outlive(polling),
            Op::Settle => return self.settle(),
            _ => {}
        }
        if !self.members.is_empty() {
            self.member_step(op);
        }
    }

    fn member_step(&mut self, op: &Op) {
        let pick = |i: usize| i % self.members.len();
        match *op {
            Op::Poll(i, commit) => self.poll(pick(i), commit),
            Op::PollTask(i, kept) => self.poll_task(pick(i), kept),
            Op::Leave(i, leave) => self.leave(pick(i), leave),
            Op::Restart(i, leave, late) => self.restart(pick(i), leave, late),
            Op::Subscribe(i, topic) => self.subscribe(pick(i), topic),
            Op::Commit(i) => self.commit(pick(i)),
            Op::CommitOffset(i, at, to) => self.commit_offset(pick(i), at, to),
            Op::Seek(i, at, to) => self.seek(pick(i), at, to),
            Op::SetPaused(i, at, on) => self.set_paused(pick(i), at, on),
            _ => unreachable!("{op:?}"),
        }
    }

    /// One of the partitions that this member owns.
    fn pick_owned(&self, i: usize, at: u8) -> Option<Partition> {
        let owned = self.members[i].owned();
        let at = owned.iter().nth(usize::from(at) % owned.len().max(1))?;
        Some(at.clone())
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

    /// The first offset that is retained from `offset` on.
    fn retained(&self, at: &Partition, offset: u64) -> u64 {
        offset.max(self.bounds(at).0)
    }
}
