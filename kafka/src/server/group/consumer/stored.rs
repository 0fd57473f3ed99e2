//! What of a consumer group outlives the process.

use super::super::stored::{CONSUMER, next_revision, read_protocols, write_protocols};
use super::member::{ClassicPart, Member, Progress};
use super::subscription::compile;
use super::{Assignor, ConsumerGroup, Partitions};
use crate::server::config::GroupTimes;
use crate::server::store::{Reader, Writer};
use crate::server::topics::Topics;
use tokio::time::Instant;

impl ConsumerGroup {
    pub(in crate::server::group) fn head(&self) -> Vec<u8> {
        Writer::new(1)
            .u8(CONSUMER)
            .i32(self.epoch)
            .i32(self.target_epoch)
            .into_bytes()
    }

    /// A member, with what it is to have.
    pub(in crate::server::group) fn to_bytes(&self, id: &str, member: &Member) -> Vec<u8> {
        let names = member.subscription.names.iter();
        let progress = match member.progress {
            Progress::Stable => 0,
            Progress::Unrevoked => 1,
            Progress::Unreleased => 2,
        };
        let nothing = Partitions::new();
        let writer = Writer::new(1)
            .u8(CONSUMER)
            .optional_text(member.instance_id.as_deref())
            .optional_text(member.rack_id.as_deref())
            .text(&member.client_id)
            .text(&member.client_host)
            .list(names, |writer, name| writer.text(name))
            .text(&member.subscription.pattern)
            .optional_text(member.assignor.map(Assignor::name))
            .i32(member.epoch)
            .i32(member.previous_epoch)
            .u8(progress)
            .partitions(&member.assigned)
            .partitions(&member.revoking)
            .partitions(self.target.get(id).unwrap_or(&nothing))
            .time(member.rebalance_timeout);
        let writer = match &member.classic {
            None => writer.u8(0),
            Some(classic) => {
                let writer = writer.u8(1).time(classic.session_timeout);
                write_protocols(writer, &classic.protocols)
            }
        };
        writer.into_bytes()
    }

    /// The group of this head. If what it subscribes to is not what it was assigned, its epoch is the
    /// next: topics may have changed while there was no server.
    pub(in crate::server::group) fn from_stored(
        mut head: Reader<'_>,
        members: &[(String, Vec<u8>)],
        topics: &Topics,
        times: &GroupTimes,
    ) -> Option<ConsumerGroup> {
        let mut group = ConsumerGroup {
            epoch: head.i32()?,
            target_epoch: head.i32()?,
            revision: next_revision(),
            ..ConsumerGroup::default()
        };
        for (id, bytes) in members {
            let mut reader = Reader::new(bytes, 1)?;
            if reader.u8()? != CONSUMER {
                return None;
            }
            let (member, target) = read_member(reader, times)?;
            if let Some(instance) = &member.instance_id {
                group.instances.insert(instance.clone(), id.clone());
            }
            let has = member.assigned.iter().chain(&member.revoking);
            group.owned.extend(has.copied());
            let pattern = &member.subscription.pattern;
            if !pattern.is_empty() && !group.topics.has_pattern(pattern) {
                group.topics.add_pattern(pattern, compile(pattern).ok()?);
            }
            group.target.insert(id.clone(), target);
            group.members.insert(id.clone(), member);
        }
        group.topics.retain_subscribed(group.members.values());
        group.topics.refresh(topics);
        let targets = group.target.values().flatten().copied();
        let targets: Partitions = targets.collect();
        if group.epoch == group.target_epoch && targets != group.topics.all_partitions() {
            group.start_epoch();
        }
        Some(group)
    }

    /// The revision that is stored, of a group that was just loaded.
    pub(in crate::server::group) fn stored_revision(&self) -> u64 {
        match self.epoch > self.target_epoch {
            // It was to be assigned when it was loaded: that is to be stored again.
            true => 0,
            false => self.revision,
        }
    }
}

/// A member, and what it is to have.
fn read_member(mut reader: Reader<'_>, times: &GroupTimes) -> Option<(Member, Partitions)> {
    let now = Instant::now();
    let (instance_id, rack_id) = (reader.optional_text()?, reader.optional_text()?);
    let (client_id, client_host) = (reader.text()?, reader.text()?);
    let session_ends = now + times.consumer_session_timeout;
    let mut member = Member::new(client_id, client_host, session_ends);
    member.instance_id = instance_id;
    member.rack_id = rack_id;
    member.subscription.names = reader.list(Reader::text)?.into_iter().collect();
    member.subscription.pattern = reader.text()?;
    member.assignor = match reader.optional_text()? {
        Some(name) => Assignor::named(&name),
        None => None,
    };
    member.epoch = reader.i32()?;
    member.previous_epoch = reader.i32()?;
    member.progress = match reader.u8()? {
        0 => Progress::Stable,
        1 => Progress::Unrevoked,
        2 => Progress::Unreleased,
        _ => return None,
    };
    member.assigned = reader.partitions()?;
    member.revoking = reader.partitions()?;
    let target = reader.partitions()?;
    member.rebalance_timeout = reader.time()?;
    if reader.u8()? != 0 {
        let session_timeout = reader.time()?;
        member.session_ends = now + session_timeout;
        member.classic = Some(ClassicPart {
            session_timeout,
            protocols: read_protocols(&mut reader)?,
            join_ends: None,
            sync_ends: None,
        });
    } else if member.progress == Progress::Unrevoked {
        member.revocation_ends = Some(now + member.rebalance_timeout);
    }
    Some((member, target))
}
