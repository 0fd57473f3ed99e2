//! `send_values`: fixed-size values as one frame.
//!
//! The values are copied in one piece, with one claim, one descriptor and one publication for all
//! of them.

use super::appender::{FrameSize, Refusal, WhenFull};
use super::{Producer, ProducerMode};
use crate::error::SendError;
use crate::log::segment::uniform_size;
use crate::record::{Destination, FrameMetadata, known_timestamp};
use zerocopy::{Immutable, IntoBytes};

impl<M: ProducerMode> Producer<M> {
    /// Appends fixed-size values as one frame, the fastest way to send. Readers see all of the
    /// values or none.
    ///
    /// Each value is a record without a key or headers. All have one timestamp, as
    /// [`Timestamps`](crate::Timestamps) is configured. A consumer reads them one by one, or in
    /// place as `T` with [`Batch::values`](crate::Batch::values). A key in `destination` only
    /// chooses the partition; it is not stored. If `values` is empty nothing is appended, and
    /// `base_offset` is the end of the partition's log.
    ///
    /// Waits for room up to [`max_block`](Self::max_block).
    ///
    /// `T` is a number, an array of them, or a type that derives the traits of
    /// [`zerocopy`](https://docs.rs/zerocopy) 0.8 (feature `derive`): no padding between its fields,
    /// and, to be read in place, an alignment of at most 8.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Destination, TopicConfig};
    /// use zerocopy::{FromBytes, Immutable, IntoBytes};
    ///
    /// #[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
    /// #[repr(C)]
    /// struct Tick {
    ///     price: f64,
    ///     size: u64,
    /// }
    ///
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// # consumer.subscribe(["ticks"])?;
    /// let ticks = [Tick { price: 1.5, size: 100 }, Tick { price: 1.25, size: 7 }];
    /// let sent = topic.producer().send_values(Destination::Any, &ticks)?;
    /// assert_eq!((sent.base_offset, sent.records), (0, 2));
    /// assert!(consumer.next_batch()?.values::<Tick>()?.eq(&ticks));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline]
    pub fn send_values<T: IntoBytes + Immutable>(
        &mut self,
        destination: Destination<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        Ok(self.append_values(
            destination,
            values.as_bytes(),
            values.len(),
            size_of::<T>(),
            WhenFull::Block,
        )?)
    }

    /// Appends fixed-size values if there is room at once. Otherwise as
    /// [`send_values`](Self::send_values).
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline]
    pub fn try_send_values<T: IntoBytes + Immutable>(
        &mut self,
        destination: Destination<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        Ok(self.append_values(
            destination,
            values.as_bytes(),
            values.len(),
            size_of::<T>(),
            WhenFull::Fail,
        )?)
    }

    /// Appends `records` values of `value_size` bytes each, which lie back to back in `values`.
    pub(super) fn append_values(
        &mut self,
        destination: Destination<'_>,
        values: &[u8],
        records: usize,
        value_size: usize,
        when_full: WhenFull<'_>,
    ) -> Result<FrameMetadata, Refusal> {
        self.check_topic()?;
        let partition = self.router.choose(destination, values.len());
        let partition = partition.map_err(SendError::from)?;
        let bytes = uniform_size(records, value_size);
        let size = FrameSize::of_batch(&self.appenders.topic, partition, records, bytes)?;
        let timestamp = self.default_timestamp();
        if records == 0 {
            let end = self.appenders.topic.partition(partition).log_end_offset();
            let timestamp = known_timestamp(timestamp);
            return Ok(FrameMetadata::new(partition, end, 0, timestamp));
        }
        let claim = self.appenders.claim::<M>(partition, size, when_full)?;
        let base_offset = claim.publish_values(values, value_size, timestamp);
        let (records, timestamp) = (records as u64, known_timestamp(timestamp));
        Ok(FrameMetadata::new(
            partition,
            base_offset,
            records,
            timestamp,
        ))
    }
}
