//! What a topic and a consumer may be told when they are made.

use crate::error::{ConsumeError, TopicError};
use crate::frame::UNIT;
use crate::group::{Assignor, CooperativeStickyAssignor};
use crate::head::{MAX_PARTITIONS, MAX_RECORDS, MAX_UNITS};
use crate::memory::SegmentShape;
use crate::partitioner::Partitioner;
use crate::pool::MAX_SEGMENTS;
use crate::retention::RetentionLimits;
use crate::wait::WaitStrategy;
use std::sync::Arc;
use std::time::Duration;

/// What happens when a partition's segments are all full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Overflow {
    /// A subscribed consumer loses nothing: producers wait until every consumer of the
    /// partition has left the oldest segment. Without consumers the oldest segment goes.
    #[default]
    Backpressure,
    /// Producers never wait for a consumer: the oldest segment goes, and a consumer that had
    /// not read it is told how many records it lost ([`Batch::lost`](crate::Batch::lost)).
    DropOldest,
}

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

/// Where a consumer begins in a partition where it has no position, or a bad one (Kafka's
/// `auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OffsetReset {
    /// At the first record retained.
    #[default]
    Earliest,
    /// Past the last record, at the moment of the subscription or of the poll that finds that
    /// it was sent to an offset that is not there. A consumer that is *overtaken* loses no more
    /// than it must: it goes on at the first record retained.
    Latest,
    /// Nowhere: polling is an error until the consumer seeks, also after it was overtaken.
    None,
}

/// What a group keeps its producers from overwriting, under
/// [`Overflow::Backpressure`](Overflow::Backpressure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum HoldBack {
    /// Everything from the committed offset on: whoever gets the partition next reads on there
    /// and misses nothing. A group that commits seldom stops its producers soon, and one that
    /// never does stops them for good when the segments are full.
    #[default]
    Committed,
    /// Everything from the position on, as for a consumer outside groups. What was read and not
    /// committed may be gone when another member begins at the committed offset: it is then
    /// told how much ([`Batch::lost`](crate::Batch::lost)). Of a partition that no member has,
    /// what lies behind the committed offset is kept as far as it is still there.
    Read,
}

/// How a consumer is made.
#[derive(Clone, Debug)]
#[must_use]
pub struct ConsumerConfig {
    pub(crate) offset_reset: OffsetReset,
    pub(crate) max_poll_records: u32,
    pub(crate) client_id: Option<Arc<str>>,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) assignor: Arc<dyn Assignor>,
    pub(crate) auto_commit: bool,
    pub(crate) hold_back: HoldBack,
    pub(crate) max_poll_interval: Duration,
    pub(crate) clock: Clock,
}

/// Time since some moment, the same for all consumers of a group.
pub(crate) type Clock = fn() -> Duration;

/// The least `max_poll_interval`: a thread that waits in `poll` sleeps for up to 1 ms.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(10);

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            offset_reset: OffsetReset::default(),
            max_poll_records: 500,
            client_id: None,
            group: None,
            instance_id: None,
            assignor: Arc::new(CooperativeStickyAssignor),
            auto_commit: true,
            hold_back: HoldBack::default(),
            max_poll_interval: Duration::from_secs(300),
            clock: crate::clock::since_start,
        }
    }
}

impl ConsumerConfig {
    /// From the earliest record, 500 records a poll at most, in no group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to begin. Default [`OffsetReset::Earliest`]. A member of a group begins where the
    /// group was; this is for partitions that the group has not read yet.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// The most records of one batch: 1 or more. Default 500, as Kafka's.
    pub fn max_poll_records(mut self, records: u32) -> Self {
        self.max_poll_records = records;
        self
    }

    /// A name that tells it from others, to whoever watches ([`Broker::snapshot`]): 1 to 249 bytes
    /// that print. It need not be the only one of that name. Default, as Kafka's: `consumer-1`,
    /// or in a group `consumer-billing-1`, with a number that counts the broker's consumers.
    ///
    /// [`Broker::snapshot`]: crate::Broker::snapshot
    pub fn client_id(mut self, name: impl AsRef<str>) -> Self {
        self.client_id = Some(name.as_ref().into());
        self
    }

