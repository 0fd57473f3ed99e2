//! The reference of a group: of each partition, what is committed, who owns it, and what is held
//! back for it. Who is given which is the assignors' business; here it is only looked at.

use super::ops::MEMBERS;
use super::reference::Partition;
use super::run::TOPIC;
use ringlog::{Consumer, GroupDescription, MemberId, OffsetReset};
use std::collections::BTreeMap;

/// What the group knows of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) owner: Option<MemberId>,
    /// Where the first owner began.
    begun: Option<u64>,
    committed: Option<u64>,
    /// It was added while the group was there, and nobody has polled since: its first offset.
    added: Option<u64>,
    /// What comes from here on may be held back, though it is behind what is committed: the gate
    /// follows with the polls.
    low: u64,
    /// What the group is to be given next, if nobody was sent elsewhere.
    next: Option<u64>,
    /// The owner was sent elsewhere: what is committed may go back.
    sent: bool,
}

pub(crate) struct Member {
    pub(crate) consumer: Consumer,
    pub(crate) id: MemberId,
    pub(crate) reset: OffsetReset,
    pub(crate) eager: bool,
    /// What it says that it reads is of a topic that was deleted, until its next poll.
    pub(crate) stale: bool,
    /// The partition that its last poll has read, if it was not sent elsewhere since.
    pub(crate) read: Option<usize>,
    /// What it has missed and was not told of yet.
    pub(crate) lost: BTreeMap<usize, u64>,
}

#[derive(Default)]
pub(crate) struct Group {
    pub(crate) places: Vec<Place>,
    pub(crate) members: [Option<Member>; MEMBERS],
    /// It has had members since the topic was made: what is added to that is for it too.
    pub(crate) watches: bool,
    /// It has had members.
    pub(crate) is_there: bool,
}

impl Member {
    /// What it owns, and where it is there.
    pub(crate) fn positions(&self) -> BTreeMap<usize, u64> {
        let owned = self.consumer.assignment().into_iter();
        let owned = owned.filter(|_| !self.stale).map(|at| {
            let position = self.consumer.position(TOPIC, at.partition).unwrap();
            (at.partition as usize, position)
        });
        owned.collect()
    }

    pub(crate) fn position(&self, partition: usize) -> u64 {
        self.consumer.position(TOPIC, partition as u32).unwrap()
    }
}

impl Group {
    pub(crate) fn new(partitions: u32) -> Group {
        let places = vec![Place::default(); partitions as usize];
        Group {
            places,
            ..Group::default()
        }
    }

    /// Nothing of the topic is known any more.
    pub(crate) fn forget(&mut self) {
        self.places.fill(Place::default());
        self.watches = false;
    }

    pub(crate) fn add(&mut self, first: u64) {
        let added = self.watches.then_some(first);
        self.places.push(Place {
            added,
            low: first,
            ..Place::default()
        });
    }

    /// At a poll: what was added is to be read from its start.
    pub(crate) fn take_added(&mut self, log: &[Partition]) {
        for (place, log) in self.places.iter_mut().zip(log) {
            if place.added.take().is_some() {
                place.begun = Some(log.start());
            }
        }
    }

    /// From where on a partition is held back: from the first of these, or the second, or between.
    pub(crate) fn gate(&self, partition: usize, log: &Partition) -> Option<(u64, u64)> {
        let place = &self.places[partition];
        let high = self.wanted(partition)?.max(log.start());
        Some((place.low.min(high), high))
    }

    /// The first offset that the group has still to be given, whoever gets it.
    pub(crate) fn wanted(&self, partition: usize) -> Option<u64> {
        let place = &self.places[partition];
        let begin = place.begin().or(place.added)?;
        let mut members = self.members.iter().flatten();
        let owner = members.find(|m| Some(m.id) == place.owner && !m.stale);
        Some(owner.map_or(begin, |owner| begin.min(owner.position(partition))))
    }

    /// What is committed after a step of a member that was at `before`: nothing else than it was,
    /// or where that member was; and it does not go back, unless the member was sent back.
    pub(crate) fn check_commits(
        &mut self,
        group: &GroupDescription,
        before: &BTreeMap<usize, u64>,
    ) {
        for (p, place) in self.places.iter_mut().enumerate() {
            let committed = at(group, p).and_then(|(_, committed)| committed);
            if committed != place.committed {
                assert_eq!(committed.as_ref(), before.get(&p), "{p}: {place:?}");
                assert!(place.sent || committed > place.committed, "{p}: {place:?}");
                (place.committed, place.sent) = (committed, false);
            }
        }
    }
}

/// Owner of a partition, and what is committed in it, as the group tells it.
pub(crate) fn at(
    group: &GroupDescription,
    partition: usize,
) -> Option<(Option<MemberId>, Option<u64>)> {
    let mut all = group.partitions.iter();
    let found = all.find(|p| p.partition.partition as usize == partition)?;
    assert_eq!(found.partition.topic, TOPIC);
    Some((found.owner, found.committed))
}

impl Place {
    /// Where the next owner begins.
    pub(crate) fn begin(&self) -> Option<u64> {
        self.committed.or(self.begun)
    }

    pub(crate) fn committed(&self) -> Option<u64> {
        self.committed
    }

    /// It has an owner, who begins here.
    pub(crate) fn take(&mut self, id: MemberId, reset: OffsetReset, log: &Partition) -> u64 {
        assert_eq!(self.owner, None, "{self:?}");
        self.owner = Some(id);
        let first = match reset {
            OffsetReset::Latest => log.end(),
            _ => log.start(),
        };
        self.begun.get_or_insert(first);
        self.rest()
    }

    /// Its owner has let go of it.
    pub(crate) fn release(&mut self) {
        self.owner = None;
        self.sent = false;
        self.rest();
    }

    /// Its owner has gone without a word: what it was given last is given again.
    pub(crate) fn abandon(&mut self) {
        self.release();
        self.next = self.begin();
    }

    /// The gate is where the next owner begins.
    fn rest(&mut self) -> u64 {
        let begin = self.begin().unwrap();
        self.low = begin;
        begin
    }

    /// At the owner's next poll: the gate has come this far.
    pub(crate) fn follow(&mut self, position: u64) {
        self.low = self.low.max(position);
    }

    /// Its owner commits, when it is told to.
    pub(crate) fn commit(&mut self, position: u64) {
        assert!(self.sent || self.committed.is_none_or(|c| c <= position));
        self.committed = Some(position);
        (self.low, self.sent) = (position, false);
    }

    /// Its owner was sent there.
    pub(crate) fn seek(&mut self, position: u64) {
        self.low = self.low.min(position);
        self.sent = true;
        self.next = None;
    }

    /// Its owner was sent elsewhere since the last commit.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent
    }

    /// The group was given a batch: behind all that it was given before, and nothing is left out.
    pub(crate) fn give(&mut self, log: &Partition, first: u64, next: u64) {
        if let Some(due) = self.next {
            assert_eq!(
                log.first_from(due.max(log.start())),
                Some(first),
                "{self:?}"
            );
        }
        self.next = Some(next);
    }
}
