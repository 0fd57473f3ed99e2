//! A consumer's configuration, and what is checked of it.

use super::progress::ReadProgress;
use crate::clock;
use crate::error::ConsumeError;
use crate::group::{Assignor, CooperativeStickyAssignor};
use crate::log::cursor::OffsetReset;
use crate::name::name_fault;
use std::sync::Arc;
use std::time::Duration;

/// What a consumer or a group keeps producers from overwriting under
/// [`Overflow::Backpressure`](crate::Overflow::Backpressure).
///
/// A topic may have readers of each kind. Its producers wait for the readers that hold records
/// back, and for no other:
///
/// ```
/// # use ringlog::{Broker, ConsumerConfig, HoldBack, Record, TopicConfig};
/// # let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new().segments(2).segment_records(1))?;
/// let mut recorder = broker.consumer(ConsumerConfig::new())?;
/// recorder.subscribe(["orders"])?;
/// let mut logger = broker.consumer(ConsumerConfig::new().hold_back(HoldBack::Nothing))?;
/// logger.subscribe(["orders"])?;
///
/// for order in ["first", "second", "third"] {
///     topic.producer().send(Record::new(order))?;
///     assert_eq!(recorder.try_poll()?.len(), 1);
/// }
/// // Two segments of one record each: the logger did not keep up, and was lapped.
/// let batch = logger.try_poll()?;
/// assert_eq!((batch.lost(), batch.first_offset()), (1, Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum HoldBack {
    /// Everything from the committed offset on. The partition's next owner continues there and
    /// misses nothing. A group that commits seldom soon makes its producers wait. One that never
    /// commits stops them for good when the segments are full.
    ///
    /// Outside groups: everything from the position on.
    #[default]
    Committed,
    /// Everything from the position on. What was read but not
    /// committed may be gone when another member begins at the committed offset; then
    /// [`Batch::lost`](crate::Batch::lost) says how much. In a partition without an owner, what is
    /// still retained from the committed offset on is kept.
    Read,
    /// Nothing: the consumer may be lapped, as all are under
    /// [`DropOldest`](crate::Overflow::DropOldest). Producers never wait for it, wherever it begins
    /// or seeks to, and [`Batch::lost`](crate::Batch::lost) counts what it has not read in time.
    ///
    /// For a group this is a property of the whole group: its members must agree.
    Nothing,
}

/// How far a consumer reads in a durable topic: its high watermark, as Kafka calls it. A topic in
/// memory has no such limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ReadUpTo {
    /// Everything that was sent, as in every topic.
    #[default]
    Sent,
    /// What is [written](crate::Topic::written_end) to its file, which is about a millisecond later:
    /// for consumers that must not see what a crash of the process may take back. When the files
    /// [take no more](crate::Topic::write_error): everything that was sent.
    Written,
    /// What is [durable](crate::Topic::durable_end): for consumers that must not see what a power cut
    /// may take back. When a topic was closed because its files have failed, it ends after the last
    /// durable record.
    Durable,
}

/// The configuration of a [`Consumer`](crate::Consumer). Each setting has a default.
///
/// The settings are checked by [`Broker::consumer`](crate::Broker::consumer).
///
/// ```
/// use ringlog::{Broker, ConsumerConfig, OffsetReset};
///
/// let config = ConsumerConfig::new()
///     .group("billing")
///     .offset_reset(OffsetReset::Latest)
///     .max_poll_records(100);
/// let consumer = Broker::new().consumer(config)?;
/// assert_eq!(consumer.client_id(), "consumer-billing-1");
/// # Ok::<(), ringlog::ConsumeError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ConsumerConfig {
    pub(super) offset_reset: OffsetReset,
    pub(super) max_poll_records: u32,
    pub(super) max_poll_pause: Duration,
    pub(super) fetch_min_records: u32,
    pub(super) fetch_max_wait: Duration,
    pub(super) client_id: Option<Arc<str>>,
    pub(super) group: Option<Arc<str>>,
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) assignor: Arc<dyn Assignor>,
    pub(super) auto_commit: bool,
    pub(super) hold_back: HoldBack,
    pub(super) read_up_to: ReadUpTo,
    pub(super) read_after: Vec<ReadProgress>,
    pub(super) read_after_groups: Vec<Arc<str>>,
    pub(super) max_poll_interval: Duration,
    pub(super) wait_for_topics: bool,
    pub(super) clock: Clock,
}

/// A clock: the time since a fixed moment, which is the same for all consumers of a group.
pub(super) type Clock = fn() -> Duration;

