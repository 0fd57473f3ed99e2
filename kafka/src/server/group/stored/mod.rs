//! What of a group outlives the process, as with Kafka: its members when they last all had their
//! assignments, and its offsets.
//!
//! - A classic group is stored when its leader has assigned, and when its last member has gone. While
//!   it rebalances, what is stored is the state before: after a restart its members have that
//!   generation, and the members that were joining join again.
//! - A consumer group is stored at each change.
//! - After a restart the members' sessions begin again. What is about a request that waits, or about
//!   times, is not stored.
//!
//! | key | value |
//! |---|---|
//! | `g`, name | the protocol, and what the group has besides members |
//! | `m`, name, member | a member |
//! | `o`, name, partition, topic | an offset |
//!
//! What a step changes is one frame of the journal, and the step's answer waits until that is written.

mod load;

use super::cell::{Group, Members};
use super::offsets::{CommittedOffset, Offsets};
use super::state::{ClassicGroup, Member, State};
use crate::server::store::{Change, Reader, Store, StoreError, Writer};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// The protocol of a group, in its values.
pub(super) const CLASSIC: u8 = 0;
pub(super) const CONSUMER: u8 = 1;

/// A number that no other state of any group has.
pub(super) fn next_revision() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where a group is stored, and what is stored of it.
#[derive(Debug)]
pub(super) struct StoredGroup {
    pub(super) name: String,
    pub(super) store: Arc<Store>,
    /// The revision that is stored; 0 for none.
    revision: u64,
    /// The members that are stored.
    members: BTreeSet<String>,
}

fn group_key(name: &str) -> Vec<u8> {
    Writer::new(b'g').rest(name.as_bytes()).into_bytes()
}

fn member_key(name: &str, member: &str) -> Vec<u8> {
    let key = Writer::new(b'm').text(name);
    key.rest(member.as_bytes()).into_bytes()
}

fn offset_key(name: &str, (topic, partition): &(String, i32)) -> Vec<u8> {
    let key = Writer::new(b'o').text(name).i32(*partition);
    key.rest(topic.as_bytes()).into_bytes()
}

fn offset_value(offset: &CommittedOffset) -> Vec<u8> {
    Writer::new(1)
        .i64(offset.offset)
        .i32(offset.leader_epoch)
        .uuid(offset.topic_id)
        .text(&offset.metadata)
        .into_bytes()
}

fn read_offset(bytes: &[u8]) -> Option<CommittedOffset> {
    let mut reader = Reader::new(bytes, 1)?;
    Some(CommittedOffset {
        offset: reader.i64()?,
        leader_epoch: reader.i32()?,
        topic_id: reader.uuid()?,
        metadata: reader.text()?,
    })
}

impl StoredGroup {
    pub(super) fn new(name: &str, store: Arc<Store>) -> StoredGroup {
        StoredGroup {
            name: name.to_owned(),
            store,
            revision: 0,
            members: BTreeSet::new(),
        }
    }

    fn apply(&self, changes: Vec<Change>) {
        if let Err(reason) = self.store.apply(changes) {
            warn!(group = self.name, %reason, "the group will not be as it is after a restart");
        }
    }

    /// Stores the group's head and all its members, and removes the members that have gone.
    fn put_all(&mut self, head: Vec<u8>, members: Vec<(&String, Vec<u8>)>) {
        let mut gone = std::mem::take(&mut self.members);
        let mut changes = vec![(group_key(&self.name), Some(head))];
        for (id, value) in members {
            gone.remove(id);
            changes.push((member_key(&self.name, id), Some(value)));
            self.members.insert(id.clone());
        }
        let gone = gone.iter();
        changes.extend(gone.map(|id| (member_key(&self.name, id), None)));
        self.apply(changes);
    }
}

impl Group {
    /// Stores what the last step has changed.
    pub(super) fn keep(&mut self) {
        let Some(stored) = &mut self.stored else {
            return;
        };
        match &mut self.members {
            Members::Classic(classic) => {
                let is_settled = matches!(classic.state, State::Stable | State::Empty);
                if is_settled && classic.revision != stored.revision {
                    stored.revision = classic.revision;
                    let members = classic.members.iter();
                    let members = members.map(|(id, member)| (id, member.to_bytes()));
                    stored.put_all(classic.head(), members.collect());
                }
            }
            Members::Consumer(consumer) => {
                let touched = consumer.touched.take();
                if consumer.revision != stored.revision {
                    stored.revision = consumer.revision;
                    let members = consumer.members.iter();
                    let members = members.map(|(id, member)| (id, consumer.to_bytes(id, member)));
                    stored.put_all(consumer.head(), members.collect());
                } else if let Some(id) = touched
                    && let Some(member) = consumer.members.get(&id)
                {
                    let value = consumer.to_bytes(&id, member);
                    let key = member_key(&stored.name, &id);
                    stored.apply(vec![(key, Some(value))]);
                }
            }
        }
    }

