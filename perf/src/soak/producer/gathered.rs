//! Records that are gathered: sent with a ticket each, and flushed.

use super::handle::ProducerHandle;
use super::sender::{Refusal, SoakSender};
use crate::soak::record::id::{HEADER, RecordId, SendKind, key_bytes};
use crate::soak::record::parts::is_tombstone;
use ringlog::{
    FlushError, GatheringConfig, GatheringProducer, Header, Record, SendError,
    SharedGatheringProducer, Ticket,
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

/// A record that was gathered.
struct GatheredItem {
    id: RecordId,
    digest: u64,
    /// The partition that it was sent to, if it was.
    to: Option<u32>,
    ticket: Ticket,
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

    fn gather(&mut self, gatherer: &mut Gatherer) -> Result<GatheredItem, SendError> {
        let most = self.ledger.plan.bytes as u64 / 4;
        let (key, length) = (self.key(), self.rng.below(MAX_VALUE.min(most)));
        let id = self.id(SendKind::Single, key, length);
        let digest = id.digest(self.ledger.plan.salt);
        let mut value = vec![0; length as usize];
        id.fill(digest, false, &mut value);
        let trace = digest.to_ne_bytes();
        let header = [Header::new(HEADER, &trace)];
        let key = key_bytes(id.key());
        let mut record = match key {
            Some(key) if is_tombstone(id) => Record::tombstone(key),
            Some(key) => Record::new(&value).key(key),
            None => Record::new(&value),
        };
        let to = (key.is_none() && self.rng.one_in(2)).then(|| self.partition());
        if let Some(partition) = to {
            record = record.partition(partition);
        }
        if id.has_header() {
            record = record.headers(&header);
        }
        let ticket = gatherer.send(record.timestamp(id.time()))?;
        Ok(GatheredItem {
            id,
            digest,
            to,
            ticket,
        })
    }

    /// Checks the tickets, of which `unsent` are of records that were taken back, and adds the
    /// others to the account.
    fn check_gathered(&mut self, items: Vec<GatheredItem>, unsent: usize) -> Result<(), Refusal> {
        let (count, mut withdrawn) = (items.len(), 0);
        for GatheredItem {
            id,
            digest,
            to,
            ticket,
        } in items
        {
            match ticket.get() {
                Some(Ok(sent))
                    if sent.timestamp() == Some(id.time())
                        && to.is_none_or(|to| to == sent.partition) =>
                {
                    self.published(id, digest, sent.partition, sent.offset)?;
                    self.counts.gathered += 1;
                }
                Some(Err(SendError::Withdrawn { .. })) => withdrawn += 1,
                other => {
                    return Err(Refusal::fault(format!(
                        "{id:?}, gathered for {to:?}, has the ticket {other:?}"
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
