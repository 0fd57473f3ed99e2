//! ListOffsets: where a partition begins and ends, and where a time is.

use super::code;
use crate::server::connection::Client;
use crate::server::leader_epochs::NO_EPOCH;
use crate::server::topics::ServedTopic;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use ringlog::{OffsetAndTimestamp, Topic, TopicError};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on local disks: there are no others here.
const EARLIEST_LOCAL: i64 = -4;
/// The last offset in remote storage: there is none.
const LATEST_TIERED: i64 = -5;

pub(super) fn handle(
    client: &Client,
    version: i16,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let found = client.shared.topics.find(&topic.name);
        let partitions = topic.partitions.iter();
        let partitions = partitions.map(|partition| answer(found.as_deref(), version, partition));
        ListOffsetsTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

fn answer(
    topic: Option<&ServedTopic>,
    version: i16,
    wanted: &ListOffsetsPartition,
) -> ListOffsetsPartitionResponse {
    let found = look_up(topic, version, wanted);
    let (error, found) = match found {
        Ok(found) => (None, found),
        Err(error) => (Some(error), None),
    };
    let found = found.unwrap_or(Found::NONE);
    let response = ListOffsetsPartitionResponse::default()
        .with_partition_index(wanted.partition_index)
        .with_error_code(code(error))
        .with_timestamp(found.timestamp)
        .with_offset(found.offset);
    match version {
        4.. => response.with_leader_epoch(found.leader_epoch),
        _ => response,
    }
}

/// An offset, and what is said of it.
struct Found {
    /// -1 where no time was asked for.
    timestamp: i64,
    offset: i64,
    leader_epoch: i32,
}

impl Found {
    const NONE: Found = Found {
        timestamp: -1,
        offset: -1,
        leader_epoch: NO_EPOCH,
    };
}

fn look_up(
    topic: Option<&ServedTopic>,
    version: i16,
    wanted: &ListOffsetsPartition,
) -> Result<Option<Found>, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic.partition(wanted.partition_index);
    let partition = partition.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let epochs = topic.leader_epochs(partition);
    epochs.check_current(wanted.current_leader_epoch)?;
    let readable_end = || topic.readable_end(partition);
    let topic = &topic.topic;
    let gone = |_: TopicError| ResponseError::UnknownTopicOrPartition;
    let found = |timestamp: i64, offset: u64, leader_epoch: i32| Found {
        timestamp,
        offset: offset as i64,
        leader_epoch,
    };
    let at = |record: OffsetAndTimestamp| {
        let (epoch, _) = epochs.at(record.offset);
        found(record.timestamp, record.offset, epoch)
    };
    match wanted.timestamp {
        LATEST => {
            let end = readable_end().map_err(gone)?;
            Ok(Some(found(-1, end, epochs.current())))
        }
        MAX_TIMESTAMP if version < 7 => Err(ResponseError::UnsupportedVersion),
        EARLIEST_LOCAL if version < 8 => Err(ResponseError::UnsupportedVersion),
        LATEST_TIERED if version < 9 => Err(ResponseError::UnsupportedVersion),
        EARLIEST | EARLIEST_LOCAL => {
            let start = topic.log_start_offset(partition).map_err(gone)?;
            Ok(Some(found(-1, start, epochs.at(start).0)))
        }
        MAX_TIMESTAMP => Ok(latest_record(topic, partition).map_err(gone)?.map(at)),
        LATEST_TIERED => Ok(None),
        time if time < 0 => Err(ResponseError::UnsupportedVersion),
        time => {
            let found = topic.offset_for_time(partition, time).map_err(gone)?;
            let end = readable_end().map_err(gone)?;
            Ok(found.filter(|found| found.offset < end).map(at))
        }
    }
}

/// The first record of those with the greatest timestamp, found by halving the times in which it can
/// be. Each lookup skips the segments whose greatest timestamp is known.
fn latest_record(topic: &Topic, partition: u32) -> Result<Option<OffsetAndTimestamp>, TopicError> {
    let Some(mut found) = topic.offset_for_time(partition, 0)? else {
        return Ok(None);
    };
    // The greatest time is in `found.timestamp..end`.
    let mut end = i64::MAX;
    while end - found.timestamp > 1 {
        let middle = found.timestamp + (end - found.timestamp) / 2;
        match topic.offset_for_time(partition, middle)? {
            Some(later) => found = later,
            None => end = middle,
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog::{Broker, Record, TopicConfig};

    #[test]
    fn the_latest_record_is_the_first_with_the_greatest_time() {
        let topic = Broker::new()
            .create_topic("orders", TopicConfig::new())
            .unwrap();
        assert_eq!(latest_record(&topic, 0).unwrap(), None);
        let mut producer = topic.producer();
        for time in [5, 9, 3, 9, 1_700_000_000_000, 8, 1_700_000_000_000, 0] {
            producer.send(Record::new("r").timestamp(time)).unwrap();
            let latest = latest_record(&topic, 0).unwrap().unwrap();
            let expected = match time {
                5 => (0, 5),
                9 | 3 => (1, 9),
                _ => (4, 1_700_000_000_000),
            };
            assert_eq!((latest.offset, latest.timestamp), expected);
        }
    }

    #[test]
    fn the_latest_record_may_have_the_greatest_time_there_is() {
        let topic = Broker::new()
            .create_topic("orders", TopicConfig::new())
            .unwrap();
        let last = Record::new("r").timestamp(i64::MAX);
        topic.producer().send(last).unwrap();
        let latest = latest_record(&topic, 0).unwrap().unwrap();
        assert_eq!((latest.offset, latest.timestamp), (0, i64::MAX));
    }
}
