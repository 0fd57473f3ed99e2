//! What is sent, and what comes back from sending it.

/// The timestamp of a record that has none (Kafka's `NO_TIMESTAMP`).
pub const NO_TIMESTAMP: i64 = -1;

/// A header: a name and bytes, or no bytes (Kafka's null header value).
///
/// Headers keep their order and may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// The header's name.
    pub name: &'a str,
    /// Its value; `None` is not the same as empty.
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

/// A record to be sent: it borrows all its parts, and is copied into the log.
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
    /// A record with this value: any bytes, none included.
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

    /// A record without a value, which says that its key is gone (Kafka's tombstone).
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

    /// Gives the record a key. Equal keys go to the same partition; an empty key is a key.
    #[inline]
    #[must_use]
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// Gives the record headers.
    #[inline]
    #[must_use]
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = headers;
        self
    }

    /// Gives the record a time, in milliseconds since 1970 UTC, not below zero. Without
    /// one, the topic's [`Timestamps`](crate::Timestamps) decide.
    #[inline]
    #[must_use]
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    /// Sends the record to this partition, whatever its key.
    #[inline]
    #[must_use]
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Whether it is a value, with or without a key or a partition, and nothing else.
    #[inline(always)]
    pub(crate) fn is_simple(&self) -> bool {
        self.value.is_some() && self.headers.is_empty() && self.timestamp.is_none()
    }

    /// The value; empty for a tombstone.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        self.value.unwrap_or_default()
    }

    /// Whether the record has no value, which is not the same as an empty one.
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

    /// The time it was given.
    #[inline]
    pub fn given_timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    /// The partition it was given.
    #[inline]
    pub fn given_partition(&self) -> Option<u32> {
        self.partition
    }
}

/// Where an append goes, for the calls that take no [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination<'a> {
    /// The partition of this key, as the topic's partitioner has it.
    Key(&'a [u8]),
    /// This partition.
    Partition(u32),
    /// Any partition: a record without a key.
    Any,
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordMetadata {
    /// The partition.
    pub partition: u32,
    /// The record's place in the partition.
    pub offset: u64,
    /// The record's time in milliseconds since 1970 UTC, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
}

/// Where a frame of several records went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameMetadata {
    /// The partition.
    pub partition: u32,
    /// The first record's place in the partition; the others follow it.
    pub base_offset: u64,
    /// How many records.
    pub records: u64,
    /// Their time in milliseconds since 1970 UTC, or [`NO_TIMESTAMP`].
    pub timestamp: i64,
}
