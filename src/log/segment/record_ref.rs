//! One record of a batch, from its descriptor to its parts.
//!
//! It relies on **B1** of [`records`](super::records), for the bytes that it reads.
#![allow(unsafe_code)]

use super::PublishedIndex;
use super::descriptor::{Descriptor, padded};
use super::frame::Headers;
use crate::log::segment::memory::Bytes;
use crate::owned_record::{OwnedRecord, owned_headers};
use crate::record::{Header, Record, known_timestamp};
use crate::topic_partition::TopicPartition;
use core::fmt;

/// A record of a [`Batch`](crate::Batch), read where it lies in the log, without a copy.
///
/// It borrows the batch, and so do the slices that it returns.
///
/// ```
/// # use ringlog::{Broker, ConsumerConfig, Header, Record, TopicConfig};
/// # use std::time::Duration;
/// # let broker = Broker::new();
/// # let topic = broker.create_topic("orders", TopicConfig::new())?;
/// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// # consumer.subscribe(["orders"])?;
/// let headers = [Header::new("trace", b"7f3a"), Header::new("trace", b"second")];
/// let login = Record::new(b"login").key("user-001").headers(&headers);
/// topic.producer().send(login.timestamp(1_700_000_000_000))?;
/// let batch = consumer.poll(Duration::from_millis(100))?;
/// for record in &batch {
///     assert_eq!((record.topic(), record.partition(), record.offset()), ("orders", 0, 0));
///     assert_eq!(record.value(), Some(&b"login"[..]));
///     assert_eq!(record.key(), Some(&b"user-001"[..]));
///     assert_eq!(record.timestamp(), Some(1_700_000_000_000));
///     assert!(record.headers().eq(headers));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct RecordRef<'b> {
    bytes: Bytes<'b>,
    /// Byte position and length of the value.
    pub(crate) at: usize,
    pub(crate) length: usize,
    /// For what follows the value; empty for a value of a uniform frame, which nothing follows.
    flags: Descriptor,
    /// The frame's time, for a record without its own.
    time: i64,
    offset: u64,
    source: &'b TopicPartition,
}

/// Where the records of a run lie, and where they are from.
#[derive(Clone, Copy)]
pub(super) struct RecordMemory<'b> {
    pub(super) index: PublishedIndex<'b>,
    pub(super) bytes: Bytes<'b>,
    pub(super) source: &'b TopicPartition,
}

