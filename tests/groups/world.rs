//! A group, its topics, and what is known of them from outside.

use ringlog::{
    Assignor, Broker, ConsumeError, Consumer, ConsumerConfig, Fence, GroupDescription, HoldBack,
    Overflow, Producer, Record, SendError, Topic, TopicConfig, TopicPartition,
};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// `max_poll_interval`, in ms of the test's clock.
pub(crate) const INTERVAL: u64 = 1000;

/// Rounds of polls by everybody after which everything must have an owner: one to be told that it
/// is fenced, one to join again, and three for the protocol.
const ROUNDS: usize = 5;

const TOPICS: [&str; 2] = ["a", "b"];
const NAMES: [&str; 2] = ["x", "y"];

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn now() -> Duration {
    Duration::from_millis(NOW.get())
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Of each topic.
    pub(crate) partitions: Vec<u32>,
    pub(crate) overflow: Overflow,
    pub(crate) auto_commit: bool,
    pub(crate) hold_back: HoldBack,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Poll(usize),
    Send(u8, u8),
    /// With an instance id, and with one topic only.
    Join(Option<u8>, Option<usize>),
    Drop(usize),
    Unsubscribe(usize),
    Subscribe(usize, Option<usize>),
    Commit(usize),
    CommitOffset(usize, u8, u8),
    Seek(usize, u8, u8),
    Pause(usize, u8),
    Pass(u64),
    Settle,
}

/// How even the loads must be, where all members read the same topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    Even,
    EvenInEachTopic,
}

type Key = (String, u32);

fn key(at: &TopicPartition) -> Key {
    (at.topic.clone(), at.partition)
}

struct Member {
    consumer: Consumer,
    topics: Vec<&'static str>,
    /// When it polled last, or joined.
    polled: u64,
    /// It was told that it is fenced, or unsubscribed: at the next poll it is a member again, or
    /// never.
    out: bool,
    replaced: bool,
    paused: bool,
    /// The partition that its last poll read.
    last: Option<Key>,
}

impl Member {
    fn owned(&self) -> BTreeSet<Key> {
        self.consumer.assignment().iter().map(key).collect()
    }

    fn position(&self, at: &Key) -> u64 {
        self.consumer.position(&at.0, at.1).unwrap()
    }

    fn is_fenced(&mut self) -> bool {
        matches!(
            self.consumer.commit_offsets(&[]),
            Err(ConsumeError::Fenced { .. })
        )
    }
}

pub(crate) struct World<A, F: Fn() -> A> {
    broker: Broker,
    topics: Vec<(Topic, Producer)>,
    setup: Setup,
    assignor: F,
    rules: Rules,
    members: Vec<Member>,
    /// Where the first owner of a partition began.
    starts: BTreeMap<Key, u64>,
    /// What the group said last that is committed.
    committed: BTreeMap<Key, u64>,
}

