//! [`GatheringConfig`]: when gathered records go into the log.

use crate::log::segment::SegmentShape;
use crate::log::segment::gathered_size;
use std::time::Duration;

/// When the records that a [`GatheringProducer`](crate::GatheringProducer) has gathered for a
/// partition go into the log: as soon as one of these limits is reached.
///
/// ```
/// # use ringlog::{Broker, GatheringConfig, Record, TopicConfig};
/// # use std::time::Duration;
/// # let topic = Broker::new().create_topic("orders", TopicConfig::new().partitions(3))?;
/// let config = GatheringConfig::new().linger(Duration::from_millis(1)).batch_records(128);
/// let mut producer = topic.producer().gathering(config);
/// producer.send(Record::new("login").key("user-001"))?;
/// producer.flush()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatheringConfig {
    linger: Duration,
    batch_records: usize,
    batch_bytes: usize,
}

impl Default for GatheringConfig {
    fn default() -> Self {
        GatheringConfig {
            linger: Duration::from_millis(5),
            batch_records: 64,
            batch_bytes: 16 * 1024,
        }
    }
}

impl GatheringConfig {
    /// The default limits: 64 records, 16 KiB, 5 ms.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a record may wait for others (Kafka's `linger.ms`), in whole milliseconds,
    /// rounded up. Default 5 ms.
    ///
    /// No thread watches the time. It is looked at by each send, whichever partition that is for and
    /// whether or not it succeeds, and by `flush_due`. It is read from the topic's
    /// [`clock`](crate::TopicConfig::clock), whose ticks may be some milliseconds apart.
    ///
    /// With zero nothing is gathered: each record is appended at once, as a frame of its own. With
    /// [`Duration::MAX`] most sends do not read the clock.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets how many records of a partition are gathered at most. Default 64. A larger number than
    /// a segment holds is taken as that; with 0 or 1 nothing is gathered.
    pub fn batch_records(mut self, records: usize) -> Self {
        self.batch_records = records;
        self
    }

    /// Sets how many bytes of a partition's records are gathered at most (Kafka's `batch.size`).
    /// Default 16 KiB. A larger number than a segment holds is taken as that.
    ///
    /// Counted as in [`segment_bytes`](crate::TopicConfig::segment_bytes), and 8 for each record
    /// and for each batch. A larger record is not gathered, but appended at once, after the records
    /// that were gathered before it.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// The limits in segments of this shape.
    pub(super) fn limits(&self, shape: SegmentShape) -> GatherLimits {
        let whole = i64::try_from(self.linger.as_millis()).unwrap_or(i64::MAX);
        let part = self.linger.subsec_nanos() % 1_000_000 != 0;
        GatherLimits {
            records: self.batch_records.min(shape.records as usize),
            bytes: self.batch_bytes.min(shape.data_bytes()),
            linger: whole.saturating_add(part.into()),
        }
    }
}

/// The limits of one partition's gathered records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GatherLimits {
    pub(super) records: usize,
    /// Of their frame.
    pub(super) bytes: usize,
    /// Milliseconds; `i64::MAX` is without end.
    pub(super) linger: i64,
}

impl GatherLimits {
    /// Whether a record whose body has `body` bytes is not gathered.
    #[inline(always)]
    pub(super) fn is_alone(&self, body: usize) -> bool {
        self.records <= 1 || self.linger == 0 || gathered_size(body) > self.bytes
    }

    /// Whether a record that was gathered at `started` has lingered. Also if the clock was set back
    /// by as much since then; less is what two threads' looks at it may differ by.
    #[inline(always)]
    pub(super) fn has_lingered(&self, started: i64, now: i64) -> bool {
        self.linger != i64::MAX && now.abs_diff(started) >= self.linger as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: SegmentShape = SegmentShape {
        records: 16,
        units: 128,
    };

    #[test]
    fn lingering_is_counted_in_milliseconds_rounded_up() {
        let linger = |linger| GatheringConfig::new().linger(linger).limits(SHAPE).linger;
        assert_eq!(linger(Duration::ZERO), 0);
        assert_eq!(linger(Duration::from_nanos(1)), 1);
        assert_eq!(linger(Duration::from_millis(5)), 5);
        assert_eq!(linger(Duration::from_micros(5001)), 6);
        assert_eq!(linger(Duration::MAX), i64::MAX);
    }

    #[test]
    fn a_record_has_lingered_after_its_time_and_when_the_clock_was_set_back() {
        let limits = GatheringConfig::new().limits(SHAPE);
        assert!(!limits.has_lingered(100, 104));
        assert!(limits.has_lingered(100, 105) && limits.has_lingered(100, 95));
        assert!(!limits.has_lingered(100, 99));
        let endless = GatheringConfig::new().linger(Duration::MAX).limits(SHAPE);
        assert!(!endless.has_lingered(0, i64::MAX) && !endless.has_lingered(100, 99));
    }

    #[test]
    fn what_no_segment_holds_is_not_gathered() {
        let config = GatheringConfig::new()
            .batch_records(1000)
            .batch_bytes(1 << 30);
        let limits = config.limits(SHAPE);
        assert_eq!((limits.records, limits.bytes), (16, 1024));
        assert!(limits.is_alone(1016) && !limits.is_alone(1008));
        let none = config.batch_records(0).limits(SHAPE);
        assert!(none.is_alone(0));
    }
}
