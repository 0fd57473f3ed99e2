//! What a topic and a consumer may be told when they are made.

use super::partitioner::Partitioner;
use crate::error::TopicError;
use crate::log::overflow::Overflow;
use crate::log::partition_id::MAX_PARTITIONS;
use crate::log::retention::RetentionLimits;
use crate::log::segment::{MAX_RECORDS, MAX_UNITS, SegmentShape, UNIT};
use crate::log::segment_pool::MAX_SEGMENTS;
use crate::wait::WaitStrategy;
use std::sync::Arc;
use std::time::Duration;

/// The time of a record that was given none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Timestamps {
    /// The time of its append, one for all records of a batch. On Linux it is up to 4 ms
    /// old: the time of the last timer tick, which is cheap to read.
    #[default]
    Append,
    /// None: only records that were given a time have one, and the others do not pay for it.
    Given,
}

/// How a topic is made.
///
/// # Memory
///
/// A topic's memory is all there when it is made, or when partitions are added to it; appending
/// never allocates. It is
///
/// ```text
/// (partitions * (segments + 1) + spares) * block
/// block = 256 + 64 * ceil((segment_records + 1) / 8) + 64 * ceil(segment_bytes / 64),
///         rounded up to a multiple of 128
/// ```
///
/// `spares` is the most handles, producers and consumers, that were alive at once, rounded
/// up to a power of two: each brings a segment, so that one that stops for ever takes none
/// from the others. (A lookup by time, and a
/// call that gives records up, is such a handle while it runs.) A member of a group counts once for
/// each of its partitions, and its group once for each topic, and under `Backpressure` for each
/// partition. Pages that are not used yet
/// take address space and no memory; see [`prefault`](Self::prefault).
/// [`Topic::memory_bytes`](crate::Topic::memory_bytes) tells what a topic has.
#[derive(Clone, Debug)]
#[must_use]
pub struct TopicConfig {
    pub(crate) partitions: u32,
    pub(crate) segments: u32,
    pub(crate) segment_records: u32,
    pub(crate) segment_bytes: usize,
    retention: Option<Duration>,
    retention_bytes: Option<u64>,
    pub(crate) overflow: Overflow,
    pub(crate) timestamps: Timestamps,
    pub(crate) partitioner: Option<Arc<dyn Partitioner>>,
    pub(crate) wait: WaitStrategy,
    pub(crate) max_block: Duration,
    pub(crate) prefault: bool,
    first_segment: u64,
    first_offset: u64,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            partitions: 1,
            segments: 4,
            segment_records: 16 * 1024,
            segment_bytes: 1024 * 1024,
            retention: None,
            retention_bytes: None,
            overflow: Overflow::default(),
            timestamps: Timestamps::default(),
            partitioner: None,
            wait: WaitStrategy::default(),
            max_block: Duration::from_secs(60),
            prefault: false,
            first_segment: 0,
            first_offset: 0,
        }
    }
}

impl TopicConfig {
    /// One partition of four segments, each of 16,384 records or 1 MiB, `Backpressure`.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many partitions: 1 to 16,384. Default 1.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// How many segments a partition keeps: 2 or more. Default 4. The oldest is given up as
    /// a whole, so a partition retains between `segments - 1` and `segments` of them.
    pub fn segments(mut self, segments: u32) -> Self {
        self.segments = segments;
        self
    }

    /// How many records a segment holds: 1 to 2,097,151. Default 16,384.
    pub fn segment_records(mut self, records: u32) -> Self {
        self.segment_records = records;
        self
    }

