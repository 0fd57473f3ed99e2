//! Produce: batches are taken apart, and appended as one frame each.
//!
//! The partitions of a request are appended side by side: one without room does not hold up the
//! others. Each waits up to the request's timeout. A batch that finds no room is not appended, and
//! the client may send it again.

use super::{code, text};
use crate::batch::{
    DecodedBatch, InvalidBatch, Limits, Producer, RawRecord, TimestampType, decode,
};
use crate::server::connection::Client;
use crate::server::sequences::{Appended, Verdict};
use crate::server::topic_settings::TopicSettings;
use crate::server::topics::ServedTopic;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use ringlog::{Record, SendError};
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, trace};
use uuid::Uuid;

/// What comes of a request.
pub(super) enum Produced {
    Answer(ProduceResponse),
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

/// The settings of a request that each of its batches needs.
#[derive(Clone, Copy)]
struct Terms {
    version: i16,
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
    let terms = Terms {
        version,
        limits: Limits::new(limits.decompressed_bytes),
        max_bytes: limits.batch_bytes,
        timeout: Duration::from_millis(request.timeout_ms.max(0) as u64).min(MAX_WAIT),
    };
    let mut named = HashSet::new();
    let mut answers = Vec::new();
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
                Err(refused) => {
                    let response = partition_response(version, partition.index, Err(refused));
                    answers.push((place, number, response));
                }
                Ok((topic, checked)) => appends.push(async move {
                    let appended = append_partition(&topic, checked, &partition, terms).await;
                    let response = partition_response(version, partition.index, appended);
                    (place, number, response)
                }),
            }
            place += 1;
        }
    }
    answers.extend(join_all(appends).await);
    // In the order of the request.
    answers.sort_unstable_by_key(|(place, _, _)| *place);
    for (_, number, response) in answers {
        topics[number].partition_responses.push(response);
    }
    let failed = |response: &PartitionProduceResponse| response.error_code != 0;
    let mut all = topics.iter().flat_map(|topic| &topic.partition_responses);
    match acks {
        0 if all.any(failed) => Produced::UnansweredError,
        0 => Produced::Unanswered,
        _ => Produced::Answer(ProduceResponse::default().with_responses(topics)),
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

/// Appends a partition's batch. Returns where, with the log start.
async fn append_partition(
    topic: &ServedTopic,
    partition: u32,
    data: &PartitionProduceData,
    terms: Terms,
) -> Result<(Appended, u64), Refusal> {
    let bytes = data.records.as_ref().map_or(&[][..], Bytes::as_ref);
    let max = topic.settings().max_message_bytes;
    let max = max.unwrap_or(terms.max_bytes);
    if bytes.len() > max {
        let bytes = bytes.len();
        let reason = format!("the batch has {bytes} bytes, but up to {max} are allowed");
        return Err(refusal(ResponseError::MessageTooLarge, reason));
    }
    let batch = decode(bytes, terms.limits)?;
    if batch.header().codec == crate::batch::Codec::Zstd && terms.version < 7 {
        let reason = "zstd needs version 7 of Produce or a later one";
        return Err(refusal(ResponseError::UnsupportedCompressionType, reason));
    }
    if batch.header().is_transactional {
        let reason = "the batch is of a transaction, and there is none";
        return Err(refusal(
            ResponseError::TransactionalIdAuthorizationFailed,
            reason,
        ));
    }
    trace!(
        topic = topic.name(),
        partition,
        records = batch.header().records,
        codec = %batch.header().codec,
        "batch",
    );
    let time = Time {
        deadline: Instant::now() + terms.timeout,
        timeout: terms.timeout,
    };
    let appended = match batch.header().producer {
        None => append(topic, partition, &batch, time).await?,
        Some(producer) => append_once(topic, partition, &batch, producer, time).await?,
    };
    let log_start = topic.topic.log_start_offset(partition).unwrap_or_default();
    Ok((appended, log_start))
}

/// How long a batch waits.
#[derive(Clone, Copy)]
struct Time {
    deadline: Instant,
    timeout: Duration,
}

/// The refusal of a batch whose time is up.
fn without_room(topic: &ServedTopic, partition: u32, time: Time) -> Refusal {
    Refusal::from(SendError::Full {
        topic: topic.name().into(),
        partition,
        waited: time.timeout,
    })
}

/// Appends a batch of an idempotent producer, unless it was appended before.
async fn append_once(
    topic: &ServedTopic,
    partition: u32,
    batch: &DecodedBatch<'_>,
    producer: Producer,
    time: Time,
) -> Result<Appended, Refusal> {
    let records = batch.header().records;
    if producer.epoch < 0 || producer.base_sequence < 0 {
        let reason = "an idempotent batch needs an epoch and a sequence number";
        return Err(refusal(ResponseError::InvalidRecord, reason));
    }
    let sequences = topic.sequences(partition);
    let Some(mut sequences) = sequences.lock_until(time.deadline, producer).await else {
        return Err(without_room(topic, partition, time));
    };
    match sequences.check(producer, records) {
        Verdict::Append => {
            let appended = append(topic, partition, batch, time).await;
            match &appended {
                Ok(appended) => {
                    let timestamp = match appended.log_append_time {
                        -1 => batch.header().max_timestamp,
                        time => time,
                    };
                    sequences.record(producer, records, timestamp, *appended);
                }
                Err(refused) if refused.error.is_retriable() => sequences.refuse(producer),
                Err(_) => {}
            }
            appended
        }
        Verdict::Duplicate(appended) => Ok(appended),
        Verdict::OutOfOrder { expected } => {
            let Producer {
                id, base_sequence, ..
            } = producer;
            let reason = format!("producer {id} is at {expected}, not at {base_sequence}");
            Err(refusal(ResponseError::OutOfOrderSequenceNumber, reason))
        }
        Verdict::OldEpoch { current } => {
            let Producer { id, epoch, .. } = producer;
            let reason = format!("producer {id} is at epoch {current}, not at {epoch}");
            Err(refusal(ResponseError::InvalidProducerEpoch, reason))
        }
    }
}

async fn append(
    topic: &ServedTopic,
    partition: u32,
    batch: &DecodedBatch<'_>,
    time: Time,
) -> Result<Appended, Refusal> {
    // Before a list of them is made, which takes far more memory than tiny records do.
    let (records, most) = (batch.header().records, topic.topic.segment_records());
    if i64::from(records) > i64::from(most) {
        let reason = format!("the batch has {records} records, but a segment holds {most}");
        return Err(refusal(ResponseError::MessageTooLarge, reason));
    }
    let mut headers = Vec::new();
    let raw = batch.records(&mut headers)?;
    let settings = topic.settings();
    if settings.timestamp_type == TimestampType::CreateTime {
        check_times(&settings, &raw)?;
    }
    if settings.needs_keys && raw.iter().any(|record| record.key.is_none()) {
        let reason = "a topic that is to be compacted takes no record without a key";
        let keyless = (0..raw.len()).filter(|i| raw[*i].key.is_none());
        return Err(refusal(ResponseError::InvalidRecord, reason).because_of(keyless));
    }
    let log_append_time = match settings.timestamp_type {
        TimestampType::CreateTime => None,
        TimestampType::LogAppendTime => Some(now()),
    };
    let records: Vec<Record<'_>> = raw
        .iter()
        .map(|record| {
            let mut record = record.to_record(&headers, partition);
            record.timestamp = log_append_time.or(record.timestamp);
            record
        })
        .collect();
    let sending = topic.producer().send_batch_async(&records);
    let sent = match timeout_at(time.deadline, sending).await {
        Ok(sent) => sent.map_err(|error| error.cause)?,
        // Dropped before it was ready, it has appended nothing.
        Err(_) => return Err(without_room(topic, partition, time)),
    };
    // A batch is one frame, so the other records follow the first.
    let first = sent.first().map(|first| first.offset);
    Ok(Appended {
        base_offset: first.unwrap_or_default(),
        log_append_time: log_append_time.unwrap_or(-1),
    })
}

/// Checks the producer's times against the limits of the topic. A record without one is let through.
fn check_times(settings: &TopicSettings, records: &[RawRecord<'_>]) -> Result<(), Refusal> {
    let allowed = settings.timestamps_at(now());
    let is_wrong = |time: i64| time != -1 && (time < 0 || !allowed.contains(&time));
    match records.iter().find(|record| is_wrong(record.timestamp)) {
        None => Ok(()),
        Some(RawRecord { timestamp, .. }) => {
            let (first, last) = (allowed.start(), allowed.end());
            let reason = format!("the time {timestamp} is not from {first} to {last}");
            let wrong = (0..records.len()).filter(|i| is_wrong(records[*i].timestamp));
            Err(refusal(ResponseError::InvalidTimestamp, reason).because_of(wrong))
        }
    }
}

/// The time in milliseconds since 1970 UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
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
