//! The futures of a gathering producer: its calls that wait for room without blocking a thread.

use super::buffer::Planned;
use super::gather::{Buffers, Gathering};
use super::ticket::{Follower, Ticket};
use super::{GatheringProducer, OwnBuffers, follow_up};
use crate::error::{FlushError, SendError};
use crate::producer::appender::{Refusal, WhenFull};
use crate::producer::send_async::report_wait;
use crate::producer::{Producer, ProducerMode};
use crate::record::{Record, RecordMetadata};
use crate::wait::Waiter;
use core::future::{Future, poll_fn};
use core::mem::{replace, swap};
use core::task::{Poll, Waker};

impl<M: ProducerMode> GatheringProducer<M> {
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

    /// [`send_now`](Self::send_now) for a task. [`max_block`](Self::max_block) does not apply.
    ///
    /// If the future is dropped before it is ready, the record was not appended.
    ///
    /// # Errors
    /// See [`GatheringProducer`]; never `Full`.
    pub fn send_now_async<'a>(
        &'a mut self,
        record: Record<'a>,
    ) -> impl Future<Output = Result<RecordMetadata, SendError>> + Send + use<'a, M> {
        let mut pending = PendingSend::new(record, Follower::Nothing);
        self.future(move |gathering, waker| pending.poll_now(gathering, waker))
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
}

/// What a future that gathers a record keeps between two polls.
pub(super) struct PendingSend<'a> {
    record: Record<'a>,
    follower: Follower,
    /// Where it goes, once it was routed.
    planned: Option<Planned>,
    full_partition: Option<u32>,
}

impl<'a> PendingSend<'a> {
    pub(super) fn new(record: Record<'a>, follower: Follower) -> Self {
        PendingSend {
            record,
            follower,
            planned: None,
            full_partition: None,
        }
    }

    /// Polls a send that gathers.
    pub(super) fn poll<M: ProducerMode, B: Buffers>(
        &mut self,
        gathering: &mut Gathering<'_, M, B>,
        waker: &Waker,
    ) -> Poll<Result<Option<Ticket>, SendError>> {
        let planned = self.plan(gathering)?;
        let when_full = WhenFull::Enrol(waker);
        let sent = gathering.send(planned, &self.record, &mut self.follower, when_full);
        self.polled(sent, gathering.producer).map_ok(|sent| {
            let follower = replace(&mut self.follower, Follower::Nothing);
            follow_up(sent, follower)
        })
    }

    /// Polls a send that does not gather.
    pub(super) fn poll_now<M: ProducerMode, B: Buffers>(
        &mut self,
        gathering: &mut Gathering<'_, M, B>,
        waker: &Waker,
    ) -> Poll<Result<RecordMetadata, SendError>> {
        let planned = self.plan(gathering)?;
        let sent = gathering.send_alone(planned, &self.record, WhenFull::Enrol(waker));
        self.polled(sent, gathering.producer)
    }

    fn plan<M: ProducerMode, B: Buffers>(
        &mut self,
        gathering: &mut Gathering<'_, M, B>,
    ) -> Result<Planned, SendError> {
        match self.planned {
            Some(planned) => Ok(planned),
            None => Ok(*self.planned.insert(gathering.plan(&self.record)?)),
        }
    }

    fn polled<M: ProducerMode, T>(
        &mut self,
        sent: Result<T, Refusal>,
        producer: &Producer<M>,
    ) -> Poll<Result<T, SendError>> {
        match sent {
            Ok(sent) => Poll::Ready(Ok(sent)),
            Err(Refusal::Pending { partition }) => {
                report_wait(&mut self.full_partition, partition, producer);
                Poll::Pending
            }
            Err(refusal) => Poll::Ready(Err(refusal.into())),
        }
    }
}

/// One poll of a future that flushes.
pub(super) fn poll_flush<M: ProducerMode, B: Buffers>(
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
