//! A group's offsets as a whole: set from outside the group, listed, and compared with the ends of
//! closed topics. Under the group's lock (`coordinator/mod.rs` has G1 and G2).

use super::Coordinator;
use crate::error::GroupError;
use crate::group::assignor::MemberId;
use crate::group::gate::GroupGate;
use crate::group::member::Member;
use crate::group::partition_state::{GroupPartition, PartitionKey};
use crate::log::cursor::OffsetReset;
use crate::topic::{TopicPartition, TopicShared};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An offset to set in a partition that exists.
pub(crate) struct OffsetChange {
    pub(crate) topic: Arc<TopicShared>,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

impl Coordinator {
    // ---- set from outside the group -----------------------------------------------------

    /// Commits where the policy begins in all partitions of these topics. For a group that was just
    /// made.
    ///
    /// Errors: `UnknownTopic` if one was deleted meanwhile.
    pub(crate) fn begin_at(
        &mut self,
        topics: &[Arc<TopicShared>],
        policy: OffsetReset,
    ) -> Result<(), GroupError> {
        topics.iter().try_for_each(refuse_deleted)?;
        for topic in topics {
            // Partitions that are added from here on are not counted: they are read from their first
            // record on, whatever the policy.
            let counted = self.open_inbox(topic);
            if policy == OffsetReset::None {
                continue;
            }
            for partition in 0..counted {
                self.partition_of(topic, partition).commit_reset(policy);
            }
        }
        Ok(())
    }

    /// Sets these offsets, in the place of what was committed: all of them, or none.
    ///
    /// Errors: `UnknownTopic` for a topic that was deleted meanwhile; `PartitionInUse`;
    /// `OffsetOutOfRange`.
    pub(crate) fn alter_offsets(&mut self, changes: &[OffsetChange]) -> Result<(), GroupError> {
        // Otherwise the holds in the inboxes would stay, beside the gates at the new offsets.
        self.take_found();
        self.take_added();
        for OffsetChange {
            topic, partition, ..
        } in changes
        {
            refuse_deleted(topic)?;
            if let Some(member) = self.live_holder(topic, *partition) {
                return Err(GroupError::PartitionInUse {
                    name: self.name.as_ref().to_owned(),
                    topic: topic.name().clone(),
                    partition: *partition,
                    member: member.to_string(),
                });
            }
        }
        // G2: each new gate is in force before its offset is found to be retained. So no record
        // from there on is dropped, and the old gates are dropped only once all offsets are good.
        let gates = changes.iter().map(|change| hold(change, self.holds_back));
        let gates = gates.collect::<Result<Vec<_>, _>>()?;
        for (change, gate) in changes.iter().zip(gates) {
            self.partition_of(&change.topic, change.partition)
                .set_offset(change.offset, gate);
        }
        // The last of a closed topic may be committed now.
        self.signal_all();
        Ok(())
    }

    /// The live member that owns a partition, or is to get it.
    fn live_holder(&self, topic: &Arc<TopicShared>, partition: u32) -> Option<MemberId> {
        let state = self.known(topic, partition)?;
        let holder = state.owner().or(state.target)?;
        let member = self.members.get(&holder);
        member.is_some_and(Member::is_live).then_some(holder)
    }

    /// The group's state of a partition of this very topic, if it has any.
    fn known(&self, topic: &Arc<TopicShared>, partition: u32) -> Option<&GroupPartition> {
        let state = self.partitions.get(&PartitionKey::new(topic, partition));
        state.filter(|state| state.is_of(topic))
    }

    /// The committed offset of each partition that has one.
    pub(crate) fn committed_offsets(&self) -> BTreeMap<TopicPartition, u64> {
        let partitions = self.partitions.iter();
        let committed = partitions
            .filter_map(|(key, state)| Some((key.to_topic_partition(), state.committed()?)));
        committed.collect()
    }

    // ---- the end of a closed topic ------------------------------------------------------

    /// Whether nothing is left to be read of a closed topic, whichever member gets a partition of
    /// it: where the next owner would begin, each log ends.
    ///
    /// What an owner has read and not committed counts as unread: if it dies, another reads that. With
    /// `only_durable` nothing else is read, so what will never be durable is not left.
    pub(crate) fn has_read(&self, topic: &Arc<TopicShared>, only_durable: bool) -> bool {
        topic.is_closed()
            && (0..topic.partitions()).all(|partition| {
                let log = topic.partition(partition);
                let end = match only_durable {
                    true => log.final_durable_end(),
                    false => log.final_end_offset(),
                };
                let Some(end) = end else {
                    return false;
                };
                let state = self.known(topic, partition);
                let next = state.and_then(GroupPartition::next_offset);
                next.is_some_and(|next| next >= end) || log.log_start_offset() >= end
            })
    }

    /// After a commit that may have been the last in a closed topic: signals the members that have
    /// no partition of it. They wait for that ([`has_read`](Self::has_read)).
    ///
    /// A commit takes no lock, so none notices that it is the last. Instead each owner calls this
    /// after its own last commit. The lock orders these calls, so the last of them finds all
    /// commits. A member that waits has looked under the lock after it enrolled. So it has found
    /// all commits, or it is signalled.
    pub(crate) fn announce_end(&self, topic: &Arc<TopicShared>) {
        // The lowest of the ends that a member may wait for. Each asks for its own once it is signalled.
        if !self.has_read(topic, true) {
            return;
        }
        let of_topic = self.partitions.values().filter(|p| p.is_of(topic));
        let owners: BTreeSet<_> = of_topic.filter_map(GroupPartition::owner).collect();
        for (id, member) in &self.members {
            let reads = member.topics.iter().any(|t| Arc::ptr_eq(t, topic));
            if let (Some(signals), true) = (&member.signals, reads && !owners.contains(id)) {
                signals.signal();
            }
        }
    }
}

/// Under the lock: a topic that is deleted after this check is forgotten after it, too.
fn refuse_deleted(topic: &Arc<TopicShared>) -> Result<(), GroupError> {
    if topic.is_deleted() {
        return Err(GroupError::UnknownTopic {
            name: topic.name().as_ref().to_owned(),
        });
    }
    Ok(())
}

/// A gate that holds what is retained from the new offset on; none under `DropOldest`, and for a
/// group that holds back nothing.
///
/// Errors: `OffsetOutOfRange` if the log does not retain the offset.
fn hold(change: &OffsetChange, holds_back: bool) -> Result<Option<GroupGate>, GroupError> {
    let OffsetChange {
        topic,
        partition,
        offset,
    } = change;
    let log = topic.partition(*partition);
    let mut gate = match holds_back {
        true => GroupGate::join(log),
        false => None,
    };
    if let Some(gate) = &mut gate {
        gate.hold_from(*offset);
    }
    let extent = log.extent();
    if (extent.start..=extent.end).contains(offset) {
        return Ok(gate);
    }
    Err(GroupError::OffsetOutOfRange {
        topic: topic.name().clone(),
        partition: *partition,
        offset: *offset,
        log_start: extent.start,
        log_end: extent.end,
    })
}
