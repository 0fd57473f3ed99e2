//! The gathering producer: records are gathered by partition, and go into the log as frames.
//!
//! A frame of 64 records takes one claim, one descriptor and one clock's time, where 64 sends take
//! as many of each. Kafka's producer does the same with its record accumulator.
//!
//! | file | what it holds |
//! |---|---|
//! | `config.rs` | [`GatheringConfig`]: when gathered records go into the log |
//! | `gather.rs` | the steps of a send and of a flush, for both handles |
//! | `buffer.rs` | one partition's gathered records |
//! | `ticket.rs` | [`Ticket`]s and callbacks |
//! | `shared.rs` | [`SharedGatheringProducer`]: the handle for many threads and tasks |
//!
//! `log/segment/gathered_frame.rs` has the bytes.

mod buffer;
mod config;
mod gather;
mod shared;
mod ticket;

pub use config::GatheringConfig;
pub use shared::SharedGatheringProducer;
pub use ticket::Ticket;

use super::appender::{Refusal, WhenFull};
use super::send_async::report_wait;
use super::{Producer, ProducerMode};
use crate::error::{CloseError, FlushError, SendError};
use crate::events::event;
use crate::log::segment::SharedMode;
use crate::owned_record::UnsentRecord;
use crate::record::{Record, RecordMetadata};
use crate::wait::{Waiter, contain_panic};
use buffer::{GatherBuffer, Planned};
use core::fmt;
use core::future::{Future, poll_fn};
use core::mem::swap;
use core::task::{Poll, Waker};
use gather::{Buffers, Gathering, Schedule, Sent};
use std::time::Duration;
use ticket::{Callback, Follower};

impl<M: ProducerMode> Producer<M> {
    /// Makes it a [`GatheringProducer`], whose sends gather records and append them by the batch.
    ///
    /// The partitions' buffers are allocated with their first records:
    /// [`batch_bytes`](GatheringConfig::batch_bytes) each.
    pub fn gathering(self, config: GatheringConfig) -> GatheringProducer<M> {
        let limits = config.limits(self.appenders.topic.pool().shape());
        GatheringProducer {
            buffers: OwnBuffers::default(),
            schedule: Schedule::new(limits, false),
            producer: self,
        }
    }
}

/// Sends records to one topic by gathering them: a send copies its record into a buffer of its
/// partition, and the buffer goes into the log as one frame. That takes less time than a
/// [`Producer`]'s sends, above all where records have keys and partitions are many.
///
/// A partition's records go into the log
///
/// - when [`batch_records`](GatheringConfig::batch_records) or
///   [`batch_bytes`](GatheringConfig::batch_bytes) are reached;
/// - when the first of them has waited for [`linger`](GatheringConfig::linger), with the next send
///   to any partition, or with [`flush_due`](Self::flush_due);
/// - with a [`flush`](Self::flush), a [`close`](Self::close), or at last when the producer is
///   dropped.
///
/// There is no thread behind it. **What is gathered before a pause stays gathered until the next
/// call**: so flush before a wait, such as when an input is drained, or call `flush_due` from a
/// timer of your own ([`linger_left`](Self::linger_left) says when).
///
/// ```
/// use ringlog::{Broker, ConsumerConfig, GatheringConfig, Record, TopicConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// consumer.subscribe(["orders"])?;
///
/// let mut producer = topic.producer().gathering(GatheringConfig::new());
/// for user in 0..100u32 {
///     producer.send(Record::new("login").key(&user.to_le_bytes()))?;
/// }
/// producer.flush()?;
/// let mut seen = 0;
/// while seen < 100 {
///     seen += consumer.next_batch()?.len();
/// }
/// # Ok(())
/// # }
/// ```
///
/// Readers see a frame whole. Its records have one timestamp, the time when the frame was appended,
/// unless they were given one.
///
/// # Order
///
/// A producer's records of one partition, and so of one key, are in the log in the order in which
/// they were sent, also those that are too large to be gathered, and those of
/// [`send_now`](Self::send_now) and [`plain`](Self::plain).
///
/// # What a send's result means
///
/// `Ok` means that the record is gathered, or in the log. Where it went is known later: from a
/// [ticket](Self::send_with_ticket) or in a [callback](Self::send_with_callback). `Err` means that
/// it is neither, and is still the caller's; all records that were gathered before stay gathered.
///
/// A partition that is full under [`Overflow::Backpressure`](crate::Overflow::Backpressure) refuses
/// a send only when its buffer is full too.
///
/// # Errors
///
/// Of sends, those of a [`Producer`](Producer#errors). Of flushes, [`FlushError`]. No record is lost
/// by an error, and none is sent twice: what a flush could not send stays gathered, for the next
/// attempt, for [`take_unsent`](Self::take_unsent) or for [`close`](Self::close), which give the
/// records back. If the producer is dropped, what it cannot send is lost; its tickets and callbacks
/// get the error.
pub struct GatheringProducer<M: ProducerMode = SharedMode> {
    // Before the producer: its callbacks may hold what the user drops with it.
    buffers: OwnBuffers,
    schedule: Schedule,
    producer: Producer<M>,
}

