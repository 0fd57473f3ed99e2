//! A record to send, where it is sent, and the metadata that a send returns.

use crate::error::TimestampError;
use core::fmt;

/// How frames and claims write that a record has no timestamp. Callers see `None`.
pub(crate) const NO_TIMESTAMP: i64 = -1;

/// The timestamp that this stands for; `None` for [`NO_TIMESTAMP`].
#[inline(always)]
pub(crate) fn known_timestamp(milliseconds: i64) -> Option<i64> {
    (milliseconds != NO_TIMESTAMP).then_some(milliseconds)
}

/// A timestamp or none, in one word. An `Option<i64>` has two, and the metadata that a send returns
/// would take three more instructions.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct OptionalTimestamp(i64);

impl OptionalTimestamp {
    #[inline(always)]
    fn new(timestamp: Option<i64>) -> OptionalTimestamp {
        OptionalTimestamp(timestamp.unwrap_or(NO_TIMESTAMP))
    }

    #[inline(always)]
    fn get(self) -> Option<i64> {
        known_timestamp(self.0)
    }
}

impl fmt::Debug for OptionalTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A timestamp that is not below zero, or the caller's error.
#[inline]
pub(crate) fn check_timestamp<E: TimestampError>(milliseconds: i64) -> Result<i64, E> {
    if milliseconds < 0 {
        return Err(E::invalid_timestamp(milliseconds));
    }
    Ok(milliseconds)
}

/// A record header: a name with a value, or without one (Kafka's null header value).
///
/// Headers keep their order, and a name may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// The header's name.
    pub name: &'a str,
    /// The header's value; `None` differs from an empty value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// A header with a value.
    pub fn new<V: AsRef<[u8]> + ?Sized>(name: &'a str, value: &'a V) -> Self {
        Header {
            name,
            value: Some(value.as_ref()),
        }
    }
}

/// A record to send. It borrows all its parts; a send copies them into the log.
///
/// Each part is a public field, and a method of the same name sets it.
///
/// ```
/// use ringlog::{Header, Record};
///
/// let headers = [Header::new("trace", b"7f3a"), Header::new("trace", b"second")];
/// let record = Record::new("login").key("user-001").headers(&headers);
/// assert_eq!(record.value, Some(&b"login"[..]));
/// assert_eq!((record.partition, record.timestamp), (None, None));
///
/// assert!(Record::tombstone("user-001").is_tombstone());
/// let neither_key_nor_value = Record::default();
/// assert_eq!((neither_key_nor_value.key, neither_key_nor_value.value), (None, None));
/// ```
///
/// # Keys and values
/// Keys and values are bytes: a reference to anything that is `AsRef<[u8]>`.
///
/// ```
/// # use ringlog::Record;
/// let (text, bytes) = (String::from("login"), vec![1u8, 2, 3]);
/// let records = [
///     Record::new("login"),               // &str
///     Record::new(&text),                 // &String
///     Record::new(&bytes),                // &Vec<u8>
///     Record::new(&bytes[1..]),           // &[u8]
///     Record::new(b"login").key(&[0; 16]), // &[u8; N]
/// ];
/// # assert_eq!(records.map(|record| record.value.map_or(0, <[u8]>::len)), [5, 5, 3, 2, 5]);
/// ```
///
/// A number becomes bytes by its own method. Big-endian bytes sort as the numbers do. Within one
/// expression a temporary array is enough; a record that is bound to a name needs an array that is:
///
/// ```
/// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
/// # use std::time::Duration;
/// # let broker = Broker::new();
/// # let topic = broker.create_topic("orders", TopicConfig::new())?;
/// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// # consumer.subscribe(["orders"])?;
/// # let mut producer = topic.producer();
/// let (user, cents) = (7u32, 1999u64);
/// producer.send(Record::new(&cents.to_be_bytes()).key(&user.to_be_bytes()))?;
///
/// let key = user.to_be_bytes();
/// let deleted = Record::tombstone(&key);
/// producer.send(deleted)?;
///
/// let batch = consumer.poll(Duration::from_millis(100))?;
/// let first = batch.iter().next().ok_or("no record")?;
/// assert_eq!(u64::from_be_bytes(first.value_bytes().try_into()?), cents);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Many values of one fixed size are sent faster by
/// [`send_values`](crate::Producer::send_values).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record<'a> {
    /// The value. `None` for a tombstone, which differs from an empty value.
    pub value: Option<&'a [u8]>,
    /// The key. `None` differs from an empty key.
    pub key: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [Header<'a>],
    /// The timestamp, in milliseconds since 1970 UTC. `None` leaves it to the topic's
    /// [`Timestamps`](crate::Timestamps) setting.
    pub timestamp: Option<i64>,
    /// The partition. `None` leaves it to the topic's [`Partitioner`](crate::Partitioner).
    pub partition: Option<u32>,
}

