//! Records that are copies: out of the log, or of gathered records that never were in it.

use crate::record::{Header, Record};
use crate::topic_partition::TopicPartition;
use std::sync::Arc;

/// A record copied out of the log: it outlives its batch, and can be sent to another thread.
///
/// [`RecordRef::to_owned`](crate::RecordRef::to_owned) makes one, and
/// [`as_record`](Self::as_record) sends it again:
///
/// ```
/// use ringlog::{Broker, ConsumerConfig, OwnedRecord, Record, TopicConfig};
/// use std::time::Duration;
///
/// # let broker = Broker::new();
/// # let topic = broker.create_topic("orders", TopicConfig::new())?;
/// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// # consumer.subscribe(["orders"])?;
/// let mut producer = topic.producer();
/// producer.send(Record::new("login").key("user-001"))?;
/// let batch = consumer.poll(Duration::from_millis(100))?;
/// let failed: Vec<OwnedRecord> = batch.iter().map(|record| record.to_owned()).collect();
/// for record in &failed {
///     // To the same topic, once more.
///     producer.send(record.as_record(&mut Vec::new()))?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OwnedRecord {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: u32,
    /// The offset in the partition.
    pub offset: u64,
    /// In milliseconds since 1970 UTC, if the record has one.
    pub timestamp: Option<i64>,
    /// The key, if the record has one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order: each a name, and a value unless that is null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Of a record that a stream returned: the offsets that were dropped unread just before it, as
    /// [`Batch::lost`](crate::Batch::lost) counts them. Otherwise 0.
    pub lost: u64,
}

impl OwnedRecord {
    /// The record as it would be read from this partition at this offset, for tests.
    ///
    /// The record's own partition is ignored.
    ///
    /// ```
    /// use ringlog::{OwnedRecord, Record};
    ///
    /// let record = OwnedRecord::new(("orders", 2), 7, &Record::new("login"));
    /// assert_eq!((&*record.topic, record.partition, record.offset), ("orders", 2, 7));
    /// assert_eq!(record.value_bytes(), b"login");
    /// ```
    pub fn new(partition: impl Into<TopicPartition>, offset: u64, record: &Record<'_>) -> Self {
        let TopicPartition { topic, partition } = partition.into();
        OwnedRecord {
            topic,
            partition,
            offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: owned_headers(record.headers.iter().copied()),
            lost: 0,
        }
    }

    /// The record's topic and partition.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: self.partition,
        }
    }

    /// Whether the record has no value, which differs from an empty value.
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// The bytes of the value; none for a tombstone.
    pub fn value_bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }

    /// The record's key, value and headers as a [`Record`] to send: to the same topic to retry, or
    /// to another one as a dead letter. The partition and the timestamp are not among them; set
    /// [`partition`](Record::partition) or [`timestamp`](Record::timestamp) to keep them.
    ///
    /// `headers` is where the `Record`'s headers are stored; what it held before is removed. An
    /// empty `Vec` allocates only if the record has headers:
    ///
    /// ```
    /// # use ringlog::{Broker, Header, OwnedRecord, Record, TopicConfig};
    /// # let dead_letters = Broker::new().create_topic("orders.dead", TopicConfig::new())?;
    /// # let mut dead_letters = dead_letters.producer();
    /// # let failed = Record::new("login").key("user-001");
    /// # let failed = OwnedRecord::new(("orders", 0), 5, &failed);
    /// dead_letters.send(failed.as_record(&mut Vec::new()))?;
    ///
    /// // With the timestamp of the first send, and one more header.
    /// let mut headers = Vec::new();
    /// let mut record = failed.as_record(&mut headers);
    /// record.timestamp = failed.timestamp;
    /// let headers = [record.headers, &[Header::new("topic", &*failed.topic)]].concat();
    /// dead_letters.send(record.headers(&headers))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_record<'h, 'r: 'h>(&'r self, headers: &'h mut Vec<Header<'r>>) -> Record<'h> {
        Record {
            value: self.value.as_deref(),
            key: self.key.as_deref(),
            headers: borrowed_headers(&self.headers, headers),
            timestamp: None,
            partition: None,
        }
    }
}

/// A gathered record that is not in the log: from
/// [`take_unsent`](crate::GatheringProducer::take_unsent) or a
/// [`CloseError`](crate::CloseError).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnsentRecord {
    /// The partition that it was gathered for.
    pub partition: u32,
    /// The timestamp that it was given, in milliseconds since 1970 UTC.
    pub timestamp: Option<i64>,
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order: each a name, and a value unless that is null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl UnsentRecord {
    /// Whether the record has no value, which differs from an empty value.
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// The bytes of the value; none for a tombstone.
    pub fn value_bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }

    /// The record's key, value, headers and timestamp as a [`Record`], to send it again, or to
    /// another topic. The partition is not among them.
    ///
    /// `headers` is where the `Record`'s headers are stored; what it held before is removed. An
    /// empty `Vec` allocates only if the record has headers.
    pub fn as_record<'h, 'r: 'h>(&'r self, headers: &'h mut Vec<Header<'r>>) -> Record<'h> {
        Record {
            value: self.value.as_deref(),
            key: self.key.as_deref(),
            headers: borrowed_headers(&self.headers, headers),
            timestamp: self.timestamp,
            partition: None,
        }
    }
}

/// Views copied headers as those of a record, in `room`.
fn borrowed_headers<'h, 'r: 'h>(
    headers: &'r [(String, Option<Vec<u8>>)],
    room: &'h mut Vec<Header<'r>>,
) -> &'h [Header<'r>] {
    room.clear();
    room.extend(headers.iter().map(|(name, value)| Header {
        name,
        value: value.as_deref(),
    }));
    room
}

/// Copies headers.
pub(crate) fn owned_headers<'h>(
    headers: impl Iterator<Item = Header<'h>>,
) -> Vec<(String, Option<Vec<u8>>)> {
    let copy = |header: Header<'_>| (header.name.to_owned(), header.value.map(<[u8]>::to_vec));
    headers.map(copy).collect()
}
