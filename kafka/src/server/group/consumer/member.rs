//! A member of a consumer group, and the next step of its reconciliation.

use super::super::assignor::{Assignor, Partition, Partitions};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// The epoch of a static member that has left for a while.
pub(super) const AWAY: i32 = -2;

/// What a member subscribes to. The pattern is empty if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Subscription {
    pub(crate) names: BTreeSet<String>,
    pub(crate) pattern: String,
}

/// Where a member is in its reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has all of the target of its epoch.
    Stable,
    /// It has partitions to give up.
    Unrevoked,
    /// It lacks partitions that others have not given up yet.
    Unreleased,
}

/// What a member has that uses the classic protocol.
#[derive(Debug)]
pub(crate) struct ClassicPart {
    pub(super) session_timeout: Duration,
    /// The assignors that it supports, each with its metadata.
    pub(super) protocols: Vec<(String, Bytes)>,
    /// When it must have joined again.
    pub(super) join_ends: Option<Instant>,
    /// When it must have asked for its assignment.
    pub(super) sync_ends: Option<Instant>,
}

impl ClassicPart {
    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }
}

/// A member of a consumer group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) subscription: Subscription,
    pub(crate) assignor: Option<Assignor>,
    /// [`AWAY`] for a static member that has left for a while.
    pub(crate) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) progress: Progress,
    /// What it may use.
    pub(crate) assigned: Partitions,
    /// What it is to give up.
    pub(super) revoking: Partitions,
    pub(super) rebalance_timeout: Duration,
    /// When it is taken for dead.
    pub(super) session_ends: Instant,
    /// When it must have given up what it is to give up.
    pub(super) revocation_ends: Option<Instant>,
    /// Since when it has been assigned what it has not said yet that it has.
    pub(super) unreported_since: Option<Instant>,
    /// `None` for a member by the consumer protocol.
    pub(crate) classic: Option<ClassicPart>,
}

/// A member's next assignment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) epoch: i32,
    pub(super) progress: Progress,
    pub(super) assigned: Partitions,
    pub(super) revoking: Partitions,
}

impl Member {
    pub(super) fn new(client_id: String, client_host: String, session_ends: Instant) -> Member {
        Member {
            instance_id: None,
            rack_id: None,
            client_id,
            client_host,
            subscription: Subscription::default(),
            assignor: None,
            epoch: 0,
            previous_epoch: -1,
            progress: Progress::Stable,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
            rebalance_timeout: Duration::ZERO,
            session_ends,
            revocation_ends: None,
            unreported_since: None,
            classic: None,
        }
    }

    pub(super) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.progress == Progress::Stable && self.epoch == target_epoch
    }

    /// Takes note of whether the member has said that it has what it is assigned. `is_new` is whether
    /// it learns with this answer what it is assigned.
    pub(super) fn note_report(&mut self, owned: Option<&Partitions>, is_new: bool, now: Instant) {
        self.unreported_since = match owned {
            Some(owned) if *owned == self.assigned => None,
            _ if is_new => Some(now),
            Some(_) => self.unreported_since.or(Some(now)),
            None => self.unreported_since,
        };
    }

    /// When it is removed, unless it does something before.
    pub(super) fn deadline(&self) -> Instant {
        let classic = self.classic.as_ref();
        let classic = classic
            .into_iter()
            .flat_map(|part| [part.join_ends, part.sync_ends]);
        let others = classic.chain([self.revocation_ends]).flatten();
        others.fold(self.session_ends, Instant::min)
    }

    /// The next step towards the target; `None` while there is nothing to do but wait. `is_free` is
    /// whether a partition has no owner, `owned` is what the member says it has.
    pub(super) fn next_step(
        &self,
        target_epoch: i32,
        target: &Partitions,
        is_free: impl Fn(&Partition) -> bool,
        owned: Option<&Partitions>,
    ) -> Option<Step> {
        // A member that does not say what it has may still have all.
        let still_has = |revoking: &Partitions| {
            owned.is_none_or(|owned| revoking.iter().any(|partition| owned.contains(partition)))
        };
        let epoch = match self.progress {
            Progress::Unrevoked if still_has(&self.revoking) => return None,
            // It has reached the end of its epoch. If there is more to give up, it goes on from there.
            Progress::Unrevoked => self.epoch.saturating_add(1),
            Progress::Stable | Progress::Unreleased => self.epoch,
        };
        let mut assigned: Partitions = self.assigned.intersection(target).copied().collect();
        let revoking: Partitions = self.assigned.difference(target).copied().collect();
        if !revoking.is_empty() && still_has(&revoking) {
            return Some(Step {
                epoch,
                progress: Progress::Unrevoked,
                assigned,
                revoking,
            });
        }
        let mut progress = Progress::Stable;
        for partition in target {
            if assigned.contains(partition) {
                continue;
            }
            match is_free(partition) {
                true => {
                    assigned.insert(*partition);
                }
                false => progress = Progress::Unreleased,
            }
        }
        Some(Step {
            epoch: target_epoch,
            progress,
            assigned,
            revoking: Partitions::new(),
        })
    }

    pub(super) fn take_step(&mut self, step: Step, now: Instant) {
        self.previous_epoch = self.epoch;
        self.epoch = step.epoch;
        self.progress = step.progress;
        self.assigned = step.assigned;
        self.revoking = step.revoking;
        self.revocation_ends = match self.progress {
            // A classic member has a time to join again instead.
            Progress::Unrevoked if self.classic.is_none() => Some(now + self.rebalance_timeout),
            _ => None,
        };
    }
}
