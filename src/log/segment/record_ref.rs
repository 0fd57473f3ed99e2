//! What a batch lends out: its records, and where they are from.
//!
//! How a record lies in the log is the business of [`records`](super::records). Here are the public
//! types, which know the topic and the partition as well. The two are apart so that the loop over a
//! batch's records does not carry along what it does not use.

use super::Segment;
use super::frame::Headers;
use super::records::{RecordRun, StoredRecord, StoredRecords};
use crate::owned_record::{OwnedRecord, owned_headers};
use crate::record::{Header, Record};
use crate::topic_partition::TopicPartition;
use core::fmt;
use core::iter::FusedIterator;
use std::sync::LazyLock;

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
    stored: StoredRecord<'b>,
    source: &'b TopicPartition,
}

impl<'b> RecordRef<'b> {
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
        self.stored.offset
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
        self.stored.value_bytes()
    }

    /// Whether the record has no value, which differs from an empty value.
    #[inline]
    pub fn is_tombstone(&self) -> bool {
        self.stored.is_tombstone()
    }

    /// The timestamp in milliseconds since 1970 UTC, if the record has one.
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        self.stored.timestamp()
    }

    /// The key, if the record has one. It may be empty.
    #[inline]
    pub fn key(&self) -> Option<&'b [u8]> {
        self.stored.key()
    }

    /// The headers, in the order in which they were sent.
    #[inline]
    pub fn headers(&self) -> Headers<'b> {
        self.stored.headers()
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
            offset: self.offset(),
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
    /// `headers` is where the `Record`'s headers are stored; what it held before is removed. An
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
    /// Do not send to the topic of a batch that is still in use by a call that waits: under
    /// [`Backpressure`](crate::Overflow::Backpressure) it may wait for the room that the batch
    /// takes. Use a `try_` call, or send [owned records](Self::to_owned) after the batch.
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
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRef")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("offset", &self.offset())
            .field("timestamp", &self.timestamp())
            .field("key", &self.key())
            .field("value", &self.value())
            .field("headers", &self.headers().collect::<Vec<_>>())
            .finish()
    }
}

/// Iterates over the records of a [`Batch`](crate::Batch), in order of their offsets.
///
/// [`Batch::iter`](crate::Batch::iter) and `for record in &batch` make one. For records that were
/// sent one by one, methods that consume the whole iterator, such as `for_each`, are faster than a
/// `for` loop.
#[derive(Clone)]
pub struct Records<'b> {
    stored: StoredRecords<'b>,
    source: &'b TopicPartition,
}

/// The note of a frame: words that its sender gave to it, which are not part of any record. See
/// [`Batch::notes`](crate::Batch::notes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameNote<'b> {
    /// The offset of the frame's first record.
    pub base_offset: u64,
    /// The number of records in the frame; the others follow the first without gaps.
    pub records: u64,
    bytes: &'b [u8],
}

impl<'b> FrameNote<'b> {
    /// The words of the note.
    pub fn words(&self) -> impl ExactSizeIterator<Item = u64> + use<'b> {
        let words = self.bytes.chunks_exact(8);
        words.map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
    }
}

/// Iterates over the notes of a batch's frames.
#[derive(Clone)]
pub(crate) struct FrameNotes<'b>(pub(crate) StoredRecords<'b>);

impl<'b> Iterator for FrameNotes<'b> {
    type Item = FrameNote<'b>;

    fn next(&mut self) -> Option<FrameNote<'b>> {
        let (base_offset, records, bytes) = self.0.next_note()?;
        Some(FrameNote {
            base_offset,
            records: records.into(),
            bytes,
        })
    }
}

/// Stands for the topic and partition of no records, so that a loop over records need not check an
/// `Option` each time.
static NOWHERE: LazyLock<TopicPartition> = LazyLock::new(|| TopicPartition::new("", 0));

impl<'b> Records<'b> {
    #[inline]
    pub(crate) fn new(
        run: &RecordRun,
        segment: &'b Segment,
        source: &'b TopicPartition,
    ) -> Records<'b> {
        Records {
            stored: StoredRecords::new(run, segment),
            source,
        }
    }

    #[inline]
    pub(crate) fn empty() -> Records<'b> {
        Records {
            stored: StoredRecords::empty(),
            source: &NOWHERE,
        }
    }

    /// The records without where they are from.
    #[inline]
    pub(crate) fn into_stored(self) -> StoredRecords<'b> {
        self.stored
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = RecordRef<'b>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'b>> {
        let stored = self.stored.next()?;
        Some(RecordRef {
            stored,
            source: self.source,
        })
    }

    #[inline]
    fn fold<A, F: FnMut(A, RecordRef<'b>) -> A>(self, init: A, mut f: F) -> A {
        let source = self.source;
        self.stored
            .fold(init, |all, stored| f(all, RecordRef { stored, source }))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stored.size_hint()
    }
}

impl ExactSizeIterator for Records<'_> {}

impl FusedIterator for Records<'_> {}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
