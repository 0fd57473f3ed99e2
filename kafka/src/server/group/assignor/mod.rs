//! The assignors of the consumer protocol: which member is to have which partitions.
//!
//! They are pure functions of the members' subscriptions, of the topics, and of what each member was
//! to have before. Each partition of a topic that some member subscribes to is given to exactly one of
//! its subscribers.

mod range;
#[cfg(test)]
mod tests;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A partition: its topic's id, and its number.
pub(crate) type Partition = (Uuid, i32);
/// Partitions, by topic and number.
pub(crate) type Partitions = BTreeSet<Partition>;

/// A server-side assignor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assignor {
    /// The same number of partitions for each member, moving as few as possible.
    Uniform,
    /// A range of each topic's partitions, in the order of the members' ids. Topics with the same
    /// number of partitions and the same subscribers are divided alike.
    Range,
}

/// A member, as assignors see it.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) id: &'a str,
    pub(super) instance_id: Option<&'a str>,
    /// The index of its subscription.
    pub(super) subscription: usize,
    /// What it was to have before; some of it may be gone.
    pub(super) before: Option<&'a Partitions>,
}

/// What is to be assigned.
#[derive(Debug, Default)]
pub(super) struct Demand<'a> {
    pub(super) members: Vec<Candidate<'a>>,
    /// The topics of each subscription: members often share one.
    pub(super) subscriptions: Vec<BTreeSet<Uuid>>,
    /// The number of partitions of each topic that exists.
    pub(super) topics: BTreeMap<Uuid, u32>,
}

/// Topics with the same subscribers.
#[derive(Debug)]
struct TopicClass {
    topics: Vec<Uuid>,
    /// The indexes of the members that subscribe to them.
    members: Vec<usize>,
}

impl Assignor {
    /// All of them; the first is the default.
    const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    /// Its name in the protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    pub(super) fn named(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The assignor that most members ask for: the earlier in the list, if there are several.
    pub(super) fn preferred(votes: impl Iterator<Item = Assignor>) -> Assignor {
        let mut counts = [0usize; Assignor::ALL.len()];
        for vote in votes {
            counts[vote as usize] += 1;
        }
        match counts[Assignor::Range as usize] > counts[Assignor::Uniform as usize] {
            true => Assignor::Range,
            false => Assignor::Uniform,
        }
    }

    /// What each member is to have, by its index.
    pub(super) fn assign(self, demand: &Demand<'_>) -> Vec<Partitions> {
        match self {
            Assignor::Uniform => uniform::assign(demand),
            Assignor::Range => range::assign(demand),
        }
    }
}

impl Demand<'_> {
    /// The topics that have subscribers, by these: the topics with the fewest first.
    fn classes(&self) -> Vec<TopicClass> {
        let mut subscriptions_of: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (i, topics) in self.subscriptions.iter().enumerate() {
            for topic in topics
                .iter()
                .filter(|topic| self.topics.contains_key(topic))
            {
                subscriptions_of.entry(*topic).or_default().push(i);
            }
        }
        let mut topics_of: BTreeMap<Vec<usize>, Vec<Uuid>> = BTreeMap::new();
        for (topic, subscriptions) in subscriptions_of {
            topics_of.entry(subscriptions).or_default().push(topic);
        }
        let classes = topics_of.into_iter().map(|(subscriptions, topics)| {
            let subscribes = |i: &usize| {
                let subscription = self.members[*i].subscription;
                subscriptions.binary_search(&subscription).is_ok()
            };
            let members = (0..self.members.len()).filter(subscribes).collect();
            TopicClass { topics, members }
        });
        let mut classes: Vec<TopicClass> = classes.collect();
        classes.retain(|class| !class.members.is_empty());
        classes.sort_by_key(|class| class.members.len());
        classes
    }

    /// All partitions of a topic.
    fn partitions(&self, topic: Uuid) -> impl Iterator<Item = Partition> + use<> {
        let count = self.topics.get(&topic).copied().unwrap_or(0);
        (0..count as i32).map(move |number| (topic, number))
    }
}