impl<A: Assignor + 'static, F: Fn() -> A> World<A, F> {
    pub(crate) fn new(setup: Setup, assignor: F, rules: Rules) -> Self {
        NOW.set(0);
        let broker = Broker::new();
        let make = |(&partitions, name): (&u32, &str)| {
            let config = TopicConfig::new()
                .partitions(partitions)
                .overflow(setup.overflow)
                .segment_bytes(1024);
            // Under `DropOldest` there is room for all: what goes by is another test's.
            let config = match setup.overflow {
                Overflow::Backpressure => config.segments(3).segment_records(4),
                Overflow::DropOldest => config.segments(9).segment_records(64),
            };
            let topic = broker.create_topic(name, config).unwrap();
            let producer = topic.producer();
            (topic, producer)
        };
        World {
            topics: setup.partitions.iter().zip(TOPICS).map(make).collect(),
            broker,
            setup,
            assignor,
            rules,
            members: Vec::new(),
            starts: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    pub(crate) fn run(mut self, ops: &[Op]) {
        for op in ops {
            self.step(op);
            self.look();
        }
        self.end();
    }

    // ---- steps --------------------------------------------------------------------------

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Poll(who) => {
                if let Some(who) = self.some(who) {
                    self.poll(who);
                }
            }
            Op::Send(at, records) => self.send(at, records),
            Op::Join(name, topics) => {
                if self.members.len() < 5 {
                    self.join(name, topics);
                }
            }
            Op::Drop(who) => {
                if let Some(who) = self.some(who) {
                    drop(self.members.remove(who));
                }
            }
            Op::Unsubscribe(who) => {
                if let Some(who) = self.some(who) {
                    let mut member = self.members.remove(who);
                    let before = self.positions(&member.owned(), Some(&member));
                    member.consumer.unsubscribe();
                    assert_eq!(member.consumer.assignment(), []);
                    self.check_commits(&before);
                }
            }
            Op::Subscribe(who, topics) => {
                if let Some(who) = self.some(who) {
                    let topics = self.names(topics);
                    let member = &mut self.members[who];
                    let before = member.owned();
                    let fenced = member.is_fenced();
                    member.consumer.subscribe(&topics).unwrap();
                    if fenced {
                        member.polled = NOW.get();
                        (member.out, member.replaced, member.last) = (false, false, None);
                        assert!(member.owned().is_empty());
                    } else {
                        assert_eq!(member.owned(), before);
                    }
                    member.topics = topics;
                }
            }
            Op::Commit(who) => {
                if let Some(who) = self.some(who) {
                    self.commit(who);
                }
            }
            Op::CommitOffset(who, at, to) => {
                if let Some(who) = self.some(who) {
                    self.commit_offset(who, at, to);
                }
            }
            Op::Seek(who, at, to) => {
                if let Some((who, at)) = self.some_owned(who, at) {
                    let (start, end) = self.bounds(&at);
                    let to = start + u64::from(to) % (end - start + 1);
                    let member = &mut self.members[who];
                    member.consumer.seek(&at.0, at.1, to).unwrap();
                    member.last = member.last.take().filter(|last| *last != at);
                }
            }
            Op::Pause(who, at) => {
                if let Some((who, at)) = self.some_owned(who, at) {
                    self.members[who].consumer.pause(&at.0, at.1).unwrap();
                    self.members[who].paused = true;
                }
            }
            Op::Pass(ms) => NOW.set(NOW.get() + ms),
            Op::Settle => self.settle(),
        }
    }

    fn some(&self, who: usize) -> Option<usize> {
        (!self.members.is_empty()).then(|| who % self.members.len())
    }

    /// A member that is none of the dead, and a partition of its own.
    fn some_owned(&mut self, who: usize, at: u8) -> Option<(usize, Key)> {
        let who = self.some(who)?;
        let owned = self.members[who].owned();
        let at = owned.iter().nth(usize::from(at) % owned.len().max(1))?;
        Some((who, at.clone()))
    }

    fn names(&self, only: Option<usize>) -> Vec<&'static str> {
        let all = &TOPICS[..self.topics.len()];
        only.map_or(all.to_vec(), |only| vec![all[only % all.len()]])
    }

    fn topic(&self, name: &str) -> &Topic {
        let named = |(topic, _): &&(Topic, Producer)| topic.name() == name;
        &self.topics.iter().find(named).unwrap().0
    }

    fn bounds(&self, at: &Key) -> (u64, u64) {
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
            config = config.instance_id(NAMES[usize::from(name)]);
        }
        let mut consumer = self.broker.consumer(config);
        let topics = self.names(topics);
        consumer.subscribe(&topics).unwrap();
        self.members.push(Member {
            consumer,
            topics,
            polled: NOW.get(),
            out: false,
            replaced: false,
            paused: false,
            last: None,
        });
    }

    fn positions(&self, owned: &BTreeSet<Key>, member: Option<&Member>) -> BTreeMap<Key, u64> {
        let positions = owned.iter().map(|at| {
            let position = member.map_or(0, |member| member.position(at));
            (at.clone(), position)
        });
        positions.collect()
    }

    // ---- polling ------------------------------------------------------------------------

    fn poll(&mut self, who: usize) {
        let fenced = self.members[who].is_fenced();
        let owned = self.members[who].owned();
        let before = self.positions(&owned, Some(&self.members[who]));
        let member = &mut self.members[who];
        let gap = NOW.get() - member.polled;
        member.polled = NOW.get();
        let result = member.consumer.try_poll().map(|batch| {
            let at = (batch.topic().to_owned(), batch.partition());
            let offsets: Vec<_> = batch.iter().map(|record| record.offset()).collect();
            for record in &batch {
                assert_eq!(record.value(), record.offset().to_ne_bytes());
            }
            (at, offsets, batch.lost())
        });
        match result {
            Err(ConsumeError::Fenced { reason, .. }) => {
                assert!(fenced && (member.replaced || !member.out));
                assert_eq!(member.owned(), BTreeSet::new());
                match reason {
                    // Nobody is taken for dead who is not.
                    Fence::MaxPollInterval => assert!(member.out || gap > INTERVAL),
                    Fence::InstanceId => member.replaced = true,
                    _ => panic!("{reason:?}"),
                }
                (member.out, member.last) = (true, None);
            }
            Err(other) => panic!("{other}"),
            Ok((at, offsets, lost)) => {
                assert!(!fenced || member.out, "a fenced member reads on");
                member.out = false;
                let last = member.last.take();
                if !offsets.is_empty() {
                    member.last = Some(at.clone());
                }
                self.check_commits(&before);
                self.check_batch(who, &before, last, &at, &offsets, lost);
            }
        }
    }

    /// What a poll has read, from partitions that it had before, or has just got.
    fn check_batch(
        &mut self,
        who: usize,
        before: &BTreeMap<Key, u64>,
        last: Option<Key>,
        at: &Key,
        offsets: &[u64],
        lost: u64,
    ) {
        let member = &self.members[who];
        let auto = self.setup.auto_commit;
        // What the poll before returned is committed.
        if let Some(last) = last.filter(|_| auto) {
            assert_eq!(self.committed.get(&last), Some(&before[&last]));
        }
        if !offsets.is_empty() {
            assert!(member.owned().contains(at), "not its own");
        }
        for owned in member.owned() {
            let here = !offsets.is_empty() && owned == *at;
            let began = if here {
                offsets[0] - lost
            } else {
                member.position(&owned)
            };
            let eager = self.rules != Rules::Even || member_is_eager(&(self.assignor)());
            let kept = before.get(&owned).filter(|&&p| p == began || !eager);
            if let Some(&position) = kept {
                assert_eq!(began, position, "{owned:?}: its own position has moved");
                continue;
            }
            // A new owner begins at what is committed, or where the first began: nothing that was
            // committed is seen again, and nothing is skipped.
            match self.committed.get(&owned).or(self.starts.get(&owned)) {
                Some(&start) => assert_eq!(began, start, "{owned:?}: begins elsewhere"),
                None => {
                    assert!(began <= self.bounds(&owned).0);
                    self.starts.insert(owned, began);
                }
            }
        }
        if let (Some(&first), Some(&end)) = (offsets.first(), offsets.last()) {
            assert!(offsets.iter().copied().eq(first..=end), "{offsets:?}");
            assert_eq!(member.position(at), end + 1);
        }
        if self.setup.hold_back == HoldBack::Committed {
            assert_eq!(lost, 0, "overwritten");
        }
    }

    // ---- committing ---------------------------------------------------------------------

    fn commit(&mut self, who: usize) {
        let fenced = self.members[who].is_fenced();
        let owned = self.members[who].owned();
        let positions = self.positions(&owned, Some(&self.members[who]));
        match self.members[who].consumer.commit() {
            Ok(()) => {
                assert!(!fenced);
                self.committed.extend(positions);
            }
            Err(ConsumeError::Fenced { .. }) => assert!(fenced),
            Err(other) => panic!("{other}"),
        }
    }

    fn commit_offset(&mut self, who: usize, at: u8, to: u8) {
        let Some((who, at)) = self.some_owned(who, at) else {
            return;
        };
        let (start, end) = self.bounds(&at);
        // One past the end, now and then.
        let to = start + u64::from(to) % (end - start + 2);
        let member = &mut self.members[who];
        let fenced = member.is_fenced();
        let offset = (TopicPartition::new(&at.0, at.1), to);
        match member.consumer.commit_offsets(&[offset]) {
            Ok(()) => {
                assert!(!fenced && to <= end);
                self.committed.insert(at, to);
            }
            Err(ConsumeError::Fenced { .. }) => assert!(fenced),
            Err(ConsumeError::CommitPastEnd { log_end, .. }) => {
                assert_eq!((to, log_end), (end + 1, end));
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// After a step of the owner of these: a commit that it has made by itself is of a position
    /// that it had before.
    fn check_commits(&mut self, before: &BTreeMap<Key, u64>) {
        for (at, committed) in self.group_commits() {
            if self.committed.get(&at) != Some(&committed) {
                assert!(self.setup.auto_commit, "{at:?}: committed by nobody");
                assert_eq!(before.get(&at), Some(&committed), "{at:?}");
                self.committed.insert(at, committed);
            }
        }
    }

    fn group(&self) -> Option<GroupDescription> {
        self.broker.describe_group("g").ok()
    }

    fn group_commits(&self) -> BTreeMap<Key, u64> {
        let group = self.group();
        let all = group.iter().flat_map(|group| &group.partitions);
        all.filter_map(|p| Some((key(&p.partition), p.committed?)))
            .collect()
    }

    // ---- what always holds --------------------------------------------------------------

    fn look(&mut self) {
        assert_eq!(self.group_commits(), self.committed);
        let Some(group) = self.group() else { return };
        let owners = group.partitions.iter();
        let owners: BTreeMap<_, _> = owners
            .filter_map(|p| Some((key(&p.partition), p.owner?)))
            .collect();
        let mut owned = BTreeMap::new();
        for member in &mut self.members {
            if member.is_fenced() {
                continue;
            }
            let id = member.consumer.member_id().unwrap();
            for at in member.owned() {
                let twice = owned.insert(at.clone(), id);
                assert_eq!(twice, None, "{at:?} has two owners");
            }
        }
        assert_eq!(owned, owners);
    }

    /// Everybody polls, and some time passes: then everything is owned, and evenly.
    fn settle(&mut self) {
        // Who was dropped with a name comes back, or its place would be kept for it.
        let Some(group) = self.group() else { return };
        let gone = group.members.iter().filter(|m| !m.is_live);
        let gone: Vec<_> = gone.filter_map(|m| m.instance_id.clone()).collect();
        for name in gone {
            let name = NAMES.iter().position(|n| *n == name).unwrap();
            self.join(Some(name as u8), None);
        }
        for _ in 0..ROUNDS {
            for who in 0..self.members.len() {
                self.poll(who);
                self.look();
            }
        }
        let live: Vec<_> = self.members.iter().filter(|m| !m.replaced).collect();
        let read: BTreeSet<_> = live.iter().flat_map(|m| &m.topics).collect();
        let all = read.iter().flat_map(|topic| {
            let partitions = self.topic(topic).partitions();
            (0..partitions).map(|p| (topic.to_string(), p))
        });
        let owned: BTreeSet<_> = live.iter().flat_map(|m| m.owned()).collect();
        assert_eq!(owned, all.collect(), "not everything has an owner");
        if live.iter().all(|m| m.topics == live[0].topics) {
            let loads = |topic: Option<&str>| {
                let of = |m: &&Member| {
                    let owned = m.owned();
                    let counts = owned.iter().filter(|at| topic.is_none_or(|t| at.0 == t));
                    counts.count()
                };
                live.iter().map(of).collect::<Vec<_>>()
            };
            let even = |loads: Vec<usize>| {
                let (least, most) = (loads.iter().min(), loads.iter().max());
                let apart = most.unwrap_or(&0) - least.unwrap_or(&0);
                assert!(apart <= 1, "{loads:?}");
            };
            match self.rules {
                Rules::Even => even(loads(None)),
                Rules::EvenInEachTopic => read.iter().for_each(|topic| even(loads(Some(topic)))),
            }
        }
    }

    /// In the end everything can be read and committed to the last, by whoever is there.
    fn end(mut self) {
        if self.members.iter().all(|m| m.replaced) {
            self.join(None, None);
        }
        self.settle();
        if self.members.iter().any(|m| m.paused) {
            return;
        }
        for _ in 0..600 {
            for who in 0..self.members.len() {
                self.poll(who);
            }
            let group = self.group().unwrap();
            let owned = group.partitions.iter().filter(|p| p.owner.is_some());
            let live = self.members.iter().filter(|m| !m.replaced);
            let mut positions = live.flat_map(|m| m.owned().into_iter().map(|at| m.position(&at)));
            let ends: BTreeMap<_, _> = owned.map(|p| (key(&p.partition), p.log_end)).collect();
            if positions.by_ref().sum::<u64>() == ends.values().sum() {
                for who in 0..self.members.len() {
                    self.commit(who);
                }
                self.look();
                assert!(
                    ends.iter()
                        .all(|(at, end)| self.committed.get(at) == Some(end))
                );
                return;
            }
        }
        panic!("the end is never read");
    }
}

fn member_is_eager(assignor: &dyn Assignor) -> bool {
    assignor.protocol() == ringlog::Protocol::Eager
}
