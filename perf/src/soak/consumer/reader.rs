//! The state of a thread of transient consumers: what it reads, and the checkers of all topics.

use crate::soak::checker::Checker;
use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use crate::soak::ledger::Ledger;
use crate::soak::rng::Rng;
use crate::soak::watchdog::Heartbeat;
use ringlog::{Broker, ConsumeError, TopicPartition};
use std::sync::Arc;

/// A thread that runs one consumer after the other.
pub(super) struct TransientReader<'a> {
    pub(super) broker: &'a Broker,
    /// One for each topic of the round.
    pub(super) checkers: Vec<Checker>,
    /// The index of the topic that the thread belongs to.
    pub(super) own: usize,
    pub(super) rng: Rng,
    pub(super) counts: Counts,
    pub(super) heartbeat: &'a Heartbeat,
    /// The contents of a batch before and after it was held.
    pub(super) images: [Vec<u8>; 2],
    /// The partition that the current consumer has paused.
    pub(super) paused: Option<TopicPartition>,
}

impl<'a> TransientReader<'a> {
    pub(super) fn new(
        broker: &'a Broker,
        ledgers: &[Arc<Ledger>],
        own: usize,
        rng: Rng,
        heartbeat: &'a Heartbeat,
    ) -> TransientReader<'a> {
        let checker = |ledger: &Arc<Ledger>| Checker::new(ledger.clone()).with_recall();
        TransientReader {
            broker,
            checkers: ledgers.iter().map(checker).collect(),
            own,
            rng,
            counts: Counts::default(),
            heartbeat,
            images: Default::default(),
            paused: None,
        }
    }
}

/// Turns a consumer's error into a fault.
pub(super) fn as_fault<T>(result: Result<T, ConsumeError>) -> Result<T, Fault> {
    result.map_err(|error| error.to_string())
}

impl TransientReader<'_> {
    pub(super) fn checker(&mut self, topic: &str) -> Result<&mut Checker, Fault> {
        let mut checkers = self.checkers.iter_mut();
        let found = checkers.find(|checker| checker.ledger.plan.name == topic);
        found.ok_or_else(|| format!("there is no topic {topic:?}"))
    }

    /// Leaves all partitions except these; returns the new ones of these.
    pub(super) fn follow(&mut self, assignment: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut new = Vec::new();
        for checker in &mut self.checkers {
            let ledger = checker.ledger.clone();
            for partition in 0..ledger.plan.partitions {
                let this = TopicPartition::new(&*ledger.plan.name, partition);
                match (assignment.contains(&this), checker.reads(partition)) {
                    (true, false) => new.push(this),
                    (false, true) => checker.leave(partition),
                    _ => {}
                }
            }
        }
        new
    }
}
