//! Sending fixed-size values: all of them as one frame.

use super::Producer;
use super::appender::{Refusal, WhenFull};
use crate::error::SendError;
use crate::log::segment::{ClaimMode, UNIT, uniform_size};
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
        route: Destination<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        Ok(self.append_values(
            route,
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
        route: Destination<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        Ok(self.append_values(
            route,
            values.as_bytes(),
            values.len(),
            size_of::<T>(),
            WhenFull::Fail,
        )?)
    }

    pub(crate) fn append_values(
        &mut self,
        route: Destination<'_>,
        values: &[u8],
        records: usize,
        value: usize,
        when_full: WhenFull<'_>,
    ) -> Result<FrameMetadata, Refusal> {
        self.check()?;
        let partition = self.router.route(route, values.len());
        let partition = partition.map_err(|wrong| self.out_of_range(wrong))?;
        let shape = self.topic.pool().shape();
        let bytes = uniform_size(records, value);
        if bytes > shape.data_bytes() || records > shape.records as usize {
            return Err(Refusal::Error(SendError::BatchTooLarge {
                partition,
                records: records as u64,
                size: bytes as u64,
                max_records: shape.records.into(),
                max: shape.data_bytes() as u64,
            }));
        }
        let units = (bytes / UNIT) as u32;
        let timestamp = self.time();
        if records == 0 {
            return Ok(FrameMetadata {
                partition,
                base_offset: self.topic.partition(partition).log_end_offset(),
                records: 0,
                timestamp,
            });
        }
        let claim = self.claim_frame(partition, records as u32, units, when_full)?;
        Ok(FrameMetadata {
            partition,
            base_offset: claim.publish_values(values, value, timestamp),
            records: records as u64,
            timestamp,
        })
    }
}
