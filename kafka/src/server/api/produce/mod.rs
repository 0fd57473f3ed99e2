//! Produce: batches are taken apart, and appended as one frame each.
//!
//! The partitions of a request are appended side by side: one without room does not hold up the
//! others. Each waits up to the request's timeout. A batch that finds no room is not appended, and
//! the client may send it again. One that was not stored in time is appended all the same: an
//! idempotent producer that sends it again gets its offset.

mod append;

use super::{code, text};
use crate::batch::{InvalidBatch, Limits};
use crate::server::acknowledge::AckLevel;
use crate::server::connection::Client;
use crate::server::sequences::Appended;
use crate::server::topics::ServedTopic;
use append::{Unacknowledged, append_partition};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use ringlog::{SendError, StorageError};
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tracing::debug;
use uuid::Uuid;

/// What comes of a request.
pub(super) enum Produced {
    Answer(ProduceResponse),
    /// All batches are appended. The answer comes when they are stored; the next request need not
    /// wait for that.
    Later(Pin<Box<dyn Future<Output = ProduceResponse> + Send>>),
    /// The client waits for no answer.
    Unanswered,
    /// The client waits for no answer, and a batch was refused.
    UnansweredError,
}

/// The most records of a refused batch that an answer lists, so that it is not far longer than the
/// batch.
const LISTED_RECORDS: usize = 16;

/// The longest that a batch waits for room, whatever the request says.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Why a batch was not appended.
#[derive(Debug)]
struct Refusal {
    error: ResponseError,
    reason: String,
    /// The records that it is because of, by their place in the batch.
    records: Vec<i32>,
}

impl Refusal {
    fn because_of(mut self, records: impl Iterator<Item = usize>) -> Refusal {
        self.records = records.map(|record| record as i32).collect();
        self
    }
}

fn refusal(error: ResponseError, reason: impl ToString) -> Refusal {
    Refusal {
        error,
        reason: reason.to_string(),
        records: Vec::new(),
    }
}

impl From<InvalidBatch> for Refusal {
    fn from(fault: InvalidBatch) -> Refusal {
        let error = match fault {
            InvalidBatch::Checksum { .. } => ResponseError::CorruptMessage,
            // The two older formats are known; what is no format at all is damage.
            InvalidBatch::Magic { magic } if !matches!(magic, 0 | 1) => {
                ResponseError::CorruptMessage
            }
            InvalidBatch::DecompressedTooLarge { .. } => ResponseError::MessageTooLarge,
            InvalidBatch::UnknownCodec { .. } => ResponseError::UnsupportedCompressionType,
            _ => ResponseError::InvalidRecord,
        };
        refusal(error, fault)
    }
}

impl From<SendError> for Refusal {
    fn from(cause: SendError) -> Refusal {
        let error = match cause {
            SendError::RecordTooLarge { .. } | SendError::BatchTooLarge { .. } => {
                ResponseError::MessageTooLarge
            }
            SendError::Full { .. } => ResponseError::RequestTimedOut,
            SendError::PartitionOutOfRange { .. } => ResponseError::UnknownTopicOrPartition,
            SendError::InvalidTimestamp { .. } => ResponseError::InvalidTimestamp,
            SendError::Closed { .. } => ResponseError::UnknownTopicOrPartition,
            SendError::ExclusiveProducer { .. } => ResponseError::PolicyViolation,
            _ => ResponseError::KafkaStorageError,
        };
        refusal(error, cause)
    }
}

impl From<StorageError> for Refusal {
    fn from(cause: StorageError) -> Refusal {
        let error = match cause {
            StorageError::Deleted { .. } => ResponseError::UnknownTopicOrPartition,
            _ => ResponseError::KafkaStorageError,
        };
        refusal(error, cause)
    }
}

/// The settings of a request that each of its batches needs.
#[derive(Clone, Copy)]
struct Terms {
    version: i16,
    /// When its batches are acknowledged.
    level: AckLevel,
    limits: Limits,
    max_bytes: usize,
    timeout: Duration,
}