impl<'b> RecordRef<'b> {
    /// The record of this descriptor. `time` is its frame's.
    #[inline]
    pub(super) fn new(
        memory: RecordMemory<'b>,
        descriptor: Descriptor,
        time: i64,
        offset: u64,
    ) -> RecordRef<'b> {
        RecordRef {
            bytes: memory.bytes,
            at: descriptor.at(),
            length: descriptor.length(),
            flags: descriptor,
            time,
            offset,
            source: memory.source,
        }
    }

    /// A value of a uniform frame, of `length` bytes at byte position `at`.
    #[inline]
    pub(super) fn of_uniform(
        memory: RecordMemory<'b>,
        at: usize,
        length: usize,
        time: i64,
        offset: u64,
    ) -> RecordRef<'b> {
        RecordRef {
            bytes: memory.bytes,
            at,
            length,
            flags: Descriptor::EMPTY,
            time,
            offset,
            source: memory.source,
        }
    }

    /// The name of the record's topic.
    #[inline]
    pub fn topic(&self) -> &'b str {
        &self.source.topic
    }

    /// The number of the record's partition.
    #[inline]
    pub fn partition(&self) -> u32 {
        self.source.partition
    }

    /// The record's topic and partition.
    #[inline]
    pub fn topic_partition(&self) -> &'b TopicPartition {
        self.source
    }

    /// The record's offset in its partition.
    #[inline]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The value. `None` for a tombstone, which differs from an empty value.
    #[inline]
    pub fn value(&self) -> Option<&'b [u8]> {
        (!self.is_tombstone()).then(|| self.value_bytes())
    }

    /// The bytes of the value; none for a tombstone.
    ///
    /// For topics without tombstones, and where a tombstone and an empty value are the same.
    #[inline]
    pub fn value_bytes(&self) -> &'b [u8] {
        // SAFETY: B1: part of a published frame of the batch.
        unsafe { self.bytes.slice(self.at, self.length) }
    }

    /// Whether the record has no value, which differs from an empty value.
    #[inline]
    pub fn is_tombstone(&self) -> bool {
        self.flags.is_tombstone()
    }

    /// The timestamp in milliseconds since 1970 UTC, if the record has one.
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        if !self.flags.is_timed() {
            return known_timestamp(self.time);
        }
        // SAFETY: B1, and `frame.rs`: a timed record's time follows its value.
        Some(unsafe { read_i64(self.bytes, self.value_end()) })
    }

    /// The key, if the record has one. It may be empty.
    #[inline]
    pub fn key(&self) -> Option<&'b [u8]> {
        if !self.flags.has_key() {
            return None;
        }
        let (at, key, _) = self.meta();
        // SAFETY: B1, and `frame.rs`: the key follows its length.
        Some(unsafe { self.bytes.slice(at, key) })
    }

    /// The headers, in the order in which they were sent.
    #[inline]
    pub fn headers(&self) -> Headers<'b> {
        if !self.flags.has_meta() {
            return Headers::new(&[]);
        }
        let (at, key, headers) = self.meta();
        // SAFETY: B1, and `frame.rs`: the headers follow the key.
        Headers::new(unsafe { self.bytes.slice(at + key, headers) })
    }

    /// Copies the record out of the log.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// # consumer.subscribe(["orders"])?;
    /// topic.producer().send(Record::new("login").key("user-001"))?;
    /// let batch = consumer.poll(Duration::from_millis(100))?;
    /// let records: Vec<_> = batch.iter().map(|record| record.to_owned()).collect();
    /// assert_eq!(records[0].value.as_deref(), Some(&b"login"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_owned(&self) -> OwnedRecord {
        OwnedRecord {
            topic: self.source.topic.clone(),
            partition: self.source.partition,
            offset: self.offset,
            timestamp: self.timestamp(),
            key: self.key().map(<[u8]>::to_vec),
            value: self.value().map(<[u8]>::to_vec),
            headers: owned_headers(self.headers()),
            lost: 0,
        }
    }

    /// The record's key, value and headers as a [`Record`], to send it to another topic without a
    /// copy in between. The partition and the timestamp are not among them.
    ///
    /// `headers` is where the `Record`'s headers are stored; those that it held are removed. An
    /// empty `Vec` allocates only if the record has headers.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// # let dead_letters = broker.create_topic("orders.dead", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// # consumer.subscribe(["orders"])?;
    /// # topic.producer().send(Record::new("login").key("user-001"))?;
    /// let mut dead_letters = dead_letters.producer();
    /// for record in &consumer.poll(Duration::from_millis(100))? {
    ///     dead_letters.send(record.as_record(&mut Vec::new()))?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Do not send to the topic of a batch that is still in use: under
    /// [`Backpressure`](crate::Overflow::Backpressure) the send may wait for the room that the
    /// batch takes. Send [owned records](Self::to_owned) after the batch.
    pub fn as_record<'h>(&self, headers: &'h mut Vec<Header<'b>>) -> Record<'h> {
        headers.clear();
        headers.extend(self.headers());
        Record {
            value: self.value(),
            key: self.key(),
            headers,
            timestamp: None,
            partition: None,
        }
    }

    /// Byte position of what follows the value.
    fn value_end(&self) -> usize {
        padded(self.at + self.length)
    }

    /// Byte position of the key, and the lengths of key and headers.
    #[inline]
    fn meta(&self) -> (usize, usize, usize) {
        let at = self.value_end() + if self.flags.is_timed() { 8 } else { 0 };
        // SAFETY: B1, and `frame.rs`: a record with key or headers has both lengths here.
        let (key, headers) = unsafe { (read_u32(self.bytes, at), read_u32(self.bytes, at + 4)) };
        (at + 8, key as usize, headers as usize)
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRef")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp())
            .field("key", &self.key())
            .field("value", &self.value())
            .field("headers", &self.headers().collect::<Vec<_>>())
            .finish()
    }
}

/// Copies the `N` bytes at `at`.
///
/// # Safety
/// As for [`Bytes::slice`], with `N` bytes at `at`.
#[inline]
unsafe fn read<const N: usize>(bytes: Bytes<'_>, at: usize) -> [u8; N] {
    let mut copy = [0; N];
    // SAFETY: the caller's promise.
    copy.copy_from_slice(unsafe { bytes.slice(at, N) });
    copy
}

/// # Safety
/// As for [`read`], with four bytes.
#[inline]
pub(super) unsafe fn read_u32(bytes: Bytes<'_>, at: usize) -> u32 {
    // SAFETY: the caller's promise.
    u32::from_ne_bytes(unsafe { read(bytes, at) })
}

/// # Safety
/// As for [`read`], with eight bytes.
#[inline]
pub(super) unsafe fn read_i64(bytes: Bytes<'_>, at: usize) -> i64 {
    // SAFETY: the caller's promise.
    i64::from_ne_bytes(unsafe { read(bytes, at) })
}
