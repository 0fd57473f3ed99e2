//! Fetch: reads partitions, and waits until there is enough.
//!
//! There are no fetch sessions: the answer has session id 0, and clients send all partitions each
//! time, as they do to brokers that are out of sessions.

use super::leader_epochs::end_of;
use super::{code, text};
use crate::server::connection::Client;
use crate::server::leader_epochs::NO_EPOCH;
use crate::server::reader::{FetchedRecords, PartitionFetch, ReadError, Room, wait_for_records};
use crate::server::topics::ServedTopic;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// The session epochs of a request that has all its partitions in it.
const FULL_FETCH_EPOCHS: [i32; 2] = [-1, 0];

/// A partition of a request.
enum Fetched {
    Reading(PartitionFetch),
    Failed(ResponseError),
    /// The client knows an older leader epoch: the current one is this.
    Fenced(i32),
    /// The client has read more of an epoch than there is: it ended here.
    Diverging {
        topic: Arc<ServedTopic>,
        partition: u32,
        end: EpochEndOffset,
    },
}

struct Wanted {
    index: i32,
    fetched: Fetched,
}

struct WantedTopic {
    response: FetchableTopicResponse,
    /// Whether the request names topics by their ids.
    by_id: bool,
    partitions: Vec<Wanted>,
}

pub(super) async fn handle(
    client: &mut Client,
    version: i16,
    request: FetchRequest,
) -> FetchResponse {
    // A client that goes back to a full fetch may name the session that it had.
    let is_full = FULL_FETCH_EPOCHS.contains(&request.session_epoch);
    if version >= 7 && !is_full {
        let error = ResponseError::FetchSessionIdNotFound;
        return FetchResponse::default().with_error_code(error.code());
    }
    let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.max(0) as u64);
    let limit = client.shared.config.limits.fetch_bytes;
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(limit);
    let min_bytes = usize::try_from(request.min_bytes)
        .unwrap_or(0)
        .min(max_bytes);
    client.readers.begin_fetch(&client.shared.topics);
    let mut named = HashSet::new();
    let topics = request.topics.into_iter();
    let mut topics: Vec<WantedTopic> = topics
        .map(|topic| find_topic(client, version, topic, &mut named))
        .collect();
    loop {
        let used = read(client, &mut topics, max_bytes);
        let mut all = topics.iter().flat_map(|topic| &topic.partitions);
        let ends_wait = |wanted: &Wanted| match &wanted.fetched {
            Fetched::Reading(fetch) => fetch.out.is_full,
            _ => true,
        };
        let is_empty = topics.iter().all(|topic| topic.partitions.is_empty());
        let is_done = used >= min_bytes || is_empty || all.any(ends_wait);
        if is_done || Instant::now() >= deadline {
            break;
        }
        let more = wait(&mut topics, max_bytes);
        if timeout_at(deadline, more).await.is_err() {
            break;
        }
    }
    let read_committed = request.isolation_level == 1;
    let is_fenced = |wanted: &Wanted| matches!(wanted.fetched, Fetched::Fenced(_));
    let mut all = topics.iter().flat_map(|topic| &topic.partitions);
    let names_leader = version >= 16 && all.any(is_fenced);
    let responses = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter();
        let partitions = partitions.map(|wanted| response(client, version, read_committed, wanted));
        topic.response.with_partitions(partitions.collect())
    });
    let response = FetchResponse::default().with_responses(responses.collect());
    match names_leader {
        true => response.with_node_endpoints(vec![leader(client)]),
        false => response,
    }
}

/// The node that leads all partitions, which is this.
fn leader(client: &Client) -> NodeEndpoint {
    NodeEndpoint::default()
        .with_node_id(BrokerId(client.shared.config.node_id))
        .with_host(text(client.advertised.host.as_str()))
        .with_port(client.advertised.port.into())
}

/// The partitions that a request has named so far.
type Named = HashSet<(Uuid, i32)>;