/// The buffers of a producer that is used by one call at a time.
#[derive(Default)]
struct OwnBuffers(Vec<GatherBuffer>);

impl Buffers for &mut OwnBuffers {
    #[inline(always)]
    fn with<R>(&mut self, partition: u32, step: impl FnOnce(&mut GatherBuffer) -> R) -> R {
        let partition = partition as usize;
        if partition >= self.0.len() {
            self.extend_to(partition + 1);
        }
        step(&mut self.0[partition])
    }

    fn partitions(&self) -> u32 {
        self.0.len() as u32
    }
}

impl OwnBuffers {
    #[cold]
    fn extend_to(&mut self, partitions: usize) {
        self.0.resize_with(partitions, GatherBuffer::default);
    }
}

impl<M: ProducerMode> GatheringProducer<M> {
    #[inline(always)]
    fn gathering(&mut self) -> Gathering<'_, M, &mut OwnBuffers> {
        Gathering {
            producer: &mut self.producer,
            buffers: &mut self.buffers,
            schedule: &self.schedule,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.producer.topic()
    }

    /// How long a call waits for room: [`Producer::max_block`].
    pub fn max_block(&self) -> Duration {
        self.producer.max_block()
    }

    /// Sets how long a call waits for room: [`Producer::set_max_block`].
    pub fn set_max_block(&mut self, limit: Duration) {
        self.producer.set_max_block(limit);
    }

    /// Gathers a record. If its partition's buffer is full, and so is the partition, waits for
    /// room, up to [`max_block`](Self::max_block).
    ///
    /// # Errors
    /// See [`GatheringProducer`].
    #[inline(always)]
    pub fn send(&mut self, record: Record<'_>) -> Result<(), SendError> {
        self.gather_unfollowed(&record, WhenFull::Block)
    }

    /// Gathers a record if there is room at once. Otherwise as [`send`](Self::send).
    ///
    /// # Errors
    /// See [`GatheringProducer`].
    #[inline(always)]
    pub fn try_send(&mut self, record: Record<'_>) -> Result<(), SendError> {
        self.gather_unfollowed(&record, WhenFull::Fail)
    }

    /// [`send`](Self::send), with a [`Ticket`] that has the record's partition and offset once they
    /// are known. The first ticket of a batch allocates memory.
    ///
    /// # Errors
    /// See [`GatheringProducer`].
    pub fn send_with_ticket(&mut self, record: Record<'_>) -> Result<Ticket, SendError> {
        let ticket = self.gather(&record, Follower::Ticket, WhenFull::Block)?;
        Ok(ticket.unwrap_or_else(|| unreachable!("a ticket was asked for")))
    }

