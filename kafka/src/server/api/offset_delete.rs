//! OffsetDelete: forgets a group's offsets of topics that none of its members is subscribed to.

use super::code;
use crate::server::connection::Client;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

pub(super) fn handle(client: &Client, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let shared = &client.shared;
    let failed =
        |error: ResponseError| OffsetDeleteResponse::default().with_error_code(error.code());
    if request.group_id.is_empty() {
        return failed(ResponseError::InvalidGroupId);
    }
    let Some(group) = shared.groups.find(&request.group_id) else {
        return failed(ResponseError::GroupIdNotFound);
    };
    let mut group = group.lock();
    if let Err(error) = group.check_offset_delete() {
        return failed(error);
    }
    let subscribed = group.subscribed_topics();
    let topics = request.topics.into_iter().map(|topic| {
        let found = shared.topics.find(&topic.name);
        let names = subscribed.as_ref();
        let is_subscribed = names.is_none_or(|names| names.contains(topic.name.as_str()));
        let partitions = topic.partitions.into_iter().map(|partition| {
            let index = partition.partition_index;
            let exists = found.as_ref().and_then(|found| found.partition(index));
            let error = match exists {
                None => Some(ResponseError::UnknownTopicOrPartition),
                Some(_) if is_subscribed => Some(ResponseError::GroupSubscribedToTopic),
                Some(_) => {
                    let key = (topic.name.as_str().to_owned(), index);
                    group.retain_offsets(|kept, _| *kept != key);
                    None
                }
            };
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(error))
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default()
            .with_partitions(partitions)
            .with_name(topic.name)
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
