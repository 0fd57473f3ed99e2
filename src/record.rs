//! A record to send, where it is sent, and the metadata that a send returns.

use crate::error::TimestampError;

/// The timestamp of a record that has none (Kafka's `NO_TIMESTAMP`).
pub const NO_TIMESTAMP: i64 = -1;

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
/// ```
/// use ringlog::{Header, Record};
///
/// let headers = [Header::new("trace", b"7f3a"), Header::new("trace", b"second")];
/// let record = Record::new(b"login").key("user-001").headers(&headers);
/// assert_eq!(record.value(), b"login");
/// assert!(Record::tombstone("user-001").is_tombstone());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    value: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    headers: &'a [Header<'a>],
    timestamp: Option<i64>,
    partition: Option<u32>,
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

    /// The value; empty for a tombstone.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        self.value.unwrap_or_default()
    }

    /// Whether the record has no value, which differs from an empty value.
    #[inline]
    pub fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }

    /// The key.
    #[inline]
    pub fn record_key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The headers, in order.
    #[inline]
    pub fn record_headers(&self) -> &'a [Header<'a>] {
        self.headers
    }

    /// The timestamp that [`timestamp`](Self::timestamp) set, if any.
    #[inline]
    pub fn given_timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// The partition that [`partition`](Self::partition) set, if any.
    #[inline]
    pub fn given_partition(&self) -> Option<u32> {
        self.partition
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
    /// The record's timestamp in milliseconds since 1970 UTC, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
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
    /// The timestamp of all of them in milliseconds since 1970 UTC, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
}