/// The smallest `max_poll_interval`. A thread that waits in `poll` may sleep for 1 ms at a time.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(10);

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            offset_reset: OffsetReset::default(),
            max_poll_records: 500,
            max_poll_pause: Duration::from_micros(100),
            fetch_min_records: 1,
            fetch_max_wait: Duration::from_millis(500),
            client_id: None,
            group: None,
            instance_id: None,
            assignor: Arc::new(CooperativeStickyAssignor),
            auto_commit: true,
            hold_back: HoldBack::default(),
            read_up_to: ReadUpTo::default(),
            read_after: Vec::new(),
            read_after_groups: Vec::new(),
            max_poll_interval: Duration::from_secs(300),
            wait_for_topics: false,
            clock: clock::since_start,
        }
    }
}

impl ConsumerConfig {
    /// The defaults: no group, from the earliest record, at most 500 records a poll.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to begin in a partition without a position, and what to do about a position outside
    /// what is retained. Default [`OffsetReset::Earliest`].
    ///
    /// In a group this applies to partitions that the group has not read yet. In the others a
    /// member begins where the group was.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// The most records in one batch: 1 or more. Default 500, as in Kafka.
    pub fn max_poll_records(mut self, records: u32) -> Self {
        self.max_poll_records = records;
        self
    }

    /// The longest time that a record may wait because the consumer [paces](crate::Consumer::poll)
    /// its polls behind a fast producer. Default 100 µs; zero for no pauses.
    ///
    /// It is the sum of the pauses in which each partition that has records is read once. (With more
    /// than 16 partitions, a record in one that had none lately may wait for more.) With one
    /// partition and one consumer a pause takes about as long as 4,096 records take to come. The
    /// thread yields meanwhile, also that of a task: what the system then gives to other threads comes
    /// on top.
    pub fn max_poll_pause(mut self, pause: Duration) -> Self {
        self.max_poll_pause = pause;
        self
    }

    /// The fewest records that [`poll`](crate::Consumer::poll) and
    /// [`next_batch`](crate::Consumer::next_batch) wait for (Kafka's `fetch.min.bytes`, in records):
    /// 1 or more. Default 1.
    ///
    /// It is for consumers that work better on many records at a time, such as one that writes them
    /// to a file. They are woken seldom, and their producers are left alone meanwhile. The records
    /// of all partitions count together, except paused ones. A batch is still of one partition, and
    /// of [`max_poll_records`](Self::max_poll_records) at most. So when there are enough, the next
    /// polls return all of them without waiting again.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let config = ConsumerConfig::new()
    ///     .fetch_min_records(100)
    ///     .fetch_max_wait(Duration::from_millis(20));
    /// let mut archive = broker.consumer(config)?;
    /// archive.subscribe(["orders"])?;
    /// let mut producer = topic.producer();
    /// for _ in 0..100 {
    ///     producer.send(Record::new("order"))?;
    /// }
    /// assert_eq!(archive.next_batch()?.len(), 100);
    ///
    /// // Three records are fewer than 100. They are returned after 20 ms.
    /// for _ in 0..3 {
    ///     producer.send(Record::new("order"))?;
    /// }
    /// assert_eq!(archive.next_batch()?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Fewer are returned:
    ///
    /// - after [`fetch_max_wait`](Self::fetch_max_wait), or at the poll's timeout;
    /// - when waiting would stop producers or lose records: a producer has found no room, the
    ///   consumer was lapped, or the records reach into the second half of their partition's ring.
    ///   With [`retention`](crate::TopicConfig::retention), if the consumer may be lapped, it is
    ///   enough that they reach into a second segment;
    /// - when the topic is closed, as no more come;
    /// - now and then where a segment ends: behind it, records count that are still being written.
    ///
    /// An error ends the wait, and so does a [`WakeupHandle`](crate::WakeupHandle). A member of a
    /// group that waits counts as alive.
    ///
    /// [`try_poll`](crate::Consumer::try_poll) and a poll with a timeout of zero do not wait, and
    /// take what there is. So do [`poll_async`](crate::Consumer::poll_async) and streams, as a future
    /// has no timer: let such a task sleep between its polls instead.
    pub fn fetch_min_records(mut self, records: u32) -> Self {
        self.fetch_min_records = records;
        self
    }

    /// How long a poll waits at most for [`fetch_min_records`](Self::fetch_min_records), once there
    /// is a record (Kafka's `fetch.max.wait.ms`). Default 500 ms, as in Kafka; zero: polls do not
    /// wait for more than one record.
    ///
    /// It begins when the poll finds the first record. The time before that is limited only by the
    /// poll's timeout. A poll that waits for more counts the records now and then: it may find up to
    /// 1 ms late that there are enough.
    pub fn fetch_max_wait(mut self, wait: Duration) -> Self {
        self.fetch_max_wait = wait;
        self
    }

