//! OffsetForLeaderEpoch: where an epoch ended. Clients ask after each change of the leader, and go back
//! to there if they have read more (KIP-320).

use crate::server::connection::Client;
use crate::server::topics::ServedTopic;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(super) fn handle(
    client: &Client,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let found = client.shared.topics.find(&topic.topic);
        let partitions = topic.partitions.iter().map(|wanted| {
            let response = EpochEndOffset::default().with_partition(wanted.partition);
            match answer(found.as_deref(), wanted) {
                Ok(Some((epoch, end))) => response
                    .with_leader_epoch(epoch)
                    .with_end_offset(end as i64),
                // As in Kafka, an epoch that never was is no error.
                Ok(None) => response,
                Err(error) => response.with_error_code(error.code()),
            }
        });
        OffsetForLeaderTopicResult::default()
            .with_partitions(partitions.collect())
            .with_topic(topic.topic)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

fn answer(
    topic: Option<&ServedTopic>,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<(i32, u64)>, ResponseError> {
    let unknown = ResponseError::UnknownTopicOrPartition;
    let topic = topic.ok_or(unknown)?;
    let partition = topic.partition(wanted.partition).ok_or(unknown)?;
    let epochs = topic.leader_epochs(partition);
    epochs.check_current(wanted.current_leader_epoch)?;
    end_of(topic, partition, wanted.leader_epoch)
}

/// The greatest epoch up to this one, and where it ended. That is the log's end for the current one, as
/// in Kafka, also if readers do not get there yet.
pub(super) fn end_of(
    topic: &ServedTopic,
    partition: u32,
    epoch: i32,
) -> Result<Option<(i32, u64)>, ResponseError> {
    let log = &topic.topic;
    let bounds = || {
        Ok((
            log.log_start_offset(partition)?,
            log.log_end_offset(partition)?,
        ))
    };
    let bounds: Result<_, ringlog::TopicError> = bounds();
    let (start, end) = bounds.map_err(|_| ResponseError::UnknownTopicOrPartition)?;
    Ok(topic.leader_epochs(partition).end_of(epoch, start, end))
}
