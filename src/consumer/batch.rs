//! What a poll gives: records lent out of the ring, one partition's run.
//!
//! # Invariant
//!
//! **B1** A [`Batch`] borrows its consumer, so the consumer's cursor cannot move on while
//! the batch lives, and the cursor holds the batch's segment (`cursor/mod.rs`); every frame of
//! the batch's run was found published. So its bytes may be read, by M4 of `memory.rs`,
//! for as long as the batch is borrowed.

use crate::error::ViewError;
use crate::log::cursor::Cursor;
use crate::log::segment::{RecordRef, RecordRun, Records, UNIT, Values};
use crate::topic::TopicShared;
use core::fmt;
use zerocopy::{FromBytes, Immutable};

/// Records of one partition, in order, lent out of the ring without a copy.
///
/// While a batch is held, its records stay where they are. Under `Backpressure` producers
/// may come to wait for it; under `DropOldest` they go on, and the batch stays readable.
pub struct Batch<'c> {
    /// The cursor, whose run it is, the topic and the partition; `None`: nothing came in time.
    read: Option<(&'c mut Cursor, &'c TopicShared, u32)>,
    /// The models' check that the run may be read for as long as the batch lives.
    #[cfg(loom)]
    access: Option<crate::log::segment::ReadAccess>,
}

impl<'c> Batch<'c> {
    #[inline]
    pub(crate) fn empty() -> Batch<'c> {
        Batch {
            read: None,
            #[cfg(loom)]
            access: None,
        }
    }

    /// What the cursor has just read.
    #[inline]
    pub(crate) fn new(cursor: &'c mut Cursor, topic: &'c TopicShared, partition: u32) -> Batch<'c> {
        Batch {
            #[cfg(loom)]
            access: Some(cover(cursor)),
            read: Some((cursor, topic, partition)),
        }
    }

    #[inline]
    fn run(&self) -> Option<&RecordRun> {
        self.read.as_ref().map(|(cursor, ..)| cursor.run().0)
    }

    /// How many records.
    #[inline]
    pub fn len(&self) -> usize {
        self.run().map_or(0, |run| run.records as usize)
    }

    /// Whether nothing came in time.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The topic's name; empty when the batch is.
    pub fn topic(&self) -> &str {
        self.read.as_ref().map_or("", |(_, topic, _)| topic.name())
    }

    /// The partition; 0 when the batch is empty.
    pub fn partition(&self) -> u32 {
        self.read.as_ref().map_or(0, |&(.., partition)| partition)
    }

    /// How many offsets of this partition went by unread between the last batch from it and
    /// this one, because they were dropped before this consumer came to them
    /// ([`Overflow::DropOldest`](crate::Overflow::DropOldest)); aborted claims among them
    /// count too.
    pub fn lost(&self) -> u64 {
        self.run().map_or(0, |run| run.lost)
    }

    /// The records, in order.
    #[inline]
    pub fn iter(&self) -> Records<'_> {
        match &self.read {
            Some((cursor, ..)) => {
                let (run, segment) = cursor.run();
                Records::new(run, segment)
            }
            None => Records::empty(),
        }
    }

    /// The values as fixed-size values, in place.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Route, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new());
    /// # consumer.subscribe(&["ticks"])?;
    /// topic.producer().send_values(Route::Any, &[1u64, 2, 3])?;
    /// let batch = consumer.poll(Duration::from_millis(100))?;
    /// assert_eq!(batch.values::<u64>()?.sum::<u64>(), 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ViewError::Size`] if any value's length is not the size of `T`, and
    /// [`ViewError::Alignment`] if `T` needs an alignment above 8; both before the first
    /// value.
    pub fn values<T>(&self) -> Result<Values<'_, T>, ViewError>
    where
        T: FromBytes + Immutable,
    {
        if align_of::<T>() > UNIT {
            return Err(ViewError::Alignment {
                align: align_of::<T>(),
                max: UNIT,
            });
        }
        let mut frames = self.iter();
        while let Some((offset, values)) = frames.next_value_run() {
            if values.length != size_of::<T>() {
                return Err(ViewError::Size {
                    offset,
                    length: values.length,
                    size: size_of::<T>(),
                });
            }
        }
        Ok(Values::new(self.iter()))
    }
}

/// Checks, in the models, that all of the run's frames may be read for as long as the batch
/// lives.
#[cfg(loom)]
fn cover(cursor: &Cursor) -> crate::log::segment::ReadAccess {
    let (run, segment) = cursor.run();
    let mut access = segment.read_access();
    for record in Records::new(run, segment) {
        segment.cover(&mut access, record.at, record.length);
    }
    access
}

impl Drop for Batch<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(loom)]
        drop(self.access.take());
        if let Some((cursor, ..)) = &mut self.read {
            cursor.advance_gate();
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
