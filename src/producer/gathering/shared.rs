//! [`SharedGatheringProducer`]: a gathering producer for many threads and tasks at once, by `&self`.
//!
//! All clones gather into the same buffers, one for each partition, so that a thread's records of
//! one key stay in order whichever clone it uses. A buffer has a lock of its own, which a call
//! holds while it copies a record into the buffer, or the buffer into the log. Routing, waiting for
//! room and the user's code happen outside of it. Each call runs on a producer of the pool
//! (`producer/producer_pool.rs`).
//!
//! An append to a log that is shared by all would need no lock; but it would be the log itself:
//! [`SharedProducer`](super::super::SharedProducer) is that.

use super::buffer::GatherBuffer;
use super::config::GatheringConfig;
use super::gather::{Buffers, Gathering, Schedule};
use super::tasks::{PendingSend, poll_flush};
use super::ticket::{Follower, Ticket};
use super::{flush_at_drop, follow_up};
use crate::error::{FlushError, SendError};
use crate::log::segment::SharedMode;
use crate::owned_record::UnsentRecord;
use crate::producer::appender::WhenFull;
use crate::producer::{Producer, SharedProducer};
use crate::record::{Record, RecordMetadata};
use crate::sync::{AppendVec, Mutex, lock};
use crate::wait::defer_wakes;
use core::fmt;
use core::future::Future;
use core::task::{Poll, Waker};
use std::sync::Arc;
use std::time::Duration;

impl SharedProducer {
    /// Makes it a [`SharedGatheringProducer`], whose sends gather records and append them by the
    /// batch. Its other clones stay as they are.
    pub fn gathering(self, config: GatheringConfig) -> SharedGatheringProducer {
        let topic = self.shared_topic();
        let schedule = Schedule::new(config.limits(topic.pool().shape()));
        let buffers = (0..topic.partitions()).map(|_| Mutex::default()).collect();
        let mut last = self.clone();
        last.set_max_block(topic.config().max_block);
        SharedGatheringProducer {
            shared: Arc::new(Shared {
                buffers: SharedBuffers {
                    buffers: AppendVec::new(buffers),
                    grow: Mutex::default(),
                },
                schedule,
                last,
            }),
            producer: self,
        }
    }
}

/// Sends records to one topic by gathering them, from any number of threads and tasks at once.
///
/// It has the calls of a [`GatheringProducer`](crate::GatheringProducer), by `&self`, but for
/// `close` and for those that append without gathering (there is
/// [`send_now`](Self::send_now)). All clones gather together. A call takes a short lock of its
/// partition's buffer; a thread that sends all the time is better off with a `GatheringProducer` of
/// its own.
///
/// Records that a thread or task sends one after the other to the same partition are in the log in
/// that order. A call may append what others have gathered: then their callbacks run in that call,
/// perhaps after a `flush` of the other thread has returned. A callback that flushes by the same
/// handle runs the callbacks of what it appends before the rest of its own frame's.
///
/// When the last clone is dropped, what is gathered is sent, with a wait for room that blocks the
/// thread up to the topic's [`max_block`](crate::TopicConfig::max_block). In a task, `await` a
/// [`flush_async`](Self::flush_async) before. A callback that owns a clone is dropped only when its
/// record is sent: without a flush, it keeps the handle and what is gathered.
///
/// ```
/// # use ringlog::{Broker, GatheringConfig, Record, TopicConfig};
/// # let topic = Broker::new().create_topic("orders", TopicConfig::new())?;
/// let orders = topic.shared_producer().gathering(GatheringConfig::new());
/// std::thread::scope(|scope| {
///     for id in 0..4u32 {
///         let orders = &orders;
///         scope.spawn(move || orders.send(Record::new("order").key(&id.to_le_bytes())));
///     }
/// });
/// orders.flush()?;
/// assert_eq!(topic.log_end_offset(0)?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of a [`GatheringProducer`](crate::GatheringProducer#errors).
#[derive(Clone)]
pub struct SharedGatheringProducer {
    shared: Arc<Shared>,
    /// What its calls run on.
    producer: SharedProducer,
}

struct Shared {
    buffers: SharedBuffers,
    schedule: Schedule,
    /// For the drop of the last clone.
    last: SharedProducer,
}

struct SharedBuffers {
    buffers: AppendVec<Mutex<GatherBuffer>>,
    /// Held to append a buffer.
    grow: Mutex<()>,
}