fn find_topic(
    client: &mut Client,
    version: i16,
    wanted: FetchTopic,
    named: &mut Named,
) -> WantedTopic {
    let shared = client.shared.clone();
    let by_id = version >= 13;
    let (found, response) = match by_id {
        true => (
            shared.topics.find_id(wanted.topic_id),
            FetchableTopicResponse::default().with_topic_id(wanted.topic_id),
        ),
        false => (
            shared.topics.find(&wanted.topic),
            FetchableTopicResponse::default().with_topic(wanted.topic),
        ),
    };
    let unknown = unknown_topic(by_id);
    let partitions = wanted.partitions.into_iter().map(|partition| Wanted {
        index: partition.partition,
        fetched: match found.as_ref().ok_or(unknown) {
            // Each would have a reader of its own.
            Ok(topic) if !named.insert((topic.id, partition.partition)) => {
                Fetched::Failed(ResponseError::InvalidRequest)
            }
            Ok(topic) => begin(client, topic, &partition),
            Err(error) => Fetched::Failed(error),
        },
    });
    WantedTopic {
        response,
        by_id,
        partitions: partitions.collect(),
    }
}

fn unknown_topic(by_id: bool) -> ResponseError {
    match by_id {
        true => ResponseError::UnknownTopicId,
        false => ResponseError::UnknownTopicOrPartition,
    }
}

/// A reader of the partition, at the offset from which it is to be read.
fn begin(client: &mut Client, topic: &Arc<ServedTopic>, wanted: &FetchPartition) -> Fetched {
    let Some(partition) = topic.partition(wanted.partition) else {
        return Fetched::Failed(ResponseError::UnknownTopicOrPartition);
    };
    let epochs = topic.leader_epochs(partition);
    match epochs.check_current(wanted.current_leader_epoch) {
        Err(ResponseError::FencedLeaderEpoch) => return Fetched::Fenced(epochs.current()),
        Err(error) => return Fetched::Failed(error),
        Ok(()) => {}
    }
    let Ok(offset) = u64::try_from(wanted.fetch_offset) else {
        return Fetched::Failed(ResponseError::OffsetOutOfRange);
    };
    match diverging(topic, partition, wanted, offset) {
        Ok(None) => {}
        Ok(Some(diverging)) => return diverging,
        Err(error) => return Fetched::Failed(error),
    }
    let topics = &client.shared.topics;
    let reader = match client.readers.take(topics, topic, partition) {
        Ok(reader) => reader,
        Err(error) => return Fetched::Failed(response_error(error, false)),
    };
    let mut fetch = PartitionFetch {
        reader,
        out: FetchedRecords::new(topic.settings().timestamp_type, epochs),
        max_bytes: usize::try_from(wanted.partition_max_bytes).unwrap_or(0),
    };
    match fetch.reader.move_to(offset) {
        Ok(()) => Fetched::Reading(fetch),
        Err(error) => {
            client.readers.put_back(fetch.reader);
            Fetched::Failed(response_error(error, false))
        }
    }
}

