//! Appending a partition's batch: once, and acknowledged when it is stored as far as it is to be.

use super::{Refusal, Terms, refusal};
use crate::batch::{DecodedBatch, Producer, RawRecord, TimestampType, decode};
use crate::server::acknowledge::{AckLevel, fault, stored};
use crate::server::sequences::{Appended, Verdict};
use crate::server::store::windows::Note;
use crate::server::topic_settings::TopicSettings;
use crate::server::topics::ServedTopic;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use ringlog::{Record, SendError};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout_at};
use tracing::trace;

/// A batch that is in the log, and is to be acknowledged when it is stored as far as it is to be.
#[derive(Debug)]
pub(super) struct Unacknowledged {
    topic: Arc<ServedTopic>,
    partition: u32,
    appended: Appended,
    /// The offset after its last record.
    end: u64,
    level: AckLevel,
    deadline: Instant,
}

impl Unacknowledged {
    /// Whether there is something to wait for.
    pub(super) fn waits(&self) -> bool {
        self.level != AckLevel::Memory && self.topic.topic.storage().is_some()
    }

    /// Returns where it was appended, with the log start, when it is stored.
    pub(super) async fn acknowledged(self) -> Result<(Appended, u64), Refusal> {
        let (topic, partition) = (&self.topic.topic, self.partition);
        let stored = stored(topic, partition, self.end, self.level);
        match timeout_at(self.deadline, stored).await {
            Ok(stored) => stored?,
            Err(_) => {
                let reason = "the batch is appended, but it was not stored in time";
                return Err(refusal(ResponseError::RequestTimedOut, reason));
            }
        }
        let log_start = topic.log_start_offset(partition).unwrap_or_default();
        Ok((self.appended, log_start))
    }
}

/// Appends a partition's batch.
pub(super) async fn append_partition(
    topic: Arc<ServedTopic>,
    partition: u32,
    data: &PartitionProduceData,
    terms: Terms,
) -> Result<Unacknowledged, Refusal> {
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
        None => append(&topic, partition, &batch, false, time).await?,
        Some(producer) => append_once(&topic, partition, &batch, producer, time).await?,
    };
    let records = u64::from(batch.header().records.unsigned_abs());
    Ok(Unacknowledged {
        // Also of a batch that was appended before: it may be sent again before it is stored.
        end: appended.base_offset + records,
        topic,
        partition,
        appended,
        level: terms.level,
        deadline: time.deadline,
    })
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
    let locked = sequences.lock_until(time.deadline, producer).await;
    let locked = locked.map_err(|error| refusal(ResponseError::KafkaStorageError, error))?;
    let Some(mut sequences) = locked else {
        return Err(without_room(topic, partition, time));
    };
    match sequences.check(producer, records) {
        Verdict::Append => {
            let append = append(topic, partition, batch, sequences.are_kept(), time);
            let appended = append.await;
            match &appended {
                Ok(appended) => {
                    let timestamp = match appended.log_append_time {
                        -1 => batch.header().max_timestamp,
                        time => time,
                    };
                    sequences
                        .change()
                        .record(producer, records, timestamp, *appended);
                }
                Err(refused) if refused.error.is_retriable() => sequences.change().refuse(producer),
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
    has_note: bool,
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
    let note = batch
        .header()
        .producer
        .filter(|_| has_note)
        .map(|producer| {
            let note = Note {
                producer,
                timestamp: log_append_time.unwrap_or(batch.header().max_timestamp),
                is_append_time: log_append_time.is_some(),
            };
            note.to_words()
        });
    let note = note.as_ref().map_or(&[][..], |words| &words[..]);
    let sending = topic.producer().send_frame_async(partition, &records, note);
    let sent = match timeout_at(time.deadline, sending).await {
        Ok(Ok(sent)) => sent,
        Ok(Err(cause)) => return Err(not_appended(topic, partition, cause)),
        // Dropped before it was ready, it has appended nothing.
        Err(_) => return Err(without_room(topic, partition, time)),
    };
    Ok(Appended {
        base_offset: sent.base_offset,
        log_append_time: log_append_time.unwrap_or(-1),
    })
}

/// The refusal of a batch for this cause. A topic that was closed by a fault of its storage is not
/// gone.
fn not_appended(topic: &ServedTopic, partition: u32, cause: SendError) -> Refusal {
    match (&cause, fault(&topic.topic, partition)) {
        (SendError::Closed { .. }, Err(fault)) if topic.topic.storage().is_some() => fault.into(),
        _ => cause.into(),
    }
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
