//! The gathering producer: records are gathered by partition, and go into the log as frames.
//!
//! A frame of 64 records takes one claim, one descriptor and one clock's time, where 64 sends take
//! as many of each. Kafka's producer does the same with its record accumulator.
//!
//! | file | what it holds |
//! |---|---|
//! | `config.rs` | [`GatheringConfig`]: when gathered records go into the log |
//! | `gather.rs`, `flush.rs` | the steps of a send and of a flush, for both handles |
//! | `buffer.rs` | one partition's gathered records |
//! | `ticket.rs` | [`Ticket`]s and callbacks |
//! | `tasks.rs` | the futures |
//! | `shared.rs` | [`SharedGatheringProducer`]: the handle for many threads and tasks |
//!
//! `log/segment/gathered_frame.rs` has the bytes.

mod buffer;
mod config;
mod flush;
mod gather;
mod shared;
mod tasks;
mod ticket;

pub use config::GatheringConfig;
pub use shared::SharedGatheringProducer;
pub use ticket::Ticket;

use super::appender::WhenFull;
use super::{BatchMetadata, Claim, Producer, ProducerMode};
use crate::error::{BatchError, CloseError, FlushError, SendError};
use crate::events::event;
use crate::log::segment::SharedMode;
use crate::owned_record::UnsentRecord;
use crate::record::{Destination, FrameMetadata, Record, RecordMetadata};
use crate::wait::contain_panic;
use buffer::GatherBuffer;
use core::fmt;
use gather::{Buffers, Gathering, Schedule, Sent};
use std::time::Duration;
use ticket::{Callback, Follower};
use zerocopy::{Immutable, IntoBytes};

impl<M: ProducerMode> Producer<M> {
    /// Makes it a [`GatheringProducer`], whose sends gather records and append them by the batch.
    ///
    /// The partitions' buffers are allocated with their first records, and freed with the producer:
    /// [`batch_bytes`](GatheringConfig::batch_bytes) each, and 8 bytes for each of
    /// [`batch_records`](GatheringConfig::batch_records). They are not part of the topic's memory.
    pub fn gathering(self, config: GatheringConfig) -> GatheringProducer<M> {
        let limits = config.limits(self.appenders.topic.pool().shape());
        GatheringProducer {
            buffers: OwnBuffers::default(),
            schedule: Schedule::new(limits),
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
/// they were sent. Records that are too large to be gathered, and what
/// [`send_now`](Self::send_now), [`send_batch`](Self::send_batch),
/// [`send_values`](Self::send_values) and [`claim`](Self::claim) append, keep their place too.
///
/// # What a send's result means
///
/// `Ok` means that the record is gathered, or in the log. Where it went is known later: from a
/// [ticket](Self::send_with_ticket) or in a [callback](Self::send_with_callback). `Err` means that
/// it is neither, and is still the caller's; all records that were gathered before stay gathered.
///
/// A partition that is full under [`Overflow::Backpressure`](crate::Overflow::Backpressure) refuses
/// a record that can be gathered only when its buffer is full too.
///
/// # Errors
///
/// Of sends, those of a [`Producer`](Producer#errors). Of flushes, [`FlushError`]. No record is lost
/// by an error, and none is sent twice: what a flush could not send stays gathered, for the next
/// attempt, for [`take_unsent`](Self::take_unsent) or for [`close`](Self::close), which give the
/// records back. The drop of a producer waits for room as a flush does, which blocks the thread up
/// to [`max_block`](Self::max_block), unless a panic unwinds. What it cannot send then is lost; its
/// tickets and callbacks get the error. So `close`, or flush, before.
pub struct GatheringProducer<M: ProducerMode = SharedMode> {
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
        Gathering::new(&mut self.producer, &mut self.buffers, &self.schedule)
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
    /// disturb the call. If the send itself fails, the callback is dropped. Each callback allocates
    /// memory.
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

    /// Appends a record at once, after what is gathered for its partition: for a record that must
    /// not wait, or whose offset is needed now.
    ///
    /// # Errors
    /// See [`GatheringProducer`]. If the records before it cannot be sent, it is not appended.
    pub fn send_now(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        let mut gathering = self.gathering();
        let planned = gathering.plan(&record)?;
        Ok(gathering.send_alone(planned, &record, WhenFull::Block)?)
    }

    /// Sends all gathered records, then a batch: [`Producer::send_batch`].
    ///
    /// # Errors
    /// As there. If some gathered records cannot be sent, nothing of the batch is appended.
    pub fn send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> Result<BatchMetadata<'a>, BatchError> {
        let flushed = self.flush();
        flushed.map_err(|FlushError { cause, .. }| BatchError {
            cause,
            appended: 0,
            refused: (0..records.len()).collect(),
        })?;
        self.producer.send_batch(records)
    }

    /// Sends all gathered records, then fixed-size values: [`Producer::send_values`].
    ///
    /// # Errors
    /// See [`GatheringProducer`]. If some gathered records cannot be sent, no value is appended.
    pub fn send_values<T: IntoBytes + Immutable>(
        &mut self,
        destination: Destination<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        self.flush().map_err(|error| error.cause)?;
        self.producer.send_values(destination, values)
    }

    /// Sends all gathered records, then claims room for a record: [`Producer::claim`].
    ///
    /// # Errors
    /// See [`GatheringProducer`]. If some gathered records cannot be sent, nothing is claimed.
    pub fn claim(
        &mut self,
        destination: Destination<'_>,
        key: Option<&[u8]>,
        len: usize,
    ) -> Result<Claim<'_>, SendError> {
        self.flush().map_err(|error| error.cause)?;
        self.producer.claim(destination, key, len)
    }

    /// Sends all gathered records. Where partitions are full, waits for room in all of them, up to
    /// [`max_block`](Self::max_block).
    ///
    /// # Errors
    /// [`FlushError`]: some partition refused its records. Those of the others were sent, as far as
    /// they had room. The rest stays gathered.
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
        self.gathering().flush_due()
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
    /// let elsewhere = broker.create_topic("orders.kept", TopicConfig::new())?;
    /// let mut elsewhere = elsewhere.producer();
    /// topic.close();
    /// assert!(producer.flush().is_err());
    /// for record in producer.take_unsent() {
    ///     elsewhere.send(record.as_record(&mut Vec::new()))?;
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

/// The ticket of a record that was sent. If it is in the log already, its callback is called.
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

/// The end of a handle that may have gathered records. While a panic unwinds it does not wait. If the
/// topic's clock panics, the records are lost as those without room are.
fn flush_at_drop<M: ProducerMode, B: Buffers>(mut gathering: Gathering<'_, M, B>) {
    if gathering.gathered() == 0 {
        return;
    }
    let when_full = match std::thread::panicking() {
        true => WhenFull::Fail,
        false => WhenFull::Block,
    };
    let topic = gathering.producer.appenders.topic.name().clone();
    let mut refusal = Some(SendError::Withdrawn { topic });
    contain_panic(|| refusal = gathering.flush(when_full).err().map(SendError::from));
    let Some(cause) = refusal else {
        return;
    };
    let lost = gathering.take_back(&cause);
    event!(
        error,
        "gathered records lost at drop",
        topic = gathering.producer.topic(),
        records = lost.len(),
        cause = cause.to_string(),
    );
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
