//! What a poll returns: a run of one partition's records, borrowed from the ring without a copy.
//!
//! # Invariant
//!
//! **B1** A [`Batch`] borrows its consumer. So the consumer's cursor cannot move while the batch
//! lives, and the cursor holds the batch's segment (`log/cursor/mod.rs`). Every frame of the
//! batch's run was found published. So its bytes may be read, by M4 (`log/segment/memory/`), for as
//! long as the batch is borrowed.
//!
//! This file establishes B1 and has no unsafe code. The unsafe blocks that rely on it are in
//! `log/segment/records.rs` and `log/segment/values.rs`.

use crate::error::ViewError;
use crate::log::cursor::Cursor;
use crate::log::segment::{RecordRef, RecordRun, Records, Values};
use crate::topic::TopicShared;
use core::fmt;
use zerocopy::{FromBytes, Immutable};

/// Records of one partition, in order, borrowed from the ring without a copy.
///
/// The records stay in place while the batch lives. Under
/// [`Backpressure`](crate::Overflow::Backpressure) producers may have to wait for it. Under
/// [`DropOldest`](crate::Overflow::DropOldest) they do not, and the batch stays readable all the
/// same.
///
/// A batch borrows its [`Consumer`](crate::Consumer): drop it before the next poll.
pub struct Batch<'c> {
    /// `None` for an empty batch.
    source: Option<BatchSource<'c>>,
    /// The models check that the run may be read for as long as the batch lives.
    #[cfg(loom)]
    access: Option<crate::log::segment::ReadAccess>,
}

/// Where a batch's records come from.
struct BatchSource<'c> {
    /// The cursor whose run the batch is.
    cursor: &'c mut Cursor,
    topic: &'c TopicShared,
    partition: u32,
}

impl<'c> Batch<'c> {
    #[inline]
    pub(super) fn empty() -> Batch<'c> {
        Batch {
            source: None,
            #[cfg(loom)]
            access: None,
        }
    }

    /// The run that the cursor has just read.
    #[inline]
    pub(super) fn new(cursor: &'c mut Cursor, topic: &'c TopicShared, partition: u32) -> Batch<'c> {
        Batch {
            #[cfg(loom)]
            access: Some(cover(cursor)),
            source: Some(BatchSource {
                cursor,
                topic,
                partition,
            }),
        }
    }

    #[inline]
    fn run(&self) -> Option<&RecordRun> {
        self.source.as_ref().map(|source| source.cursor.run().0)
    }

    /// The number of records.
    #[inline]
    pub fn len(&self) -> usize {
        self.run().map_or(0, |run| run.records as usize)
    }

    /// Whether there are no records: none came in time.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The topic's name. The empty string if the batch is empty.
    pub fn topic(&self) -> &str {
        self.source
            .as_ref()
            .map_or("", |source| source.topic.name())
    }

    /// The partition's number. 0 if the batch is empty.
    pub fn partition(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.partition)
    }

    /// Offsets of this partition that were dropped unread between the batch before and this one,
    /// because the consumer was overtaken
    /// ([`Overflow::DropOldest`](crate::Overflow::DropOldest)). The offsets of aborted claims among
    /// them count too.
    pub fn lost(&self) -> u64 {
        self.run().map_or(0, |run| run.lost)
    }

    /// The records, in order.
    #[inline]
    pub fn iter(&self) -> Records<'_> {
        match &self.source {
            Some(source) => {
                let (run, segment) = source.cursor.run();
                Records::new(run, segment, source.cursor.partition().topic_partition())
            }
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
    /// # let mut consumer = broker.consumer(ConsumerConfig::new());
    /// # consumer.subscribe(&["ticks"])?;
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
    pub fn values<T>(&self) -> Result<Values<'_, T>, ViewError>
    where
        T: FromBytes + Immutable,
    {
        Values::new(self.iter())
    }
}

/// Has the models check that all the run's frames may be read for as long as the batch lives.
#[cfg(loom)]
fn cover(cursor: &Cursor) -> crate::log::segment::ReadAccess {
    let (run, segment) = cursor.run();
    let mut access = segment.read_access();
    for record in Records::new(run, segment, cursor.partition().topic_partition()) {
        segment.cover(&mut access, record.at, record.length);
    }
    access
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(loom)]
        drop(self.access.take());
        if let Some(source) = &mut self.source {
            source.cursor.advance_gate();
        }
    }
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

impl<'b> IntoIterator for &'b Batch<'_> {
    type Item = RecordRef<'b>;
    type IntoIter = Records<'b>;

    #[inline]
    fn into_iter(self) -> Records<'b> {
        self.iter()
    }
}
