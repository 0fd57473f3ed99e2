//! A producer of either kind, and how a thread obtains one.

use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use crate::soak::ledger::Ledger;
use crate::soak::rng::Rng;
use ringlog::{
    BatchError, BatchMetadata, Claim, Destination, ExclusiveProducer, FrameMetadata, Producer,
    Record, RecordMetadata, SendError, TopicError,
};

/// A producer of either kind.
pub(super) enum ProducerHandle {
    Shared(Producer),
    Exclusive(ExclusiveProducer),
}

macro_rules! either {
    ($handle:expr, $producer:ident => $call:expr) => {
        match $handle {
            ProducerHandle::Shared($producer) => $call,
            ProducerHandle::Exclusive($producer) => $call,
        }
    };
}

impl ProducerHandle {
    /// A producer for the next calls: the old one, a clone of it, or a new one.
    ///
    /// A topic with exclusive producers always gets a new one, since other threads wait for the
    /// topic. The result is `None` if another thread has it. Sometimes it is a shared producer
    /// there, which either is refused or keeps the exclusive ones out.
    pub(super) fn next(
        old: Option<ProducerHandle>,
        ledger: &Ledger,
        rng: &mut Rng,
        counts: &mut Counts,
    ) -> Result<Option<ProducerHandle>, Fault> {
        let topic = &ledger.topic;
        let handle = match old {
            Some(ProducerHandle::Shared(old)) if !ledger.plan.exclusive => match rng.below(8) {
                0 => topic.producer(),
                1 => old.clone(),
                _ => return Ok(Some(ProducerHandle::Shared(old))),
            },
            // The old producer must be dropped before a new one is requested.
            old => {
                drop(old);
                if ledger.plan.exclusive && !rng.one_in(4) {
                    return match topic.exclusive_producer() {
                        Ok(producer) => {
                            counts.exclusive += 1;
                            Ok(Some(ProducerHandle::Exclusive(producer)))
                        }
                        Err(TopicError::ProducersExist { .. }) => {
                            counts.refused += 1;
                            Ok(None)
                        }
                        Err(error) => Err(error.to_string()),
                    };
                }
                topic.producer()
            }
        };
        counts.producers += 1;
        Ok(Some(ProducerHandle::Shared(handle)))
    }

    pub(super) fn send(
        &mut self,
        record: Record<'_>,
        wait: bool,
    ) -> Result<RecordMetadata, SendError> {
        match wait {
            true => either!(self, producer => producer.send(record)),
            false => either!(self, producer => producer.try_send(record)),
        }
    }

    pub(super) fn send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
        wait: bool,
    ) -> Result<BatchMetadata<'a>, BatchError> {
        match wait {
            true => either!(self, producer => producer.send_batch(records)),
            false => either!(self, producer => producer.try_send_batch(records)),
        }
    }

    pub(super) fn send_values<const W: usize>(
        &mut self,
        route: Destination<'_>,
        values: &[[u64; W]],
        wait: bool,
    ) -> Result<FrameMetadata, SendError> {
        match wait {
            true => either!(self, producer => producer.send_values(route, values)),
            false => either!(self, producer => producer.try_send_values(route, values)),
        }
    }

    pub(super) fn claim(
        &mut self,
        route: Destination<'_>,
        key: Option<&[u8]>,
        len: usize,
    ) -> Result<Claim<'_>, SendError> {
        either!(self, producer => producer.claim(route, key, len))
    }
}
