//! OffsetCommit and OffsetFetch.

use super::{code, once, text, topic_name};
use crate::server::connection::Client;
use crate::server::group::{CommitMember, CommittedOffset, Group, Offsets};
use crate::server::store::StoreError;
use crate::server::topics::{ServedTopic, Topics};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use std::collections::HashSet;
use tracing::warn;

pub(super) async fn commit(
    client: &Client,
    version: i16,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let mut response = commit_in_memory(client, version, &request);
    if let Err(reason) = client.shared.written().await {
        refuse_all(&request.group_id, &mut response.topics, &reason);
    }
    response
}

/// A commit that is not kept is refused by what clients take for an error that passes.
fn refuse_all(group: &str, topics: &mut [OffsetCommitResponseTopic], reason: &StoreError) {
    warn!(group, %reason, "a commit is not kept");
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| partition.error_code == 0) {
        partition.error_code = ResponseError::CoordinatorNotAvailable.code();
    }
}

fn commit_in_memory(
    client: &Client,
    version: i16,
    request: &OffsetCommitRequest,
) -> OffsetCommitResponse {
    let shared = &client.shared;
    let member = CommitMember {
        generation: request.generation_id_or_member_epoch,
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        knows_epochs: version >= 9,
    };
    // As in Kafka, a group without members may have an empty name.
    let group = shared.groups.for_commit(&request.group_id, &member);
    let group = group.ok_or(match version {
        9.. => ResponseError::GroupIdNotFound,
        _ => ResponseError::IllegalGeneration,
    });
    // One step of the group: all offsets of a commit are there, or none yet.
    let mut group = match &group {
        Ok(group) => Ok(group.lock()),
        Err(error) => Err(*error),
    };
    let checked = match &mut group {
        Ok(group) => group.check_commit(&member),
        Err(error) => Err(*error),
    };
    let max_metadata = shared.config.limits.offset_metadata_bytes;
    let mut accepted = Vec::new();
    let topics = request.topics.iter().map(|topic| {
        let found = shared.topics.find(&topic.name);
        let partitions = topic.partitions.iter().map(|partition| {
            let offset = match checked {
                Ok(()) => committed(found.as_deref(), partition, max_metadata),
                Err(error) => Err(error),
            };
            let error = match offset {
                Ok(offset) => {
                    let key = (topic.name.as_str().to_owned(), partition.partition_index);
                    accepted.push((key, offset));
                    None
                }
                Err(error) => Some(error),
            };
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.map_or(0, |error| error.code()))
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    let mut topics: Vec<_> = topics.collect();
    if let Ok(group) = &mut group
        && let Err(reason) = group.commit(accepted)
    {
        refuse_all(&request.group_id, &mut topics, &reason);
    }
    drop(group);
    let mut partitions = topics.iter().flat_map(|topic| &topic.partitions);
    if partitions.any(|partition| partition.error_code != 0) {
        // A commit that was refused leaves no group behind.
        shared.groups.remove_if_it_holds_nothing(&request.group_id);
    }
    OffsetCommitResponse::default().with_topics(topics)
}

fn committed(
    topic: Option<&ServedTopic>,
    partition: &OffsetCommitRequestPartition,
    max_metadata: usize,
) -> Result<CommittedOffset, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    if topic.partition(partition.partition_index).is_none() {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    if metadata.len() > max_metadata {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    Ok(CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_owned(),
        topic_id: topic.id,
    })
}

/// The offsets that are asked for: all of a group, or those of these partitions.
enum Asked<'a> {
    All,
    Partitions(Vec<(&'a str, &'a [i32])>),
}

type FetchedTopics = Vec<(String, Vec<(i32, Option<CommittedOffset>)>)>;

fn look_up(topics: &Topics, group: Option<&mut Group>, asked: Asked<'_>) -> FetchedTopics {
    let empty = Offsets::new();
    let offsets = match group {
        Some(group) => {
            // Offsets of topics that were deleted are forgotten.
            group.retain_offsets(|(name, _), offset| {
                let topic = topics.find(name);
                topic.is_some_and(|topic| topic.id == offset.topic_id)
            });
            &group.offsets
        }
        None => &empty,
    };
    match asked {
        Asked::Partitions(topics) => {
            // Once each: an offset's metadata may be far longer than the number that asks for it.
            let mut seen = HashSet::new();
            let found = topics.into_iter().map(|(name, partitions)| {
                let new = partitions.iter().filter(|p| seen.insert((name, **p)));
                let found = new.map(|partition| {
                    let key = (name.to_owned(), *partition);
                    (*partition, offsets.get(&key).cloned())
                });
                (name.to_owned(), found.collect())
            });
            found.collect()
        }
        Asked::All => {
            let mut all = FetchedTopics::new();
            for ((name, partition), offset) in offsets.iter() {
                let found = (*partition, Some(offset.clone()));
                match all.last_mut().filter(|(last, _)| last == name) {
                    Some((_, partitions)) => partitions.push(found),
                    None => all.push((name.clone(), vec![found])),
                }
            }
            all
        }
    }
}

pub(super) fn fetch(
    client: &Client,
    version: i16,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let shared = &client.shared;
    let fetched = |group: &str, member: Option<&str>, epoch: i32, asked: Asked<'_>| {
        let group = shared.groups.find(group);
        let mut group = group.as_ref().map(|group| group.lock());
        if let Some(group) = &group {
            group.check_offset_fetch(member, epoch)?;
        }
        Ok(look_up(&shared.topics, group.as_deref_mut(), asked))
    };
    if version >= 8 {
        let groups = once(request.groups, |group| group.group_id.clone());
        let groups = groups.iter().map(|group| {
            let asked = match &group.topics {
                None => Asked::All,
                Some(topics) => Asked::Partitions(
                    topics
                        .iter()
                        .map(|topic| (topic.name.as_str(), &topic.partition_indexes[..]))
                        .collect(),
                ),
            };
            let (member, epoch) = (group.member_id.as_deref(), group.member_epoch);
            let topics = match fetched(&group.group_id, member, epoch, asked) {
                Ok(topics) => topics.into_iter(),
                Err(error) => return refused_group(group, error),
            };
            let topics = topics.map(|(name, partitions)| {
                OffsetFetchResponseTopics::default()
                    .with_name(topic_name(&name))
                    .with_partitions(partitions.into_iter().map(of_group).collect())
            });
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id.clone())
                .with_topics(topics.collect())
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let asked = match &request.topics {
        None => Asked::All,
        Some(topics) => Asked::Partitions(
            topics
                .iter()
                .map(|topic| (topic.name.as_str(), &topic.partition_indexes[..]))
                .collect(),
        ),
    };
    let topics = match fetched(&request.group_id, None, -1, asked) {
        Ok(topics) => topics.into_iter(),
        Err(error) => return OffsetFetchResponse::default().with_error_code(error.code()),
    };
    let topics = topics.map(|(name, partitions)| {
        let partitions = partitions.into_iter();
        let partitions = partitions.map(|found| of_only_group(version, found));
        OffsetFetchResponseTopic::default()
            .with_name(topic_name(&name))
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn refused_group(
    group: &OffsetFetchRequestGroup,
    error: ResponseError,
) -> OffsetFetchResponseGroup {
    OffsetFetchResponseGroup::default()
        .with_group_id(group.group_id.clone())
        .with_error_code(error.code())
}

fn parts(found: Option<CommittedOffset>) -> (i64, i32, String) {
    match found {
        Some(found) => (found.offset, found.leader_epoch, found.metadata),
        None => (-1, -1, String::new()),
    }
}

fn of_group((partition, found): (i32, Option<CommittedOffset>)) -> OffsetFetchResponsePartitions {
    let (offset, leader_epoch, metadata) = parts(found);
    OffsetFetchResponsePartitions::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(leader_epoch)
        .with_metadata(Some(text(metadata)))
        .with_error_code(code(None))
}

fn of_only_group(
    version: i16,
    (partition, found): (i32, Option<CommittedOffset>),
) -> OffsetFetchResponsePartition {
    let (offset, leader_epoch, metadata) = parts(found);
    let response = OffsetFetchResponsePartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_metadata(Some(text(metadata)));
    match version {
        5.. => response.with_committed_leader_epoch(leader_epoch),
        _ => response,
    }
}
