//! What a poll returns: a run of one partition's records, borrowed from the ring without a copy.
//!
//! # Invariant
//!
//! **B1** A [`Batch`], its iterators and its records borrow the consumer, from the exclusive borrow
//! of the poll on. So the consumer's cursor cannot move while one of them lives, and the cursor
//! holds the batch's segment (`log/cursor/mod.rs`). Every frame of the batch's run was found
//! published. So its bytes may be read, by M4 (`log/segment/memory/`), for as long as that borrow
//! lasts.
//!
//! This file establishes B1 and has no unsafe code. The unsafe blocks that rely on it are in
//! `log/segment/records.rs` and `log/segment/values.rs`.
//!
//! # No `Drop`
//!
//! A batch has nothing to do when it is dropped, and so no `Drop`. With one, the compiler would
//! extend the borrow of the consumer to the end of a `match` or `while let` on a poll's result, and
//! the usual poll loop would not compile. What the end of a batch makes possible, moving a gate out
//! of a segment that was read to its end, is done by the consumer's next poll.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use crate::error::{ConsumeError, ViewError};
use crate::log::segment::{FrameNote, FrameNotes, RecordRef, RecordRun, Records, Values};
use crate::topic::TopicPartition;
use core::fmt;
use zerocopy::{FromBytes, Immutable};

/// Records of one partition, in order, borrowed from the ring without a copy.
///
/// The records stay in place while the batch lives. Under
/// [`Backpressure`](crate::Overflow::Backpressure) producers may have to wait for it, until the
/// consumer's next poll. Under [`DropOldest`](crate::Overflow::DropOldest) they do not, and the
/// batch stays readable all the same.
///
/// To send to the batch's topic while it is held, under `Backpressure`, use a `try_` call, or poll
/// first: once the ring is full, a blocking send waits for this very batch, up to
/// [`max_block`](crate::TopicConfig::max_block).
///
/// A batch, its iterators and its records borrow the [`Consumer`]. The borrow ends after their last
/// use, so a batch need not be dropped before the next poll.
///
/// ```
/// use ringlog::{Broker, ConsumeError, ConsumerConfig, Record, TopicConfig};
///
/// # let broker = Broker::new();
/// # let topic = broker.create_topic("orders", TopicConfig::new())?;
/// # topic.producer().send(Record::new("login"))?;
/// # topic.close();
/// let mut consumer = broker.consumer(ConsumerConfig::new().group("billing").auto_commit(false))?;
/// consumer.subscribe(["orders"])?;
/// loop {
///     match consumer.next_batch() {
///         Ok(batch) => {
///             for record in &batch {
///                 println!("offset {}: {} bytes", record.offset(), record.value_bytes().len());
///             }
///             batch.commit()?;
///         }
///         Err(ConsumeError::Closed { .. }) => break consumer.close(),
///         Err(error) => return Err(error.into()),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'c> {
    /// `None` for an empty batch.
    source: Option<BatchSource<'c>>,
    /// The models check that the run may be read for as long as the batch lives.
    #[cfg(loom)]
    _access: Option<crate::log::segment::ReadAccess>,
}

/// Where a batch's records come from.
#[derive(Clone, Copy)]
struct BatchSource<'c> {
    consumer: &'c Consumer,
    /// The partition whose cursor's run the batch is.
    assigned: &'c AssignedPartition,
}

impl<'c> BatchSource<'c> {
    #[inline]
    fn run(self) -> &'c RecordRun {
        self.assigned.cursor.run().0
    }

    #[inline]
    fn records(self) -> Records<'c> {
        self.assigned.cursor.records()
    }

    fn topic_partition(self) -> &'c TopicPartition {
        self.assigned.cursor.partition().topic_partition()
    }

    /// The offset of the first record.
    fn first_offset(self) -> u64 {
        let first = self.records().next();
        first.map_or_else(|| self.next_offset(), |record| record.offset())
    }

    /// The cursor's position: it stays behind the batch while that lives.
    fn next_offset(self) -> u64 {
        self.assigned.cursor.position()
    }
}