/// Whether the client goes on behind records that are not in the log any more, if it says of which epoch
/// its last one was. Consumers do not: they ask by OffsetForLeaderEpoch.
fn diverging(
    topic: &Arc<ServedTopic>,
    partition: u32,
    wanted: &FetchPartition,
    offset: u64,
) -> Result<Option<Fetched>, ResponseError> {
    let last = wanted.last_fetched_epoch;
    // It may be of the last server, where this one has none.
    if last == NO_EPOCH || topic.leader_epochs(partition).current() == NO_EPOCH {
        return Ok(None);
    }
    let found = end_of(topic, partition, last)?;
    let (epoch, end) = found.ok_or(ResponseError::OffsetOutOfRange)?;
    let log_start = topic.topic.log_start_offset(partition);
    let log_start = log_start.map_err(|_| ResponseError::UnknownTopicOrPartition)?;
    if offset < log_start {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let is_diverging = epoch < last || end < offset;
    Ok(is_diverging.then(|| Fetched::Diverging {
        topic: topic.clone(),
        partition,
        end: EpochEndOffset::default()
            .with_epoch(epoch)
            .with_end_offset(end as i64),
    }))
}

fn response_error(error: ReadError, by_id: bool) -> ResponseError {
    match error {
        ReadError::Gone => unknown_topic(by_id),
        ReadError::OutOfRange => ResponseError::OffsetOutOfRange,
    }
}

/// Reads from all partitions, in their order. Returns the bytes of all records so far.
fn read(client: &Client, topics: &mut [WantedTopic], max_bytes: usize) -> usize {
    let mut used: usize = reading(topics).map(|fetch| fetch.out.writer.len()).sum();
    for topic in topics {
        for wanted in &mut topic.partitions {
            let Fetched::Reading(fetch) = &mut wanted.fetched else {
                continue;
            };
            let before = fetch.out.writer.len();
            let room = Room {
                bytes: fetch.max_bytes.min(before + max_bytes.saturating_sub(used)),
                takes_first: used == 0,
            };
            let mut read = fetch.reader.read(&mut fetch.out, room);
            used += fetch.out.writer.len() - before;
            // A topic that was deleted has ended, and so has one that was only closed.
            if fetch.reader.has_ended() && !client.shared.topics.is_current(fetch.reader.topic()) {
                read = Err(ReadError::Gone);
            }
            if let Err(error) = read {
                wanted.fetched = Fetched::Failed(response_error(error, topic.by_id));
            }
        }
    }
    used
}

fn reading(topics: &mut [WantedTopic]) -> impl Iterator<Item = &mut PartitionFetch> {
    let all = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    all.filter_map(|wanted| match &mut wanted.fetched {
        Fetched::Reading(fetch) => Some(fetch),
        _ => None,
    })
}

/// Waits until a partition has more. A partition that fails is marked so.
async fn wait(topics: &mut [WantedTopic], max_bytes: usize) {
    let failed = {
        let mut partitions: Vec<&mut PartitionFetch> = reading(topics).collect();
        wait_for_records(&mut partitions, max_bytes).await
    };
    let Err((number, error)) = failed else {
        return;
    };
    let mut position = 0;
    for topic in topics {
        for wanted in &mut topic.partitions {
            if let Fetched::Reading(_) = wanted.fetched {
                if position == number {
                    wanted.fetched = Fetched::Failed(response_error(error, topic.by_id));
                    return;
                }
                position += 1;
            }
        }
    }
}

fn response(
    client: &mut Client,
    version: i16,
    read_committed: bool,
    wanted: Wanted,
) -> PartitionData {
    let aborted = read_committed.then(Vec::new);
    let data = PartitionData::default()
        .with_partition_index(wanted.index)
        .with_aborted_transactions(aborted)
        .with_records(Some(Bytes::new()));
    let failed = |data: PartitionData, error| {
        data.with_error_code(code(Some(error)))
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
    };
    match wanted.fetched {
        Fetched::Failed(error) => failed(data, error),
        Fetched::Fenced(epoch) => {
            let data = failed(data, ResponseError::FencedLeaderEpoch);
            let leader = LeaderIdAndEpoch::default()
                .with_leader_id(BrokerId(client.shared.config.node_id))
                .with_leader_epoch(epoch);
            match version {
                16.. => data.with_current_leader(leader),
                _ => data,
            }
        }
        Fetched::Diverging {
            topic,
            partition,
            end,
        } => with_bounds(data.with_diverging_epoch(end), version, &topic, partition),
        Fetched::Reading(PartitionFetch { reader, out, .. }) => {
            let data = data.with_records(Some(Bytes::from(out.writer.into_bytes())));
            let data = with_bounds(data, version, reader.topic(), reader.partition());
            client.readers.put_back(reader);
            data
        }
    }
}

/// Adds where the log begins, and how far it is read.
fn with_bounds(
    data: PartitionData,
    version: i16,
    topic: &ServedTopic,
    partition: u32,
) -> PartitionData {
    let end = topic.readable_end(partition).unwrap_or_default() as i64;
    let log_start = topic.topic.log_start_offset(partition).unwrap_or_default() as i64;
    let data = data.with_high_watermark(end).with_last_stable_offset(end);
    match version {
        5.. => data.with_log_start_offset(log_start),
        _ => data,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::server::config::Config;
    use crate::server::topic_settings::TopicSettings;
    use crate::server::topics::Topics;
    use ringlog::{Broker, TopicConfig};

    #[test]
    fn without_leader_epochs_no_client_diverges() {
        let topics = Topics::new(Broker::new(), None, &Config::default(), NO_EPOCH).unwrap();
        let created = topics.create("orders", TopicConfig::new(), TopicSettings::default());
        let topic = created.unwrap();
        // What the client has read was of the last server, which had epochs.
        let wanted = FetchPartition::default().with_last_fetched_epoch(3);
        assert!(matches!(diverging(&topic, 0, &wanted, 0), Ok(None)));
    }
}