    /// The group that it belongs to: 1 to 249 bytes that print. Default none.
    ///
    /// With a group, `subscribe` makes the consumer a member: the members share the partitions
    /// of their topics, each is read by one of them, and goes over to another when members come
    /// and go. `assign` makes it no member, but it begins where the group has committed, and may
    /// commit while the group has no members.
    pub fn group(mut self, name: impl AsRef<str>) -> Self {
        self.group = Some(name.as_ref().into());
        self
    }

    /// A name for this member that outlives it (Kafka's `group.instance.id`): 1 to 249 bytes that
    /// print. Default none.
    ///
    /// When such a member is dropped, its partitions are kept for it, and a consumer with the
    /// same name gets them back without a rebalance. They go to others when it has been away for
    /// [`max_poll_interval`](Self::max_poll_interval) (never, if that is off), or when it
    /// unsubscribes. If a second consumer comes with the name of a live one, the older is fenced
    /// for good.
    pub fn instance_id(mut self, name: impl AsRef<str>) -> Self {
        self.instance_id = Some(name.as_ref().into());
        self
    }

    /// Who gets which partition. All members of a group must use one of the same name. Default
    /// [`CooperativeStickyAssignor`].
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.assignor = Arc::new(assignor);
        self
    }

    /// Whether each poll of a member commits what the polls before it have returned: at least
    /// once, nothing is lost when a member dies. Default `true`.
    ///
    /// Kafka does so every five seconds because a commit costs it a request. Here it is one
    /// plain store, so it is done at every poll, and a partition that goes over to another
    /// member goes on exactly behind the last batch. Consumers that were `assign`ed their
    /// partitions commit only when told to.
    pub fn auto_commit(mut self, auto_commit: bool) -> Self {
        self.auto_commit = auto_commit;
        self
    }

    /// What a member keeps its producers from overwriting under `Backpressure`. Default
    /// [`HoldBack::Committed`].
    pub fn hold_back(mut self, hold_back: HoldBack) -> Self {
        self.hold_back = hold_back;
        self
    }

    /// A member that has not polled for so long is taken for dead, and its partitions go to
    /// others: 10 ms or more, or zero for never. Default five minutes, as Kafka's.
    ///
    /// Only other members that poll notice it, up to a quarter of the time (and 64 polls) later.
    /// The dead one's next poll or commit is [`Fenced`](crate::ConsumeError::Fenced); the poll after that joins
    /// again.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = interval;
        self
    }

    /// Takes the time from `clock`, for tests.
    #[doc(hidden)]
    pub fn clock(mut self, clock: fn() -> Duration) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConsumeError> {
        if self.max_poll_records == 0 {
            return Err(ConsumeError::InvalidConfig {
                setting: "max_poll_records",
                value: 0,
                min: 1,
                max: u32::MAX.into(),
            });
        }
        if !self.max_poll_interval.is_zero() && self.max_poll_interval < MIN_POLL_INTERVAL {
            return Err(ConsumeError::InvalidConfig {
                setting: "max_poll_interval (ms)",
                value: self.max_poll_interval.as_millis() as u64,
                min: MIN_POLL_INTERVAL.as_millis() as u64,
                max: u64::MAX,
            });
        }
        let names = [
            ("group", &self.group),
            ("instance_id", &self.instance_id),
            ("client_id", &self.client_id),
        ];
        for (setting, name) in names {
            let Some(name) = name else { continue };
            if let Some(reason) = name_fault(name) {
                return Err(ConsumeError::InvalidName {
                    setting,
                    name: name.as_ref().to_owned(),
                    reason,
                });
            }
        }
        if self.instance_id.is_some() && self.group.is_none() {
            return Err(ConsumeError::NoGroup {
                asked: "instance_id",
            });
        }
        Ok(())
    }
}

/// Kafka's limit.
const MAX_NAME: usize = 249;

/// Why this cannot be the name of a topic, a group or a member.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    let unprintable = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}')
    };
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > MAX_NAME {
        Some("it is longer than 249 bytes")
    } else if name.chars().any(unprintable) {
        Some("it has a character that does not print")
    } else {
        None
    }
}