    /// A name for this consumer in snapshots ([`Broker::snapshot`]): 1 to 249 bytes that print. It
    /// need not be unique. Default, as in Kafka: `consumer-1`, or `consumer-billing-1` in a group,
    /// with a number that counts the broker's consumers.
    ///
    /// [`Broker::snapshot`]: crate::Broker::snapshot
    pub fn client_id(mut self, name: impl AsRef<str>) -> Self {
        self.client_id = Some(name.as_ref().into());
        self
    }

    /// The consumer's group: 1 to 249 bytes that print. Default none.
    ///
    /// With a group, [`subscribe`](crate::Consumer::subscribe) makes the consumer a member. The
    /// members share the partitions of their topics: each partition is read by one member, and
    /// moves to another when members join and leave.
    ///
    /// [`assign`](crate::Consumer::assign) does not make the consumer a member. But it begins at
    /// the group's committed offsets, and can commit while the group has no members.
    pub fn group(mut self, name: impl AsRef<str>) -> Self {
        self.group = Some(name.as_ref().into());
        self
    }

    /// A name for this member that outlives the consumer (Kafka's `group.instance.id`): 1 to 249
    /// bytes that print. It needs a [`group`](Self::group). Default none.
    ///
    /// When such a member is dropped or closed, the group keeps its partitions for it. A consumer
    /// of the same name gets them back without a rebalance. They move to other members when it has
    /// been away for [`max_poll_interval`](Self::max_poll_interval) (never, if that is off), or at
    /// once when it unsubscribes. If a second consumer joins with the name of a live one, the older
    /// one is fenced for good.
    pub fn instance_id(mut self, name: impl AsRef<str>) -> Self {
        self.instance_id = Some(name.as_ref().into());
        self
    }

    /// Decides which member of the group gets which partition. All members must use an assignor of
    /// the same name. Default [`CooperativeStickyAssignor`].
    pub fn assignor(mut self, assignor: impl Assignor + 'static) -> Self {
        self.assignor = Arc::new(assignor);
        self
    }

    /// Whether each poll of a member commits its positions: what the polls before it have returned,
    /// or where it was sent by a seek since. Default `true`.
    ///
    /// Delivery is then at least once: nothing is lost when a member dies. Kafka commits every five
    /// seconds, because a commit is a request there. Here it is one plain store, so each poll does
    /// it, and the next owner of a partition continues exactly after the last batch. (A position
    /// past the end of the log is not committed.) A consumer that was
    /// [`assign`](crate::Consumer::assign)ed its partitions commits only by
    /// [`commit`](crate::Consumer::commit) and [`commit_offsets`](crate::Consumer::commit_offsets).
    pub fn auto_commit(mut self, auto_commit: bool) -> Self {
        self.auto_commit = auto_commit;
        self
    }

    /// What the consumer keeps producers from overwriting under
    /// [`Backpressure`](crate::Overflow::Backpressure). Default [`HoldBack::Committed`].
    ///
    /// With [`HoldBack::Nothing`] that is nothing: the consumer may be lapped. Either all members of
    /// a group hold back nothing, or none does. A group without members takes the setting of the
    /// next consumer that joins it or commits for it; if that holds records back, what is still
    /// retained from the committed offsets on is kept from then on.
    pub fn hold_back(mut self, hold_back: HoldBack) -> Self {
        self.hold_back = hold_back;
        self
    }

    /// How far the consumer reads in durable topics. Default [`ReadUpTo::Sent`].
    pub fn read_up_to(mut self, read_up_to: ReadUpTo) -> Self {
        self.read_up_to = read_up_to;
        self
    }

