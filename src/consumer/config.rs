use crate::clock;
use crate::error::ConsumeError;
use crate::group::{Assignor, CooperativeStickyAssignor};
use crate::log::cursor::OffsetReset;
use crate::topic::name_fault;
use std::sync::Arc;
use std::time::Duration;

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
            clock: clock::since_start,
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