    /// [`send`](Self::send), with a callback: it is called once, with the record's metadata, by the
    /// call that appends the record. Or with why the record will never be in the log, as a
    /// [`Ticket`](Ticket#errors) has it.
    ///
    /// Callbacks are called in the order of the records of a partition. One that panics does not
    /// disturb the call. If the send itself fails, the callback is dropped.
    ///
    /// ```
    /// # use ringlog::{Broker, GatheringConfig, Record, TopicConfig};
    /// # let topic = Broker::new().create_topic("orders", TopicConfig::new())?;
    /// let mut producer = topic.producer().gathering(GatheringConfig::new());
    /// producer.send_with_callback(Record::new("login"), |sent| match sent {
    ///     Ok(metadata) => println!("at offset {}", metadata.offset),
    ///     Err(error) => eprintln!("not sent: {error}"),
    /// })?;
    /// producer.flush()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`GatheringProducer`].
    pub fn send_with_callback(
        &mut self,
        record: Record<'_>,
        callback: impl FnOnce(Result<RecordMetadata, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let follower = Follower::Callback(Box::new(callback));
        self.gather(&record, follower, WhenFull::Block)?;
        Ok(())
    }

    /// Appends a record at once, after those that are gathered for its partition: for a record that
    /// must not wait, or whose offset is needed now.
    ///
    /// # Errors
    /// See [`GatheringProducer`]. If those before it cannot be sent, the record is not appended.
    pub fn send_now(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        let mut gathering = self.gathering();
        let planned = gathering.plan(&record)?;
        Ok(gathering.send_alone(planned.partition, &record, WhenFull::Block)?)
    }

    /// Sends all gathered records, then lends the producer inside, for its other calls
    /// ([`send_batch`](Producer::send_batch), [`send_values`](Producer::send_values),
    /// [`claim`](Producer::claim)).
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn plain(&mut self) -> Result<&mut Producer<M>, FlushError> {
        self.flush()?;
        Ok(&mut self.producer)
    }

    /// Sends all gathered records. Waits for room in each partition that is full, up to
    /// [`max_block`](Self::max_block).
    ///
    /// # Errors
    /// [`FlushError`]: some partition refused its records. Those of the partitions before it were
    /// sent, and those of the others if they did not have to wait. The rest stays gathered.
    pub fn flush(&mut self) -> Result<(), FlushError> {
        self.flush_or(WhenFull::Block)
    }

    /// Sends all gathered records for which there is room at once.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn try_flush(&mut self) -> Result<(), FlushError> {
        self.flush_or(WhenFull::Fail)
    }

    /// Sends the gathered records of the partitions whose first one has waited for
    /// [`linger`](GatheringConfig::linger), where there is room at once: to be called by a timer.
    /// Those for which there is no room linger once more.
    ///
    /// # Errors
    /// [`FlushError`]: some partition refused its records. Those of the others were sent.
    pub fn flush_due(&mut self) -> Result<(), FlushError> {
        let now = self.producer.clock.now();
        let mut gathering = self.gathering();
        let appended = gathering.append_due(now);
        appended.map_err(|cause| gathering.flush_error(cause))
    }

    /// How long until a gathered record has waited for [`linger`](GatheringConfig::linger), and
    /// [`flush_due`](Self::flush_due) would send it; zero if it has already. `None` if nothing is
    /// gathered.
    pub fn linger_left(&mut self) -> Option<Duration> {
        self.gathering().linger_left()
    }

    /// The number of gathered records that are not in the log yet.
    pub fn gathered(&self) -> usize {
        self.buffers.0.iter().map(GatherBuffer::len).sum()
    }