impl SharedBuffers {
    /// A buffer of a partition that was added since.
    #[cold]
    fn added(&self, partition: usize) -> &Mutex<GatherBuffer> {
        loop {
            let _grow = lock(&self.grow);
            if let Some(buffer) = self.buffers.get(partition) {
                return buffer;
            }
            let next = (self.buffers.initial_len()..=partition)
                .find(|&p| self.buffers.get(p).is_none())
                .unwrap_or(partition);
            self.buffers.fill(next, Mutex::default());
        }
    }
}

impl Buffers for &SharedBuffers {
    #[inline]
    fn with<R>(&mut self, partition: u32, step: impl FnOnce(&mut GatherBuffer) -> R) -> R {
        let partition = partition as usize;
        let buffer = match self.buffers.get(partition) {
            Some(buffer) => buffer,
            None => self.added(partition),
        };
        // Dropped after the lock: a waker is the user's code.
        let _deferred = defer_wakes();
        let mut buffer = lock(buffer);
        step(&mut buffer)
    }

    fn partitions(&self) -> u32 {
        let mut partitions = self.buffers.initial_len();
        while self.buffers.get(partitions).is_some() {
            partitions += 1;
        }
        partitions as u32
    }
}

impl Shared {
    fn gathering<'g>(
        &'g self,
        producer: &'g mut Producer<SharedMode>,
    ) -> Gathering<'g, SharedMode, &'g SharedBuffers> {
        Gathering::new(producer, &self.buffers, &self.schedule)
    }
}