impl<'a> Record<'a> {
    /// A record with this value, which may be empty.
    #[inline]
    pub fn new<V: AsRef<[u8]> + ?Sized>(value: &'a V) -> Self {
        Record {
            value: Some(value.as_ref()),
            key: None,
            headers: &[],
            timestamp: None,
            partition: None,
        }
    }

    /// A record without a value: it marks its key as deleted (Kafka's tombstone).
    #[inline]
    pub fn tombstone<K: AsRef<[u8]> + ?Sized>(key: &'a K) -> Self {
        Record {
            value: None,
            key: Some(key.as_ref()),
            headers: &[],
            timestamp: None,
            partition: None,
        }
    }

    /// Sets the key. Records with equal keys are sent to the same partition; an empty key is a key.
    #[inline]
    #[must_use]
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Sets the headers.
    #[inline]
    #[must_use]
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the timestamp, in milliseconds since 1970 UTC; a send refuses one below zero.
    ///
    /// Without one, the topic's [`Timestamps`](crate::Timestamps) setting decides.
    #[inline]
    #[must_use]
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    /// Sets the partition. It takes precedence over the key.
    #[inline]
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Whether the record has no value, which differs from an empty value.
    #[inline]
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// The value; empty for a tombstone.
    #[inline]
    pub(crate) fn value_bytes(&self) -> &'a [u8] {
        self.value.unwrap_or_default()
    }

    /// Whether the record has a value and neither headers nor a timestamp.
    #[inline(always)]
    pub(crate) fn is_simple(&self) -> bool {
        self.value.is_some() && self.headers.is_empty() && self.timestamp.is_none()
    }

    /// Where it is to go: the partition it names, or the one of its key.
    #[inline(always)]
    pub(crate) fn destination(&self) -> Destination<'a> {
        match (self.partition, self.key) {
            (Some(partition), _) => Destination::Partition(partition),
            (None, Some(key)) => Destination::Key(key),
            (None, None) => Destination::Any,
        }
    }
}

/// Where to append, for the calls that take no [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination<'a> {
    /// The partition that the topic's partitioner chooses for this key.
    Key(&'a [u8]),
    /// This partition.
    Partition(u32),
    /// Any partition, as for a record without a key.
    Any,
}

/// Where a record was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordMetadata {
    /// The partition.
    pub partition: u32,
    /// The record's offset in the partition.
    pub offset: u64,
    timestamp: OptionalTimestamp,
}

impl RecordMetadata {
    /// The metadata of a record, as a send returns it: for tests that stand in for a producer.
    #[inline(always)]
    pub fn new(partition: u32, offset: u64, timestamp: Option<i64>) -> RecordMetadata {
        RecordMetadata {
            partition,
            offset,
            timestamp: OptionalTimestamp::new(timestamp),
        }
    }

    /// The record's timestamp in milliseconds since 1970 UTC, if it has one.
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        self.timestamp.get()
    }
}

/// Where a frame of several records was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameMetadata {
    /// The partition.
    pub partition: u32,
    /// The first record's offset in the partition; the others follow without gaps.
    pub base_offset: u64,
    /// The number of records in the frame.
    pub records: u64,
    timestamp: OptionalTimestamp,
}

impl FrameMetadata {
    /// The metadata of a frame, as a send returns it: for tests that stand in for a producer.
    #[inline]
    pub fn new(
        partition: u32,
        base_offset: u64,
        records: u64,
        timestamp: Option<i64>,
    ) -> FrameMetadata {
        FrameMetadata {
            partition,
            base_offset,
            records,
            timestamp: OptionalTimestamp::new(timestamp),
        }
    }

    /// The timestamp of all of them in milliseconds since 1970 UTC, if they have one.
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        self.timestamp.get()
    }
}