pub(super) async fn handle(client: &Client, version: i16, request: ProduceRequest) -> Produced {
    let acks = request.acks;
    let refused = if !matches!(acks, -1..=1) {
        let reason = format!("acks is {acks}, but must be -1, 0 or 1");
        Some((ResponseError::InvalidRequiredAcks, reason))
    } else if request.transactional_id.is_some() {
        let reason = "transactions are not served".to_owned();
        Some((ResponseError::TransactionalIdAuthorizationFailed, reason))
    } else {
        None
    };
    let limits = client.shared.config.limits;
    let levels = client.shared.config.acks;
    let terms = Terms {
        version,
        level: match acks {
            -1 => levels.all,
            1 => levels.one,
            // No answer waits for it.
            _ => AckLevel::Memory,
        },
        limits: Limits::new(limits.decompressed_bytes),
        max_bytes: limits.batch_bytes,
        timeout: Duration::from_millis(request.timeout_ms.max(0) as u64).min(MAX_WAIT),
    };
    let mut named = HashSet::new();
    let mut done = Vec::new();
    let mut place = 0;
    let mut topics = Vec::with_capacity(request.topic_data.len());
    let mut appends = Vec::new();
    for (number, data) in request.topic_data.into_iter().enumerate() {
        let topic = find_topic(client, version, &data);
        let response = TopicProduceResponse::default();
        topics.push(match version {
            13.. => response.with_topic_id(data.topic_id),
            _ => response.with_name(data.name),
        });
        for partition in data.partition_data {
            // What is refused at once takes no more than its answer.
            let checked = match (&refused, &topic) {
                (Some((error, reason)), _) => Err(refusal(*error, reason)),
                (None, Err(unknown)) => Err((*unknown).into()),
                (None, Ok(topic)) => {
                    let checked = check_partition(topic, partition.index, &mut named);
                    checked.map(|checked| (topic.clone(), checked))
                }
            };
            match checked {
                Err(refused) => done.push((place, number, partition.index, Err(refused))),
                Ok((topic, checked)) => appends.push(async move {
                    let appended = append_partition(topic, checked, &partition, terms).await;
                    (place, number, partition.index, appended)
                }),
            }
            place += 1;
        }
    }
    done.extend(join_all(appends).await);
    // In the order of the request.
    done.sort_unstable_by_key(|(place, ..)| *place);
    let mut batches = done
        .iter()
        .filter_map(|(.., appended)| appended.as_ref().ok());
    let waits = batches.any(Unacknowledged::waits);
    let answered = async move {
        let answers = done
            .into_iter()
            .map(|(_, number, index, appended)| async move {
                let acknowledged = match appended {
                    Ok(appended) => appended.acknowledged().await,
                    Err(refused) => Err(refused),
                };
                (number, partition_response(version, index, acknowledged))
            });
        for (number, response) in join_all(answers.collect()).await {
            topics[number].partition_responses.push(response);
        }
        ProduceResponse::default().with_responses(topics)
    };
    if acks != 0 && waits {
        return Produced::Later(Box::pin(answered));
    }
    let answer = answered.await;
    let failed = |response: &PartitionProduceResponse| response.error_code != 0;
    let topics = answer.responses.iter();
    let mut all = topics.flat_map(|topic| &topic.partition_responses);
    match acks {
        0 if all.any(failed) => Produced::UnansweredError,
        0 => Produced::Unanswered,
        _ => Produced::Answer(answer),
    }
}

/// Checks that the partition exists, and that the request has not named it before.
fn check_partition(
    topic: &ServedTopic,
    index: i32,
    named: &mut HashSet<(Uuid, u32)>,
) -> Result<u32, Refusal> {
    let Some(partition) = topic.partition(index) else {
        let reason = format!("the topic has no partition {index}");
        return Err(refusal(ResponseError::UnknownTopicOrPartition, reason));
    };
    match named.insert((topic.id, partition)) {
        true => Ok(partition),
        false => {
            let reason = format!("the request names partition {index} twice");
            Err(refusal(ResponseError::InvalidRequest, reason))
        }
    }
}

/// The topic, or the error that stands for its absence.
fn find_topic(
    client: &Client,
    version: i16,
    data: &TopicProduceData,
) -> Result<Arc<ServedTopic>, UnknownTopic> {
    let topics = &client.shared.topics;
    match version {
        13.. => topics.find_id(data.topic_id).ok_or(UnknownTopic::Id),
        _ => topics.find(&data.name).ok_or(UnknownTopic::Name),
    }
}

#[derive(Clone, Copy)]
enum UnknownTopic {
    Id,
    Name,
}

impl From<UnknownTopic> for Refusal {
    fn from(unknown: UnknownTopic) -> Refusal {
        match unknown {
            UnknownTopic::Id => refusal(ResponseError::UnknownTopicId, "no topic has this id"),
            UnknownTopic::Name => refusal(
                ResponseError::UnknownTopicOrPartition,
                "there is no topic of this name",
            ),
        }
    }
}

fn partition_response(
    version: i16,
    index: i32,
    appended: Result<(Appended, u64), Refusal>,
) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default().with_index(index);
    match appended {
        Ok((appended, log_start)) => {
            let response = response
                .with_base_offset(appended.base_offset as i64)
                .with_log_append_time_ms(appended.log_append_time);
            match version {
                5.. => response.with_log_start_offset(log_start as i64),
                _ => response,
            }
        }
        Err(Refusal {
            error,
            reason,
            records,
        }) => {
            debug!(partition = index, %error, reason, "batch refused");
            let response = response
                .with_error_code(code(Some(error)))
                .with_base_offset(-1)
                .with_log_append_time_ms(-1);
            match version {
                8.. => {
                    let message = Some(text(reason));
                    let listed = records.into_iter().take(LISTED_RECORDS);
                    let records = listed.map(|index| {
                        BatchIndexAndErrorMessage::default()
                            .with_batch_index(index)
                            .with_batch_index_error_message(message.clone())
                    });
                    response
                        .with_record_errors(records.collect())
                        .with_error_message(message)
                }
                _ => response,
            }
        }
    }
}

/// Runs futures side by side in this task. Returns what they yield, in their order.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    enum Slot<F: Future> {
        Running(Pin<Box<F>>),
        Done(F::Output),
    }
    let mut slots: Vec<_> = futures
        .into_iter()
        .map(|future| Slot::Running(Box::pin(future)))
        .collect();
    poll_fn(|context| {
        let mut running = 0;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Slot::Done(output),
                    Poll::Pending => running += 1,
                }
            }
        }
        if running > 0 {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    let outputs = slots.into_iter().filter_map(|slot| match slot {
        Slot::Done(output) => Some(output),
        Slot::Running(_) => None,
    });
    outputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn futures_run_side_by_side() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        type Boxed = Pin<Box<dyn Future<Output = u32>>>;
        let waits: Boxed = Box::pin(async { receiver.await.unwrap() });
        let sends: Boxed = Box::pin(async {
            sender.send(1).unwrap();
            2
        });
        assert_eq!(join_all(vec![waits, sends]).await, [1, 2]);
    }
}
