//! Topic configuration.

use super::clock::{Clock, TopicClock};
use super::partitioner::Partitioner;
use crate::error::TopicError;
use crate::log::overflow::Overflow;
use crate::log::partition::LogOrigin;
use crate::log::partition_id::MAX_PARTITIONS;
use crate::log::retention::RetentionLimits;
use crate::log::segment::{MAX_RECORDS, MAX_UNITS, SegmentShape, UNIT};
use crate::log::segment_pool::MAX_SEGMENTS;
use crate::storage::Storage;
use crate::wait::WaitStrategy;
use std::sync::Arc;
use std::time::Duration;

/// Which timestamp a record gets that is sent without one.
///
/// ```
/// use ringlog::{Broker, Record, Timestamps, TopicConfig};
///
/// let config = TopicConfig::new().timestamps(Timestamps::Given);
/// let topic = Broker::new().create_topic("orders", config)?;
/// let mut producer = topic.producer();
/// let sent = producer.send(Record::new("login"))?;
/// assert_eq!(sent.timestamp(), None);
/// let sent = producer.send(Record::new("purchase").timestamp(1_700_000_000_000))?;
/// assert_eq!(sent.timestamp(), Some(1_700_000_000_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Timestamps {
    /// The time of the append, the same for all records of a batch, by the topic's
    /// [`clock`](TopicConfig::clock). By default that is the system's: on Linux the time of the last
    /// timer tick, which is cheap to read, and up to 4 ms old.
    #[default]
    Append,
    /// None. Only records that are sent with a timestamp have one, and only they pay for its
    /// 8 bytes.
    Given,
}

/// A topic's configuration, for [`Broker::create_topic`](crate::Broker::create_topic).
///
/// ```
/// use ringlog::{Broker, Overflow, TopicConfig};
/// use std::time::Duration;
///
/// let config = TopicConfig::new()
///     .partitions(4)
///     .segments(8)
///     .segment_bytes(256 * 1024)
///     .retention(Duration::from_secs(3600))
///     .overflow(Overflow::DropOldest);
/// let topic = Broker::new().create_topic("ticks", config)?;
/// assert_eq!(topic.partitions(), 4);
/// # Ok::<(), ringlog::TopicError>(())
/// ```
///
/// # Memory
///
/// A topic allocates all its memory when it is created, when partitions are added, and when a
/// handle needs a spare segment. A producer takes its spare at its first send; later ones never
/// allocate. The topic's bytes are:
///
/// ```text
/// (partitions * (segments + 1) + spares) * block
/// block = 256 + 64 * ceil((segment_records + 1) / 8) + 64 * ceil(segment_bytes / 64),
///         rounded up to a multiple of 128
/// ```
///
/// `spares` is the greatest number of handles (producers and consumers) that were alive at once;
/// from 16 on, up to an eighth more. Each handle brings one segment, so a handle that stops forever
/// takes none from the others. When a handle is dropped, its spare serves the next one. Spares stay
/// allocated until the topic is dropped. Some count differently:
///
/// - A producer that has never sent does not count.
/// - A [`SharedProducer`](crate::SharedProducer), with all its clones, counts once for each call
///   that ran at the same time.
/// - A lookup by time, and [`Topic::apply_retention`](crate::Topic::apply_retention), count as a
///   handle while they run.
/// - A member of a group counts once for each of its partitions.
/// - A group counts once for each topic, and under [`Overflow::Backpressure`] also once for each
///   partition.
///
/// Pages that were never used take address space but no memory; see
/// [`prefault`](Self::prefault). [`Topic::memory_bytes`](crate::Topic::memory_bytes) reports the
/// size of a topic.
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
    pub(crate) clock: TopicClock,
    pub(crate) partitioner: Option<Arc<dyn Partitioner>>,
    pub(crate) wait: WaitStrategy,
    pub(crate) max_block: Duration,
    pub(crate) prefault: bool,
    pub(super) origin: LogOrigin,
    pub(crate) storage: StorageChoice,
}

/// Where a topic's records are kept besides memory.
#[derive(Clone, Debug, Default)]
pub(crate) enum StorageChoice {
    /// In the broker's storage, if it has one.
    #[default]
    Broker,
    /// Nowhere.
    Memory,
    In(Storage),
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
            clock: TopicClock::default(),
            partitioner: None,
            wait: WaitStrategy::default(),
            max_block: Duration::from_secs(60),
            prefault: false,
            origin: LogOrigin {
                segment: 0,
                offset: 0,
            },
            storage: StorageChoice::default(),
        }
    }
}

impl TopicConfig {
    /// The default: one partition of four segments, each for 16,384 records or 1 MiB, under
    /// [`Overflow::Backpressure`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the number of partitions: 1 to 16,384. Default 1.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the number of segments of a partition: 2 or more. Default 4. The oldest segment is
    /// evicted as a whole, so a full partition retains between `segments - 1` and `segments`.
    pub fn segments(mut self, segments: u32) -> Self {
        self.segments = segments;
        self
    }

    /// Sets the number of records that a segment holds: 1 to 2,097,151. Default 16,384.
    pub fn segment_records(mut self, records: u32) -> Self {
        self.segment_records = records;
        self
    }