impl<'c> Batch<'c> {
    #[inline]
    pub(super) fn empty() -> Batch<'c> {
        Batch {
            source: None,
            #[cfg(loom)]
            _access: None,
        }
    }

    /// The run that the partition's cursor has just read.
    #[inline]
    pub(super) fn new(consumer: &'c Consumer, assigned: &'c AssignedPartition) -> Batch<'c> {
        Batch {
            source: Some(BatchSource { consumer, assigned }),
            #[cfg(loom)]
            _access: Some(cover(assigned)),
        }
    }

    /// The number of records.
    #[inline]
    pub fn len(&self) -> usize {
        self.source
            .map_or(0, |source| source.run().records as usize)
    }

    /// Whether there are no records: none came in time.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The topic's name. `None` if the batch is empty.
    pub fn topic(&self) -> Option<&'c str> {
        self.source.map(|source| &**source.assigned.topic.name())
    }

    /// The partition's number. `None` if the batch is empty.
    pub fn partition(&self) -> Option<u32> {
        self.source.map(|source| source.assigned.partition)
    }

    /// The partition's topic and number. `None` if the batch is empty.
    pub fn topic_partition(&self) -> Option<&'c TopicPartition> {
        self.source.map(BatchSource::topic_partition)
    }

    /// The offset of the first record. `None` if the batch is empty.
    pub fn first_offset(&self) -> Option<u64> {
        self.source.map(BatchSource::first_offset)
    }

    /// The offset of the last record. `None` if the batch is empty.
    pub fn last_offset(&self) -> Option<u64> {
        let last = self.source?.records().last();
        last.map(|record| record.offset())
    }

    /// The next offset to read after this batch: the one to commit, and the consumer's position.
    /// It may be higher than `last_offset + 1`, because aborted claims have offsets too. `None` if
    /// the batch is empty.
    pub fn next_offset(&self) -> Option<u64> {
        self.source.map(BatchSource::next_offset)
    }

    /// Offsets of this partition that were dropped unread between the batch before and this one,
    /// because the consumer was overtaken
    /// ([`Overflow::DropOldest`](crate::Overflow::DropOldest)) or the records were deleted. The
    /// offsets of aborted claims among them count too, and so do offsets that an empty poll found
    /// lost before a seek. What it found lost before a rebalance took the partition away counts in
    /// the [statistics](crate::ConsumerStats::lost) alone.
    pub fn lost(&self) -> u64 {
        self.source.map_or(0, |source| source.run().lost)
    }

    /// The records, in order.
    #[inline]
    pub fn iter(&self) -> Records<'c> {
        match self.source {
            Some(source) => source.records(),
            None => Records::empty(),
        }
    }

    /// The records' values as values of type `T`, in place.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Destination, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// # consumer.subscribe(["ticks"])?;
    /// topic.producer().send_values(Destination::Any, &[1u64, 2, 3])?;
    /// let batch = consumer.poll(Duration::from_millis(100))?;
    /// assert_eq!(batch.values::<u64>()?.sum::<u64>(), 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ViewError::Size`] if a value's length is not the size of `T`, and
    /// [`ViewError::Alignment`] if `T` needs an alignment above 8. Both are found before the first
    /// value is returned.
    pub fn values<T>(&self) -> Result<Values<'c, T>, ViewError>
    where
        T: FromBytes + Immutable,
    {
        Values::new(self.iter().into_stored())
    }

    /// The notes of the frames that begin in this batch, in order of their offsets
    /// ([`Producer::send_frame`](crate::Producer::send_frame)). Frames without one are left out. The
    /// note of a frame that several batches share is in the batch with its first record.
    pub fn notes(&self) -> impl Iterator<Item = FrameNote<'c>> + use<'c> {
        FrameNotes(self.iter().into_stored())
    }

    // ---- commits ------------------------------------------------------------------------

    /// Commits this batch: everything up to and including its last record, in its partition. The
    /// group's next reader of the partition continues at [`next_offset`](Self::next_offset).
    ///
    /// Nothing is committed for an empty batch. [`Consumer::commit`] commits all partitions.
    ///
    /// # Errors
    /// As [`Consumer::commit`]. Nothing is committed after an error: in particular
    /// [`ConsumeError::Fenced`] if the partition has moved to another member meanwhile.
    pub fn commit(&self) -> Result<(), ConsumeError> {
        match self.source {
            Some(source) => self.commit_before(source, source.next_offset(), "Batch::commit"),
            None => Ok(()),
        }
    }

    /// Commits the records of this partition up to and including `record`, which is one of this
    /// batch.
    ///
    /// A consumer that fails in the middle of a batch has then committed exactly what it has
    /// handled:
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// # for order in ["1", "2", "not a number", "4"] {
    /// #     topic.producer().send(Record::new(order))?;
    /// # }
    /// # let config = ConsumerConfig::new().group("billing").auto_commit(false);
    /// # let mut consumer = broker.consumer(config)?;
    /// # consumer.subscribe(["orders"])?;
    /// let batch = consumer.try_poll()?;
    /// for record in &batch {
    ///     let Ok(number) = std::str::from_utf8(record.value_bytes())?.parse::<u32>() else {
    ///         break; // the group's next reader begins with this record
    ///     };
    ///     println!("order {number}");
    ///     batch.commit_through(&record)?;
    /// }
    /// assert_eq!(consumer.committed(("orders", 0))?, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConsumeError::NotInBatch`] if the record is not one of this batch. Otherwise as
    /// [`commit`](Self::commit).
    pub fn commit_through(&self, record: &RecordRef<'_>) -> Result<(), ConsumeError> {
        let offset = record.offset();
        let (first, next) = self.source.map_or((0, 0), |source| {
            (source.first_offset(), source.next_offset())
        });
        match self.source {
            Some(source)
                if (first..next).contains(&offset)
                    && source.topic_partition() == record.topic_partition() =>
            {
                self.commit_before(source, offset + 1, "Batch::commit_through")
            }
            _ => Err(ConsumeError::NotInBatch {
                record: record.topic_partition().clone(),
                offset,
                batch: self.topic_partition().cloned(),
                first,
                next,
            }),
        }
    }

    fn commit_before(
        &self,
        source: BatchSource<'c>,
        offset: u64,
        asked: &'static str,
    ) -> Result<(), ConsumeError> {
        source
            .consumer
            .commit_partition(source.assigned, offset, asked)
    }
}

/// Has the models check that all the run's frames may be read for as long as the batch lives.
#[cfg(loom)]
fn cover(assigned: &AssignedPartition) -> crate::log::segment::ReadAccess {
    let (_, segment) = assigned.cursor.run();
    let mut access = segment.read_access();
    for record in assigned.cursor.records().into_stored() {
        segment.cover(&mut access, record.at, record.length);
    }
    access
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("topic", &self.topic())
            .field("partition", &self.partition())
            .field("lost", &self.lost())
            .field("records", &self.iter().collect::<Vec<_>>())
            .finish()
    }
}

impl<'c> IntoIterator for Batch<'c> {
    type Item = RecordRef<'c>;
    type IntoIter = Records<'c>;

    #[inline]
    fn into_iter(self) -> Records<'c> {
        self.iter()
    }
}

impl<'c> IntoIterator for &Batch<'c> {
    type Item = RecordRef<'c>;
    type IntoIter = Records<'c>;

    #[inline]
    fn into_iter(self) -> Records<'c> {
        self.iter()
    }
}