    /// Takes over the offsets of a commit, and stores them.
    pub(crate) fn commit(
        &mut self,
        offsets: Vec<((String, i32), CommittedOffset)>,
    ) -> Result<(), StoreError> {
        // Of a partition that is named twice the last.
        let offsets: Offsets = offsets.into_iter().collect();
        if let Some(stored) = &self.stored {
            let changes = offsets.iter().map(|(key, offset)| {
                let value = offset_value(offset);
                (offset_key(&stored.name, key), Some(value))
            });
            stored.store.apply(changes.collect())?;
        }
        self.offsets.extend(offsets);
        Ok(())
    }

    /// Forgets the offsets that are not to be kept.
    pub(crate) fn retain_offsets(
        &mut self,
        keep: impl Fn(&(String, i32), &CommittedOffset) -> bool,
    ) {
        let mut forgotten = Vec::new();
        self.offsets.retain(|key, offset| {
            let is_kept = keep(key, offset);
            if !is_kept {
                forgotten.push(key.clone());
            }
            is_kept
        });
        if let Some(stored) = self.stored.as_ref().filter(|_| !forgotten.is_empty()) {
            let keys = forgotten.iter().map(|key| offset_key(&stored.name, key));
            stored.apply(keys.map(|key| (key, None)).collect());
        }
    }

    /// The group is removed: nothing of it is to be there after a restart.
    pub(super) fn forget(&mut self) {
        if let Some(stored) = &self.stored {
            let members = stored.members.iter();
            let members = members.map(|id| member_key(&stored.name, id));
            let offsets = self.offsets.keys();
            let offsets = offsets.map(|key| offset_key(&stored.name, key));
            let keys = members.chain(offsets).chain([group_key(&stored.name)]);
            stored.apply(keys.map(|key| (key, None)).collect());
        }
    }
}

/// Assignors, each with its metadata.
pub(super) fn write_protocols(writer: Writer, protocols: &[(String, Bytes)]) -> Writer {
    writer.list(protocols.iter(), |writer, (name, metadata)| {
        writer.text(name).bytes(metadata)
    })
}

pub(super) fn read_protocols(reader: &mut Reader<'_>) -> Option<Vec<(String, Bytes)>> {
    reader.list(|reader| Some((reader.text()?, Bytes::copy_from_slice(reader.bytes()?))))
}

impl ClassicGroup {
    fn head(&self) -> Vec<u8> {
        Writer::new(1)
            .u8(CLASSIC)
            .i32(self.generation)
            .optional_text(self.protocol_type.as_deref())
            .optional_text(self.protocol.as_deref())
            .optional_text(self.leader.as_deref())
            .into_bytes()
    }

    /// The group of this head, as it was when its last member had its assignment.
    fn from_stored(mut head: Reader<'_>, members: &[(String, Vec<u8>)]) -> Option<ClassicGroup> {
        let mut group = ClassicGroup::new();
        group.generation = head.i32()?;
        group.protocol_type = head.optional_text()?;
        group.protocol = head.optional_text()?;
        group.leader = head.optional_text()?;
        for (id, bytes) in members {
            let mut reader = Reader::new(bytes, 1)?;
            if reader.u8()? != CLASSIC {
                return None;
            }
            let member = Member::from_stored(reader)?;
            if let Some(instance) = &member.instance_id {
                group.instances.insert(instance.clone(), id.clone());
            }
            group.members.insert(id.clone(), member);
        }
        group.state = match group.members.is_empty() {
            true => State::Empty,
            false => State::Stable,
        };
        group.revision = next_revision();
        Some(group)
    }
}

impl Member {
    fn to_bytes(&self) -> Vec<u8> {
        let writer = Writer::new(1)
            .u8(CLASSIC)
            .optional_text(self.instance_id.as_deref())
            .text(&self.client_id)
            .text(&self.client_host)
            .time(self.session_timeout)
            .time(self.rebalance_timeout);
        let writer = write_protocols(writer, &self.protocols);
        writer.bytes(&self.assignment).into_bytes()
    }

    fn from_stored(mut reader: Reader<'_>) -> Option<Member> {
        let instance_id = reader.optional_text()?;
        let (client_id, client_host) = (reader.text()?, reader.text()?);
        let (session_timeout, rebalance_timeout): (Duration, Duration) =
            (reader.time()?, reader.time()?);
        Some(Member {
            instance_id,
            client_id,
            client_host,
            session_timeout,
            rebalance_timeout,
            protocols: read_protocols(&mut reader)?,
            assignment: Bytes::copy_from_slice(reader.bytes()?),
            session_ends: Instant::now() + session_timeout,
            joining: None,
            syncing: None,
            has_synced: true,
        })
    }
}
