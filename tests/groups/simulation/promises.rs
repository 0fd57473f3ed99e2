//! What an assignor promises, checked each time that it runs.

use ringlog::{
    Assignment, Assignor, GroupMember, GroupView, MemberId, RebalanceProtocol, TopicPartition,
    TopicView,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// How evenly partitions must be spread when all members read the same topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evenness {
    Overall,
    InEachTopic,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) evenness: Evenness,
    /// Members keep as many of their partitions as an even spread allows.
    pub(crate) sticky: bool,
}

pub(super) type Shares = BTreeMap<MemberId, BTreeSet<TopicPartition>>;

/// The last assignment, which all members of the group share.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) last: Shares,
    /// Since the last assignment every partition has been with the member that it was given to.
    pub(super) settled: bool,
}

/// An assignor whose answers are checked.
#[derive(Debug)]
pub(super) struct Checked<A> {
    pub(super) inner: A,
    pub(super) promise: Promise,
    pub(super) record: Arc<Mutex<Record>>,
}

impl<A: Assignor> Assignor for Checked<A> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn protocol(&self) -> RebalanceProtocol {
        self.inner.protocol()
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        let assignment = self.inner.assign(group);
        let new: Shares = assignment
            .iter()
            .map(|(&id, partitions)| (id, partitions.iter().cloned().collect()))
            .collect();
        let mut record = self.record.lock().unwrap();
        let old: Shares = group
            .members()
            .iter()
            .map(|member| (member.id(), member.owned().iter().cloned().collect()))
            .collect();
        if record.settled {
            // The assignor is shown what the members had, also after an eager release of it all.
            for (id, owned) in &old {
                let had = record.last.get(id).cloned().unwrap_or_default();
                assert_eq!(*owned, had, "{id} had other partitions");
            }
        }
        check_complete(group, &assignment);
        let equal_topics = have_equal_topics(group);
        self.check_spread(group, &new, equal_topics);
        if self.promise.sticky && equal_topics {
            check_kept(group, &old, &new);
        }
        (record.last, record.settled) = (new, false);
        assignment
    }
}

fn have_equal_topics(group: &GroupView) -> bool {
    let count = |topic: &TopicView| {
        let members = group.members().iter();
        members.filter(|m| m.reads(topic.name())).count()
    };
    let mut topics = group.topics().iter();
    topics.all(|topic| count(topic) == group.members().len())
}

fn all_partitions(group: &GroupView) -> impl Iterator<Item = TopicPartition> + '_ {
    group.topics().iter().flat_map(TopicView::all_partitions)
}

/// Each partition that some member reads is given to exactly one, which reads its topic.
fn check_complete(group: &GroupView, assignment: &Assignment) {
    let mut given = BTreeSet::new();
    for member in group.members() {
        for at in assignment.get(&member.id()).into_iter().flatten() {
            assert!(member.reads(&at.topic), "{at:?} is not read");
            assert!(given.insert(at.clone()), "{at:?} is given twice");
        }
    }
    let is_read = |at: &TopicPartition| group.members().iter().any(|m| m.reads(&at.topic));
    let all: BTreeSet<_> = all_partitions(group).filter(is_read).collect();
    assert_eq!(given, all, "not every partition is given");
}

/// The most partitions that members with equal topics can keep: with `q` partitions for each and
/// `r` left, each keeps up to `q`, and `r` of the members with more keep one more.
fn check_kept(group: &GroupView, old: &Shares, new: &Shares) {
    let members = group.members();
    let is_read = |at: &&TopicPartition| members[0].reads(&at.topic);
    let all = all_partitions(group).count();
    let (q, r) = (all / members.len(), all % members.len());
    let had = |id: &MemberId| old[id].iter().filter(is_read).count();
    let up_to_q: usize = old.keys().map(|id| had(id).min(q)).sum();
    let more = old.keys().filter(|id| had(id) > q).count().min(r);
    let kept = |id: &MemberId| {
        new.get(id)
            .map_or(0, |new| new.intersection(&old[id]).count())
    };
    let kept: usize = old.keys().map(kept).sum();
    assert_eq!(kept, up_to_q + more, "{old:?} {new:?}");
}

impl<A> Checked<A> {
    fn check_spread(&self, group: &GroupView, new: &Shares, equal_topics: bool) {
        let load = |member: &GroupMember, topic: Option<&str>| {
            let mine = new.get(&member.id()).into_iter().flatten();
            mine.filter(|at| topic.is_none_or(|t| &*at.topic == t))
                .count()
        };
        let even = |loads: Vec<usize>| {
            let (least, most) = (loads.iter().min(), loads.iter().max());
            let apart = most.unwrap_or(&0) - least.unwrap_or(&0);
            assert!(apart <= 1, "{loads:?}");
        };
        let members = group.members().iter();
        match self.promise.evenness {
            Evenness::Overall if equal_topics => even(members.map(|m| load(m, None)).collect()),
            Evenness::Overall => {}
            Evenness::InEachTopic => {
                for topic in group.topics() {
                    let readers = members.clone().filter(|m| m.reads(topic.name()));
                    even(readers.map(|m| load(m, Some(topic.name()))).collect());
                }
            }
        }
    }
}
