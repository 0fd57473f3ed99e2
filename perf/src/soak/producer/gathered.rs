//! Records that are gathered: sent with a ticket each, and flushed.

use super::calls::SingleItem;
use super::handle::ProducerHandle;
use super::sender::{Refusal, SoakSender};
use ringlog::{
    FlushError, GatheringConfig, GatheringProducer, Record, SendError, SharedGatheringProducer,
    Ticket,
};
use std::time::Duration;

/// A gathering producer of either kind.
enum Gatherer {
    Own(Box<GatheringProducer>),
    Shared(SharedGatheringProducer),
}

impl Gatherer {
    fn send(&mut self, record: Record<'_>) -> Result<Ticket, SendError> {
        match self {
            Gatherer::Own(producer) => producer.send_with_ticket(record),
            Gatherer::Shared(producer) => producer.send_with_ticket(record),
        }
    }

    fn flush(&mut self) -> Result<(), FlushError> {
        match self {
            Gatherer::Own(producer) => producer.flush(),
            Gatherer::Shared(producer) => producer.flush(),
        }
    }

    /// Takes back what was not sent, and returns how many records that are.
    fn take_unsent(&mut self) -> usize {
        match self {
            Gatherer::Own(producer) => producer.take_unsent().len(),
            Gatherer::Shared(producer) => producer.take_unsent().len(),
        }
    }
}

/// Records of one call, at most. More than a batch has in most of them.
const MAX_RECORDS: u64 = 96;

/// Bytes of a value, at most.
const MAX_VALUE: u64 = 60;

impl SoakSender<'_> {
    /// Gathers some records and flushes them. What cannot be sent is taken back.
    pub(super) fn gathered(&mut self, handle: &mut ProducerHandle) -> Result<(), Refusal> {
        let ProducerHandle::Shared(producer) = handle else {
            return self.single(handle, true); // an exclusive producer cannot be cloned
        };
        let config = GatheringConfig::new()
            .batch_records(self.rng.between(1, 64) as usize)
            .linger(self.rng.pick([0, 5].map(Duration::from_millis)));
        let mut gatherer = match self.ledger.plan.exclusive || self.rng.one_in(2) {
            true => Gatherer::Own(Box::new(producer.clone().gathering(config))),
            false => Gatherer::Shared(self.ledger.topic.shared_producer().gathering(config)),
        };
        let (mut items, mut refused) = (Vec::new(), None);
        for _ in 0..self.rng.between(1, MAX_RECORDS) {
            match self.gather(&mut gatherer) {
                Ok(item) => items.push(item),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let mut unsent = 0;
        if let Err(error) = gatherer.flush() {
            unsent = gatherer.take_unsent();
            refused.get_or_insert(error.cause);
        }
        self.check_gathered(items, unsent)?;
        refused.map_or(Ok(()), |error| self.refused(&error, true))
    }

    fn gather(&mut self, gatherer: &mut Gatherer) -> Result<(SingleItem, Ticket), SendError> {
        let most = self.ledger.plan.bytes as u64 / 4;
        let (key, length) = (self.key(), self.rng.below(MAX_VALUE.min(most)));
        let item = self.single_item(key, length);
        let ticket = gatherer.send(item.record(&item.header()))?;
        Ok((item, ticket))
    }

    /// Checks the tickets, of which `unsent` are of records that were taken back, and adds the
    /// other records to the account.
    fn check_gathered(
        &mut self,
        items: Vec<(SingleItem, Ticket)>,
        unsent: usize,
    ) -> Result<(), Refusal> {
        let (count, mut withdrawn) = (items.len(), 0);
        for (item, ticket) in items {
            match ticket.get() {
                Some(Ok(sent)) => {
                    self.published_single(&item, sent)?;
                    self.counts.gathered += 1;
                }
                Some(Err(SendError::Withdrawn { .. })) => withdrawn += 1,
                other => {
                    return Err(Refusal::fault(format!(
                        "{:?} was gathered, and has the ticket {other:?}",
                        item.id
                    )));
                }
            }
        }
        if withdrawn != unsent {
            return Err(Refusal::fault(format!(
                "of {count} gathered records {unsent} came back, and {withdrawn} were withdrawn"
            )));
        }
        Ok(())
    }
}