impl SharedGatheringProducer {
    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.producer.topic()
    }

    /// How long a call of this handle waits for room: [`SharedProducer::max_block`].
    pub fn max_block(&self) -> Duration {
        self.producer.max_block()
    }

    /// Sets how long a call of this handle waits for room. Clones made from now on have the same
    /// limit; other clones keep theirs.
    pub fn set_max_block(&mut self, limit: Duration) {
        self.producer.set_max_block(limit);
    }

    /// Runs one call, on a producer of its own.
    fn run<R>(&self, call: impl FnOnce(&mut Gathering<'_, SharedMode, &SharedBuffers>) -> R) -> R {
        let mut producer = self.producer.take();
        call(&mut self.shared.gathering(&mut producer))
    }

    /// Gathers a record: [`GatheringProducer::send`](crate::GatheringProducer::send).
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors).
    pub fn send(&self, record: Record<'_>) -> Result<(), SendError> {
        self.gather_unfollowed(&record, WhenFull::Block)
    }

    /// Gathers a record if there is room at once:
    /// [`GatheringProducer::try_send`](crate::GatheringProducer::try_send).
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors).
    pub fn try_send(&self, record: Record<'_>) -> Result<(), SendError> {
        self.gather_unfollowed(&record, WhenFull::Fail)
    }

    /// Gathers a record, and returns a ticket for it:
    /// [`GatheringProducer::send_with_ticket`](crate::GatheringProducer::send_with_ticket).
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors).
    pub fn send_with_ticket(&self, record: Record<'_>) -> Result<Ticket, SendError> {
        let ticket = self.gather(&record, Follower::Ticket, WhenFull::Block)?;
        Ok(ticket.unwrap_or_else(|| unreachable!("a ticket was asked for")))
    }

    /// Gathers a record, with a callback:
    /// [`GatheringProducer::send_with_callback`](crate::GatheringProducer::send_with_callback). It
    /// may be called in any thread that uses the handle.
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors).
    pub fn send_with_callback(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(Result<RecordMetadata, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let follower = Follower::Callback(Box::new(callback));
        self.gather(&record, follower, WhenFull::Block)?;
        Ok(())
    }

    /// Appends a record at once, after what is gathered for its partition:
    /// [`GatheringProducer::send_now`](crate::GatheringProducer::send_now).
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors).
    pub fn send_now(&self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.run(|gathering| {
            let planned = gathering.plan(&record)?;
            Ok(gathering.send_alone(planned, &record, WhenFull::Block)?)
        })
    }

    /// Sends all records that were gathered before the call:
    /// [`GatheringProducer::flush`](crate::GatheringProducer::flush).
    ///
    /// # Errors
    /// As there.
    pub fn flush(&self) -> Result<(), FlushError> {
        self.flush_or(WhenFull::Block)
    }

    /// Sends all gathered records for which there is room at once.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn try_flush(&self) -> Result<(), FlushError> {
        self.flush_or(WhenFull::Fail)
    }

    /// Sends what has lingered:
    /// [`GatheringProducer::flush_due`](crate::GatheringProducer::flush_due).
    ///
    /// # Errors
    /// As there.
    pub fn flush_due(&self) -> Result<(), FlushError> {
        self.run(|gathering| gathering.flush_due())
    }

    /// How long until a gathered record has lingered:
    /// [`GatheringProducer::linger_left`](crate::GatheringProducer::linger_left).
    pub fn linger_left(&self) -> Option<Duration> {
        self.run(|gathering| gathering.linger_left())
    }

    /// The number of gathered records that are not in the log yet.
    pub fn gathered(&self) -> usize {
        self.run(|gathering| gathering.gathered())
    }

    /// Takes back all gathered records:
    /// [`GatheringProducer::take_unsent`](crate::GatheringProducer::take_unsent).
    pub fn take_unsent(&self) -> Vec<UnsentRecord> {
        let topic = self.producer.shared_topic().name().clone();
        self.run(|gathering| gathering.take_back(&SendError::Withdrawn { topic }))
    }

    // ---- for tasks ----------------------------------------------------------------------

    /// Gathers a record, as soon as there is room:
    /// [`GatheringProducer::send_async`](crate::GatheringProducer::send_async).
    ///
    /// If the future is dropped before it is ready, the record was neither gathered nor appended.
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors); never `Full`.
    pub fn send_async<'a>(
        &'a self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<(), SendError>> + Send + use<'a> {
        let mut pending = PendingSend::new(record, Follower::Nothing);
        self.future(move |gathering, waker| pending.poll(gathering, waker).map_ok(drop))
    }

    /// [`send_with_ticket`](Self::send_with_ticket) for a task, as [`send_async`](Self::send_async).
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors); never `Full`.
    pub fn send_with_ticket_async<'a>(
        &'a self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<Ticket, SendError>> + Send + use<'a> {
        let mut pending = PendingSend::new(record, Follower::Ticket);
        self.future(move |gathering, waker| {
            let sent = pending.poll(gathering, waker);
            sent.map_ok(|ticket| ticket.unwrap_or_else(|| unreachable!("a ticket was asked for")))
        })
    }

    /// [`send_now`](Self::send_now) for a task:
    /// [`GatheringProducer::send_now_async`](crate::GatheringProducer::send_now_async).
    ///
    /// # Errors
    /// See [`GatheringProducer`](crate::GatheringProducer#errors); never `Full`.
    pub fn send_now_async<'a>(
        &'a self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<RecordMetadata, SendError>> + Send + use<'a> {
        let mut pending = PendingSend::new(record, Follower::Nothing);
        self.future(move |gathering, waker| pending.poll_now(gathering, waker))
    }

    /// Sends all gathered records, each partition's as soon as there is room for them:
    /// [`GatheringProducer::flush_async`](crate::GatheringProducer::flush_async).
    ///
    /// # Errors
    /// As [`flush`](Self::flush); never `Full`.
    pub fn flush_async(&self) -> impl Future<Output = Result<(), FlushError>> + Send + use<'_> {
        let mut full_partition = None;
        self.future(move |gathering, waker| poll_flush(gathering, &mut full_partition, waker))
    }

    /// A future whose polls are calls.
    fn future<'a, T>(
        &'a self,
        mut poll: impl FnMut(&mut Gathering<'_, SharedMode, &SharedBuffers>, &Waker) -> Poll<T> + 'a,
    ) -> impl Future<Output = T> {
        self.producer.future(move |producer, context| {
            poll(&mut self.shared.gathering(producer), context.waker())
        })
    }

    fn gather_unfollowed(
        &self,
        record: &Record<'_>,
        when_full: WhenFull<'_>,
    ) -> Result<(), SendError> {
        if self.run(|gathering| gathering.try_send(record)) {
            return Ok(());
        }
        self.gather(record, Follower::Nothing, when_full).map(drop)
    }

    fn gather(
        &self,
        record: &Record<'_>,
        mut follower: Follower,
        when_full: WhenFull<'_>,
    ) -> Result<Option<Ticket>, SendError> {
        let sent = self.run(|gathering| {
            let planned = gathering.plan(record)?;
            Ok::<_, SendError>(gathering.send(planned, record, &mut follower, when_full)?)
        })?;
        Ok(follow_up(sent, follower))
    }

    fn flush_or(&self, when_full: WhenFull<'_>) -> Result<(), FlushError> {
        self.run(|gathering| {
            let flushed = gathering.flush(when_full);
            flushed.map_err(|refusal| gathering.flush_error(refusal.into()))
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut producer = self.last.take();
        flush_at_drop(self.gathering(&mut producer));
    }
}

impl fmt::Debug for SharedGatheringProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedGatheringProducer")
            .field("topic", &self.topic())
            .finish_non_exhaustive()
    }
}
