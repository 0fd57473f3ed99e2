//! A producer of either kind, and how a thread comes by one.

use super::dice::Dice;
use super::ledger::{Ledger, Wrong};
use super::tally::Tally;
use ringlog::{
    BatchError, BatchMetadata, Claim, ExclusiveProducer, FrameMetadata, Producer, Record,
    RecordMetadata, Route, SendError, TopicError,
};

pub(crate) enum Handle {
    Shared(Producer),
    Exclusive(ExclusiveProducer),
}

macro_rules! either {
    ($handle:expr, $producer:ident => $call:expr) => {
        match $handle {
            Handle::Shared($producer) => $call,
            Handle::Exclusive($producer) => $call,
        }
    };
}

impl Handle {
    /// A producer for the next calls: the one there was, a clone of it, or a new one. Of a topic
    /// that is had exclusively always a new one, since others wait for it: `None` when another
    /// thread has it, and sometimes a shared one that finds itself refused, or keeps them out.
    pub(crate) fn next(
        old: Option<Handle>,
        ledger: &Ledger,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Result<Option<Handle>, Wrong> {
        let topic = &ledger.topic;
        let handle = match old {
            Some(Handle::Shared(old)) if !ledger.plan.exclusive => match dice.below(8) {
                0 => topic.producer(),
                1 => old.clone(),
                _ => return Ok(Some(Handle::Shared(old))),
            },
            // The old one is gone before another is asked for.
            old => {
                drop(old);
                if ledger.plan.exclusive && !dice.one_in(4) {
                    return match topic.exclusive_producer() {
                        Ok(producer) => {
                            tally.exclusive += 1;
                            Ok(Some(Handle::Exclusive(producer)))
                        }
                        Err(TopicError::ProducersExist { .. }) => {
                            tally.refused += 1;
                            Ok(None)
                        }
                        Err(error) => Err(error.to_string()),
                    };
                }
                topic.producer()
            }
        };
        tally.producers += 1;
        Ok(Some(Handle::Shared(handle)))
    }

    pub(crate) fn send(
        &mut self,
        record: Record<'_>,
        wait: bool,
    ) -> Result<RecordMetadata, SendError> {
        match wait {
            true => either!(self, producer => producer.send(record)),
            false => either!(self, producer => producer.try_send(record)),
        }
    }

    pub(crate) fn send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
        wait: bool,
    ) -> Result<BatchMetadata<'a>, BatchError> {
        match wait {
            true => either!(self, producer => producer.send_batch(records)),
            false => either!(self, producer => producer.try_send_batch(records)),
        }
    }

    pub(crate) fn send_values<const W: usize>(
        &mut self,
        route: Route<'_>,
        values: &[[u64; W]],
        wait: bool,
    ) -> Result<FrameMetadata, SendError> {
        match wait {
            true => either!(self, producer => producer.send_values(route, values)),
            false => either!(self, producer => producer.try_send_values(route, values)),
        }
    }

    pub(crate) fn claim(
        &mut self,
        route: Route<'_>,
        key: Option<&[u8]>,
        len: usize,
    ) -> Result<Claim<'_>, SendError> {
        either!(self, producer => producer.claim(route, key, len))
    }
}
