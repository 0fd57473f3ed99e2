//! Sending fixed-size values: all of them as one frame.

use super::Producer;
use super::appender::{FrameSize, Refusal, WhenFull};
use crate::error::SendError;
use crate::log::segment::{ClaimMode, uniform_size};
use crate::record::{Destination, FrameMetadata};
use zerocopy::{Immutable, IntoBytes};

#[allow(private_bounds)]
impl<S: ClaimMode> Producer<S> {
    /// Sends fixed-size values as one frame, which readers see all of or nothing: the
    /// fastest way in. They are records without keys, readable one by one, or in place as
    /// `T` through [`Batch::values`](crate::Batch::values). With `Destination::Key` the key only
    /// chooses the partition.
    ///
    /// ```
    /// # use ringlog::{Broker, Route, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// let sent = topic.producer().send_values(Route::Any, &[1.5f64, 2.5])?;
    /// assert_eq!((sent.base_offset, sent.records), (0, 2));
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

    /// Sends fixed-size values, without waiting for room.
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

    pub(crate) fn append_values(
        &mut self,
        destination: Destination<'_>,
        values: &[u8],
        records: usize,
        value: usize,
        when_full: WhenFull<'_>,
    ) -> Result<FrameMetadata, Refusal> {
        self.check()?;
        let partition = self.router.choose(destination, values.len());
        let partition = partition.map_err(SendError::from)?;
        let bytes = uniform_size(records, value);
        let size = FrameSize::of_batch(&self.appenders.topic, partition, records, bytes)?;
        let timestamp = self.time();
        if records == 0 {
            return Ok(FrameMetadata {
                partition,
                base_offset: self.appenders.topic.partition(partition).log_end_offset(),
                records: 0,
                timestamp,
            });
        }
        let claim = self.appenders.claim::<S>(partition, size, when_full)?;
        Ok(FrameMetadata {
            partition,
            base_offset: claim.publish_values(values, value, timestamp),
            records: records as u64,
            timestamp,
        })
    }
}