    /// Sets the number of bytes that a segment holds: 8 to 268,435,448, rounded up to a multiple
    /// of 8. Default 1 MiB.
    ///
    /// A record takes the bytes of its value, rounded up to a multiple of 8; 8 more for a
    /// timestamp; and, with a key or headers, 8 more and their bytes, rounded up to a multiple of
    /// 8. Its 8 bytes of index are not counted here.
    pub fn segment_bytes(mut self, bytes: usize) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Sets how long records are kept while there is room (Kafka's `retention.ms`). Default: as
    /// long as there is room.
    ///
    /// A segment is evicted, as a whole, when all its records were appended at least `time` ago.
    /// The active segment is never evicted. The time of the append counts, not a record's
    /// timestamp: a wrong timestamp can neither keep a log forever nor empty it.
    ///
    /// No background thread applies retention. It is applied when a segment of the partition is
    /// full and the next begins, and by
    /// [`Topic::apply_retention`](crate::Topic::apply_retention). So no record is evicted too
    /// early, and expired records may stay until one of the two happens. Under
    /// [`Overflow::Backpressure`] records that a subscribed consumer has not read stay in any case.
    pub fn retention(mut self, time: Duration) -> Self {
        self.retention = Some(time);
        self
    }

    /// Sets how many bytes a partition keeps at least, while there is room (Kafka's
    /// `retention.bytes`). Default: as many as there is room for.
    ///
    /// The oldest segment is evicted, as a whole, when the other segments have at least `bytes`
    /// without it. Bytes are counted as in [`segment_bytes`](Self::segment_bytes). Retention by
    /// bytes is applied when [`retention`](Self::retention) is. With both configured, a segment is
    /// evicted when either limit allows it.
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.retention_bytes = Some(bytes);
        self
    }

    /// The limits by time and by bytes, if they are set.
    pub(super) fn retention_settings(&self) -> (Option<Duration>, Option<u64>) {
        (self.retention, self.retention_bytes)
    }

    pub(super) fn retention_limits(&self) -> RetentionLimits {
        RetentionLimits::new(self.retention, self.retention_bytes)
    }

    /// Sets what happens when a partition's segments are full. Default
    /// [`Overflow::Backpressure`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sets which timestamp a record gets that is sent without one. Default
    /// [`Timestamps::Append`].
    pub fn timestamps(mut self, timestamps: Timestamps) -> Self {
        self.timestamps = timestamps;
        self
    }

    /// Sets the clock that [`Timestamps::Append`] reads. Default the system's clock.
    ///
    /// With [`ManualClock`](crate::ManualClock) tests set the time, and sends need not read the
    /// system's clock, which is a fifth or more of the time of a short keyed send. Retention by time
    /// ignores it, and counts the time that has passed.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = TopicClock::Custom(Arc::new(clock));
        self
    }

    /// The timestamp, in milliseconds since 1970 UTC, of a record that is sent now without one.
    #[inline(always)]
    pub(crate) fn stamp(&self) -> Option<i64> {
        match self.timestamps {
            Timestamps::Append => Some(self.clock.now()),
            Timestamps::Given => None,
        }
    }

    /// Sets the partitioner. Default [`Xxh3`](crate::Xxh3).
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Sets how consumers wait for records, and producers for room. Default
    /// [`WaitStrategy::Block`].
    pub fn wait(mut self, wait: WaitStrategy) -> Self {
        self.wait = wait;
        self
    }

    /// Sets how long a send waits for room before it fails with
    /// [`SendError::Full`](crate::SendError::Full). Default 60 s (Kafka's `max.block.ms`). Each
    /// producer can have [another limit](crate::Producer::set_max_block).
    ///
    /// A send by the thread that should make the room waits that long as well: a thread that holds
    /// a batch of the topic, or is its only reader, under [`Overflow::Backpressure`]. Let such a
    /// thread poll before it sends, or send with a `try_` call.
    pub fn max_block(mut self, limit: Duration) -> Self {
        self.max_block = limit;
        self
    }

    /// Sets whether to touch all memory when the topic is created. Then no append pays for a page
    /// fault when it is the first to use a segment. Default `false`.
    pub fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Keeps the topic's records in this storage too, so that they outlive the process: the topic is
    /// durable. Default: in the storage that its broker was [opened](crate::Broker::open) on, or in
    /// memory only if the broker was made by [`Broker::new`](crate::Broker::new).
    ///
    /// [`retention`](Self::retention) and [`retention_bytes`](Self::retention_bytes) then say what
    /// is kept in files, and consumers read on there when the ring has been overwritten. So
    /// consumers hold nothing back, whatever [`HoldBack`](crate::HoldBack) says: under
    /// [`Backpressure`](crate::Overflow::Backpressure) producers wait only for what is not yet in
    /// the files.
    pub fn storage(mut self, storage: &Storage) -> Self {
        self.storage = StorageChoice::In(storage.clone());
        self
    }

    /// Keeps the topic's records in memory only, whatever storage its broker has.
    pub fn in_memory(mut self) -> Self {
        self.storage = StorageChoice::Memory;
        self
    }

    /// Begins every partition at this segment number and offset. For tests of logs that are years
    /// old.
    #[doc(hidden)]
    pub fn begin_at(mut self, segment: u64, offset: u64) -> Self {
        self.origin = LogOrigin { segment, offset };
        self
    }

    /// Checks every setting. Returns the shape of a segment, and the number of segments that the
    /// partitions need without spares.
    pub(super) fn validate(&self) -> Result<(SegmentShape, usize), TopicError> {
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