    /// Makes the consumer a dependent reader: it reads only what the consumer of this
    /// [progress](crate::Consumer::progress) has read. Call it several times for several upstreams.
    ///
    /// It is the sequence barrier of the LMAX Disruptor (`handleEventsWith(journal).then(matcher)`).
    /// In each partition, polls return no record that an upstream has not read, and all that every
    /// upstream has read. What the upstream's thread did before happened before. A poll that waits
    /// is woken when an upstream has read more.
    ///
    /// - Each upstream must read the partitions that this consumer reads, so it is subscribed first.
    /// - When an upstream is closed, is dropped or reads other partitions, this consumer gets what
    ///   that has read. Then its polls fail with [`UpstreamError::Ended`], unless the topic is
    ///   closed and there is nothing more. If the upstream reads the partition again later, they
    ///   continue.
    /// - A seek back of an upstream takes nothing back. A seek or reset policy of this consumer
    ///   does not go past the limit: its polls return nothing until the upstreams are there.
    /// - Holding back producers, or being lapped, is as for any other consumer.
    /// - Members of one group should have the same upstreams, since each follows its own.
    ///
    /// ```
    /// use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    ///
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut journal = broker.consumer(ConsumerConfig::new())?;
    /// journal.subscribe(["orders"])?;
    /// let mut matcher = broker.consumer(ConsumerConfig::new().read_after(&journal.progress()))?;
    /// matcher.subscribe(["orders"])?;
    ///
    /// topic.producer().send(Record::new("buy"))?;
    /// assert!(matcher.try_poll()?.is_empty());
    /// assert_eq!(journal.try_poll()?.len(), 1); // writes it to disk
    /// assert!(matcher.try_poll()?.is_empty());
    /// assert!(journal.try_poll()?.is_empty()); // has written it
    /// assert_eq!(matcher.try_poll()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A consumer that would wait for itself is refused by [`Broker::consumer`] with
    /// [`UpstreamError::Circle`].
    ///
    /// [`UpstreamError::Ended`]: crate::UpstreamError::Ended
    /// [`UpstreamError::Circle`]: crate::UpstreamError::Circle
    /// [`Broker::consumer`]: crate::Broker::consumer
    pub fn read_after(mut self, progress: &ReadProgress) -> Self {
        self.read_after.push(progress.clone());
        self
    }

    /// Makes the consumer a dependent reader of a group: it reads only what the group has committed.
    /// See [`read_after`](Self::read_after).
    ///
    /// What the group has committed once counts as read, also if it commits a lower offset later.
    /// So do the records before the offset at which the group began. The group is created if there
    /// is none. While it has no members, or they do not read a topic, nothing more of that is read.
    /// If the group is deleted, polls fail with [`UpstreamError::Ended`] after what it had
    /// committed, until there is a group of that name again.
    ///
    /// [`UpstreamError::Ended`]: crate::UpstreamError::Ended
    pub fn read_after_group(mut self, name: impl AsRef<str>) -> Self {
        self.read_after_groups.push(name.as_ref().into());
        self
    }

    /// The longest time between two polls of a live member: 10 ms or more, or zero for no limit.
    /// Default five minutes, as in Kafka.
    ///
    /// A member that has not polled for longer is taken for dead, and its partitions move to other
    /// members. As in Kafka it is the time *between* polls that counts: a member that waits in a
    /// poll is alive, whether it is a thread in `poll` or a task in `poll_async` or a stream. Only
    /// other members that poll notice a dead one, up to a quarter of the interval (and 64
    /// polls) later. The expelled member's next poll or commit is
    /// [`Fenced`](crate::ConsumeError::Fenced). The poll after that joins again.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = interval;
        self
    }

    /// Whether [`subscribe`](crate::Consumer::subscribe) accepts names of topics that do not exist.
    /// Default `false`: they are an error.
    ///
    /// If it does, the consumer follows the topics of these names, as
    /// [`subscribe_pattern`](crate::Consumer::subscribe_pattern) follows the topics that match: one that
    /// is created after the subscription is read from its first record, one that is deleted is left
    /// without an error, and another one that is created with its name is read again. A name that
    /// no topic can have is still an error.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let mut consumer = broker.consumer(ConsumerConfig::new().wait_for_topics(true))?;
    /// consumer.subscribe(["orders"])?; // there is no such topic yet
    /// assert!(consumer.try_poll()?.is_empty());
    ///
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// topic.producer().send(Record::new("login"))?;
    /// assert_eq!(consumer.try_poll()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_topics(mut self, wait: bool) -> Self {
        self.wait_for_topics = wait;
        self
    }

    /// Whether producers have to wait for the consumer under `Backpressure`.
    pub(super) fn holds_back(&self) -> bool {
        self.hold_back != HoldBack::Nothing
    }

    /// Replaces the clock, for tests.
    #[doc(hidden)]
    pub fn clock(mut self, clock: fn() -> Duration) -> Self {
        self.clock = clock;
        self
    }

    /// Errors: `InvalidConfig`, `InvalidName`, and `NoGroup` for an `instance_id` without a group.
    pub(super) fn validate(&self) -> Result<(), ConsumeError> {
        let counts = [
            ("max_poll_records", self.max_poll_records),
            ("fetch_min_records", self.fetch_min_records),
        ];
        for (setting, count) in counts {
            if count == 0 {
                return Err(ConsumeError::InvalidConfig {
                    setting,
                    value: 0,
                    min: 1,
                    max: u32::MAX.into(),
                });
            }
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
        let names = names.into_iter().flat_map(|(setting, name)| {
            let name = name.iter();
            name.map(move |name| (setting, name))
        });
        let upstreams = self.read_after_groups.iter();
        for (setting, name) in names.chain(upstreams.map(|name| ("read_after_group", name))) {
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
