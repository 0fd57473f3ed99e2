//! The groups that were stored, at the start of a server.

use super::super::cell::{GroupCell, Members};
use super::super::consumer::ConsumerGroup;
use super::super::offsets::{CommittedOffset, Offsets};
use super::super::state::ClassicGroup;
use super::super::{Groups, timer};
use super::{CLASSIC, CONSUMER, StoredGroup, offset_value, read_offset};
use crate::server::config::GroupTimes;
use crate::server::store::{Reader, Store};
use crate::server::topics::Topics;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{info, warn};

/// What is stored of one group.
#[derive(Debug, Default)]
struct Found {
    head: Option<Vec<u8>>,
    members: Vec<(String, Vec<u8>)>,
    offsets: Offsets,
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// All groups that are stored, by name.
fn found(store: &Store) -> BTreeMap<String, Found> {
    let mut groups: BTreeMap<String, Found> = BTreeMap::new();
    for (key, value) in store.with_prefix(b"g") {
        let name = || text(Reader::new(&key, b'g')?.rest());
        if let Some(name) = name() {
            groups.entry(name).or_default().head = Some(value);
        }
    }
    for (key, value) in store.with_prefix(b"m") {
        let names = || {
            let mut reader = Reader::new(&key, b'm')?;
            Some((reader.text()?, text(reader.rest())?))
        };
        if let Some((name, member)) = names() {
            groups
                .entry(name)
                .or_default()
                .members
                .push((member, value));
        }
    }
    for (key, value) in store.with_prefix(b"o") {
        let names = || {
            let mut reader = Reader::new(&key, b'o')?;
            let (name, partition) = (reader.text()?, reader.i32()?);
            Some((name, (text(reader.rest())?, partition)))
        };
        if let (Some((name, partition)), Some(offset)) = (names(), read_offset(&value)) {
            let group = groups.entry(name).or_default();
            group.offsets.insert(partition, offset);
        }
    }
    groups
}

impl Found {
    fn members(&self, topics: &Topics, times: &GroupTimes) -> Option<Members> {
        let Some(head) = &self.head else {
            // Offsets alone.
            return Some(Members::Classic(ClassicGroup::new()));
        };
        let mut head = Reader::new(head, 1)?;
        match head.u8()? {
            CLASSIC => ClassicGroup::from_stored(head, &self.members).map(Members::Classic),
            CONSUMER => {
                let group = ConsumerGroup::from_stored(head, &self.members, topics, times);
                group.map(Members::Consumer)
            }
            _ => None,
        }
    }
}

/// An offset past the end of its log is of records that were lost with the process: the group goes on
/// at the end, as it would without having read them.
fn cut(offset: &mut CommittedOffset, topics: &Topics, (topic, partition): &(String, i32)) -> bool {
    let found = topics
        .find(topic)
        .filter(|found| found.id == offset.topic_id);
    let end = found.and_then(|found| {
        let partition = found.partition(*partition)?;
        found.topic.log_end_offset(partition).ok()
    });
    match end {
        Some(end) if offset.offset > end as i64 => {
            offset.offset = end as i64;
            true
        }
        _ => false,
    }
}

impl Groups {
    /// Takes over the groups that were stored. Their members' sessions begin now.
    pub(crate) fn load(&self, store: &Arc<Store>, topics: &Topics) {
        let mut by_name = self.by_name();
        for (name, mut found) in found(store) {
            let mut stored = StoredGroup::new(&name, store.clone());
            let mut cuts = Vec::new();
            for (partition, offset) in &mut found.offsets {
                if cut(offset, topics, partition) {
                    let key = super::offset_key(&name, partition);
                    cuts.push((key, Some(offset_value(offset))));
                }
            }
            stored.apply(cuts);
            stored.members = found.members.iter().map(|(id, _)| id.clone()).collect();
            let members = found.members(topics, &self.times).unwrap_or_else(|| {
                warn!(
                    group = name,
                    "the group's members cannot be read: they join again"
                );
                Members::Classic(ClassicGroup::new())
            });
            stored.revision = match &members {
                Members::Classic(classic) => classic.revision,
                Members::Consumer(consumer) => consumer.stored_revision(),
            };
            let cell = Arc::new(GroupCell::new(Some(stored)));
            let mut group = cell.lock();
            group.members = members;
            group.offsets = found.offsets;
            if timer::is_needed(&mut group) {
                tokio::spawn(timer::run(cell.clone(), self.phase.clone()));
            }
            drop(group);
            by_name.groups.insert(name, cell);
        }
        if !by_name.groups.is_empty() {
            info!(groups = by_name.groups.len(), "groups are as they were");
        }
    }
}