    /// How many bytes a segment holds: 8 to 268,435,448, rounded up to a multiple of 8.
    /// Default 1 MiB. A record takes its value, rounded up to 8, and 8 bytes of index, 8 for
    /// its time, and with a key or headers 8 and their bytes, rounded up to 8.
    pub fn segment_bytes(mut self, bytes: usize) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How long records are kept where there is room (Kafka's `retention.ms`). Default: for as
    /// long as there is room.
    ///
    /// The oldest segments go, each as a whole, when all their records were appended so long ago,
    /// or longer; the segment that is being appended to stays. It goes by when records were
    /// appended and not by the times that they were given, so that a wrong time can neither keep
    /// a log for ever nor empty it.
    ///
    /// No thread sees to it. Retention is applied whenever a segment of the partition is full
    /// and the next begins, and by [`Topic::apply_retention`](crate::Topic::apply_retention).
    /// So nothing goes before its time, and what is past its time may stay until one of the two
    /// happens. Under [`Overflow::Backpressure`] what a subscribed consumer has not read stays in
    /// any case.
    pub fn retention(mut self, time: Duration) -> Self {
        self.retention = Some(time);
        self
    }

    /// How many bytes a partition keeps at least, where there is room (Kafka's
    /// `retention.bytes`). Default: as many as there is room for.
    ///
    /// The oldest segment goes, as a whole, when the others have so many bytes without it. Bytes
    /// are counted as [`segment_bytes`](Self::segment_bytes) has them. Otherwise as
    /// [`retention`](Self::retention); with both, a segment goes when either says so.
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.retention_bytes = Some(bytes);
        self
    }

    pub(crate) fn limits(&self) -> Option<RetentionLimits> {
        RetentionLimits::new(self.retention, self.retention_bytes)
    }

    /// What happens when the segments are full. Default [`Overflow::Backpressure`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// The time of records that were given none. Default [`Timestamps::Append`].
    pub fn timestamps(mut self, timestamps: Timestamps) -> Self {
        self.timestamps = timestamps;
        self
    }

    /// Key to partition. Default [`Xxh3`](crate::Xxh3).
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// How consumers wait for records and producers for room. Default
    /// [`WaitStrategy::Block`].
    pub fn wait(mut self, wait: WaitStrategy) -> Self {
        self.wait = wait;
        self
    }

    /// How long `send` waits for room before it gives up. Default 60 s (Kafka's
    /// `max.block.ms`).
    pub fn max_block(mut self, limit: Duration) -> Self {
        self.max_block = limit;
        self
    }

    /// Whether to touch all memory when the topic is made, so that no append of the first
    /// round pays for a page. Default `false`.
    pub fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Begins every partition at this segment number and offset. For tests of what comes
    /// after years.
    #[doc(hidden)]
    pub fn begin_at(mut self, segment: u64, offset: u64) -> Self {
        self.first_segment = segment;
        self.first_offset = offset;
        self
    }

    pub(crate) fn first(&self) -> (u64, u64) {
        (self.first_segment, self.first_offset)
    }

    /// The measures of its segments and how many, if every setting is within its limits.
    pub(crate) fn validate(&self) -> Result<(SegmentShape, usize), TopicError> {
        let limits: [(&'static str, u64, u64, u64); 4] = [
            (
                "partitions",
                self.partitions.into(),
                1,
                MAX_PARTITIONS.into(),
            ),
            ("segments", self.segments.into(), 2, MAX_SEGMENTS as u64 - 1),
            (
                "segment_records",
                self.segment_records.into(),
                1,
                MAX_RECORDS.into(),
            ),
            (
                "segment_bytes",
                self.segment_bytes as u64,
                UNIT as u64,
                u64::from(MAX_UNITS) * UNIT as u64,
            ),
        ];
        for (setting, value, min, max) in limits {
            if !(min..=max).contains(&value) {
                return Err(TopicError::InvalidConfig {
                    setting,
                    value,
                    min,
                    max,
                });
            }
        }
        let segments = u64::from(self.partitions) * (u64::from(self.segments) + 1);
        if segments > MAX_SEGMENTS as u64 {
            return Err(TopicError::TooManySegments {
                segments,
                max: MAX_SEGMENTS as u64,
            });
        }
        let shape = SegmentShape {
            records: self.segment_records,
            units: self.segment_bytes.div_ceil(UNIT) as u32,
        };
        debug_assert!(shape.is_valid());
        Ok((shape, segments as usize))
    }
}