    /// Takes back all gathered records, by partition and in the order in which they were sent.
    /// Their tickets and callbacks get [`SendError::Withdrawn`].
    ///
    /// ```
    /// # use ringlog::{Broker, GatheringConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut producer = topic.producer().gathering(GatheringConfig::new());
    /// producer.send(Record::new("login").key("user-001"))?;
    /// topic.close();
    /// assert!(producer.flush().is_err());
    /// let mut headers = Vec::new();
    /// for record in producer.take_unsent() {
    ///     let again = record.as_record(&mut headers);
    ///     assert_eq!(again, Record::new("login").key("user-001"));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take_unsent(&mut self) -> Vec<UnsentRecord> {
        let topic = self.producer.appenders.topic.name().clone();
        self.gathering().take_back(&SendError::Withdrawn { topic })
    }

    /// Sends all gathered records, as [`flush`](Self::flush) does, and ends the producer.
    ///
    /// # Errors
    /// [`CloseError`], which has the records that could not be sent.
    pub fn close(mut self) -> Result<(), CloseError> {
        let Err(FlushError { cause, .. }) = self.flush() else {
            return Ok(());
        };
        let records = self.gathering().take_back(&cause);
        Err(CloseError { cause, records })
    }

    // ---- for tasks ----------------------------------------------------------------------

    /// Gathers a record: [`send`](Self::send) for a task, which waits for room without blocking its
    /// thread. [`max_block`](Self::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, the record was neither gathered nor appended.
    ///
    /// # Errors
    /// See [`GatheringProducer`]; never `Full`.
    pub fn send_async<'a>(
        &'a mut self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<(), SendError>> + Send + use<'a, M> {
        let mut pending = PendingSend::new(record, Follower::Nothing);
        self.future(move |gathering, waker| pending.poll(gathering, waker).map_ok(drop))
    }

    /// [`send_with_ticket`](Self::send_with_ticket) for a task, as [`send_async`](Self::send_async).
    ///
    /// # Errors
    /// See [`GatheringProducer`]; never `Full`.
    pub fn send_with_ticket_async<'a>(
        &'a mut self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<Ticket, SendError>> + Send + use<'a, M> {
        let mut pending = PendingSend::new(record, Follower::Ticket);
        self.future(move |gathering, waker| {
            let sent = pending.poll(gathering, waker);
            sent.map_ok(|ticket| ticket.unwrap_or_else(|| unreachable!("a ticket was asked for")))
        })
    }

    /// Sends all gathered records, each partition's as soon as there is room for them:
    /// [`flush`](Self::flush) for a task. [`max_block`](Self::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, some partitions' records may have been sent;
    /// the others stay gathered.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); never `Full`.
    pub fn flush_async(
        &mut self,
    ) -> impl Future<Output = Result<(), FlushError>> + Send + use<'_, M> {
        let mut full_partition = None;
        self.future(move |gathering, waker| poll_flush(gathering, &mut full_partition, waker))
    }

    /// A future whose polls have an enrolment of their own, which is withdrawn when it is dropped.
    /// Once it was ready it stays pending.
    fn future<'a, T>(
        &'a mut self,
        mut poll: impl FnMut(&mut Gathering<'_, M, &mut OwnBuffers>, &Waker) -> Poll<T> + 'a,
    ) -> impl Future<Output = T> {
        let mut waiter = Some(Waiter::default());
        poll_fn(move |context| {
            let Some(own) = &mut waiter else {
                return Poll::Pending;
            };
            swap(&mut self.producer.appenders.waiter, own);
            let polled = poll(&mut self.gathering(), context.waker());
            swap(&mut self.producer.appenders.waiter, own);
            if polled.is_ready() {
                waiter = None;
            }
            polled
        })
    }

    // ---- the path of a send -------------------------------------------------------------

    /// Gathers a record that nothing follows.
    #[inline(always)]
    fn gather_unfollowed(
        &mut self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<(), SendError> {
        if self.gathering().try_send(record) {
            return Ok(());
        }
        // A copy, so that the record itself need not be in memory on the fast path.
        let record = *record;
        self.gather(&record, Follower::Nothing, when_full).map(drop)
    }

    /// Gathers a record. Returns the ticket that the follower asks for.
    #[inline(never)]
    fn gather(
        &mut self,
        record: &Record<'_>,
        mut follower: Follower,
        when_full: WhenFull<'_>,
    ) -> Result<Option<Ticket>, SendError> {
        let mut gathering = self.gathering();
        let planned = gathering.plan(record)?;
        let sent = gathering.send(planned, record, &mut follower, when_full)?;
        Ok(follow_up(sent, follower))
    }

    fn flush_or(&mut self, when_full: WhenFull<'_>) -> Result<(), FlushError> {
        let mut gathering = self.gathering();
        let flushed = gathering.flush(when_full);
        flushed.map_err(|refusal| gathering.flush_error(refusal.into()))
    }
}

/// The ticket of a record that was sent. If it went into the log by itself, its callback is called.
fn follow_up(sent: Sent, follower: Follower) -> Option<Ticket> {
    match (sent, follower) {
        (Sent::Gathered(ticket), _) => ticket,
        (Sent::Appended(_), Follower::Nothing) => None,
        (Sent::Appended(metadata), Follower::Ticket) => Some(Ticket::appended(metadata)),
        (Sent::Appended(metadata), Follower::Callback(callback)) => {
            call(callback, metadata);
            None
        }
    }
}

#[cold]
fn call(callback: Callback, metadata: RecordMetadata) {
    contain_panic(|| callback(Ok(metadata)));
}

/// What a future that gathers a record keeps between two polls.
struct PendingSend<'a> {
    record: Record<'a>,
    follower: Follower,
    /// Where it goes, once it was routed.
    planned: Option<Planned>,
    full_partition: Option<u32>,
}

impl<'a> PendingSend<'a> {
    fn new(record: Record<'a>, follower: Follower) -> Self {
        PendingSend {
            record,
            follower,
            planned: None,
            full_partition: None,
        }
    }

    fn poll<M: ProducerMode, B: Buffers>(
        &mut self,
        gathering: &mut Gathering<'_, M, B>,
        waker: &Waker,
    ) -> Poll<Result<Option<Ticket>, SendError>> {
        let planned = match self.planned {
            Some(planned) => planned,
            None => *self.planned.insert(gathering.plan(&self.record)?),
        };
        let when_full = WhenFull::Enrol(waker);
        match gathering.send(planned, &self.record, &mut self.follower, when_full) {
            Ok(sent) => {
                let follower = core::mem::replace(&mut self.follower, Follower::Nothing);
                Poll::Ready(Ok(follow_up(sent, follower)))
            }
            Err(Refusal::Pending { partition }) => {
                report_wait(&mut self.full_partition, partition, gathering.producer);
                Poll::Pending
            }
            Err(refusal) => Poll::Ready(Err(refusal.into())),
        }
    }
}

/// One poll of a future that flushes.
fn poll_flush<M: ProducerMode, B: Buffers>(
    gathering: &mut Gathering<'_, M, B>,
    full_partition: &mut Option<u32>,
    waker: &Waker,
) -> Poll<Result<(), FlushError>> {
    match gathering.flush(WhenFull::Enrol(waker)) {
        Ok(()) => Poll::Ready(Ok(())),
        Err(Refusal::Pending { partition }) => {
            report_wait(full_partition, partition, gathering.producer);
            Poll::Pending
        }
        Err(refusal) => Poll::Ready(Err(gathering.flush_error(refusal.into()))),
    }
}

/// The end of a handle that may have gathered records. While a panic unwinds it does not wait.
fn flush_at_drop<M: ProducerMode, B: Buffers>(mut gathering: Gathering<'_, M, B>) {
    if gathering.gathered() == 0 {
        return;
    }
    let when_full = match std::thread::panicking() {
        true => WhenFull::Fail,
        false => WhenFull::Block,
    };
    let Err(refusal) = gathering.flush(when_full) else {
        return;
    };
    let cause = refusal.into();
    let lost = gathering.take_back(&cause);
    event!(
        error,
        "gathered records lost at drop",
        topic = gathering.producer.topic(),
        records = lost.len(),
        cause = cause.to_string(),
    );
    let _ = lost;
}

impl<M: ProducerMode> Drop for GatheringProducer<M> {
    fn drop(&mut self) {
        flush_at_drop(self.gathering());
    }
}

impl<M: ProducerMode> fmt::Debug for GatheringProducer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatheringProducer")
            .field("producer", &self.producer)
            .field("gathered", &self.gathered())
            .finish_non_exhaustive()
    }
}
