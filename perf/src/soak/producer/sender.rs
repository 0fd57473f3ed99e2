//! The state of a producing thread: its identities, its accounts, and the checks of what a send
//! returns.

use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use crate::soak::ledger::{Ledger, PartitionTotal, weight};
use crate::soak::record::id::{RecordId, SendKind};
use crate::soak::rng::Rng;
use crate::soak::watchdog::Heartbeat;
use ringlog::SendError;

/// What a producing thread keeps from call to call.
pub(super) struct SoakSender<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) rng: Rng,
    pub(super) counts: Counts,
    pub(super) heartbeat: &'a Heartbeat,
    producer: u64,
    pub(super) sequence: u64,
    /// What it has published, by partition.
    pub(super) totals: Vec<PartitionTotal>,
    /// A lower bound of the next offset, by partition.
    next_offsets: Vec<u64>,
}

impl<'a> SoakSender<'a> {
    pub(super) fn new(
        ledger: &'a Ledger,
        producer: u64,
        rng: Rng,
        heartbeat: &'a Heartbeat,
    ) -> SoakSender<'a> {
        let partitions = ledger.plan.partitions as usize;
        SoakSender {
            ledger,
            rng,
            counts: Counts::default(),
            heartbeat,
            producer,
            sequence: 0,
            totals: vec![PartitionTotal::default(); partitions],
            next_offsets: vec![0; partitions],
        }
    }
}

impl SoakSender<'_> {
    /// The identity of the next record.
    pub(super) fn id(&mut self, kind: SendKind, key: u64, length: u64) -> RecordId {
        let id = RecordId::new(kind, self.producer, key, length, self.sequence);
        self.sequence += 1;
        id
    }

    /// Checks where a record was published, and adds it to the account.
    pub(super) fn published(
        &mut self,
        id: RecordId,
        digest: u64,
        partition: u32,
        offset: u64,
    ) -> Result<(), Refusal> {
        self.check_order(id, partition, offset)?;
        self.account(id, digest, partition, offset);
        Ok(())
    }

    /// Checks that a record was published in the partition's order, and where its key belongs.
    pub(super) fn check_order(
        &mut self,
        id: RecordId,
        partition: u32,
        offset: u64,
    ) -> Result<(), Refusal> {
        let plan = &self.ledger.plan;
        let Some(next) = self.next_offsets.get_mut(partition as usize) else {
            return Err(Refusal::fault(format!(
                "{id:?} was sent to partition {partition}"
            )));
        };
        if offset < *next {
            let topic = &plan.name;
            return Err(Refusal::fault(format!(
                "{topic}, partition {partition}: {id:?} got offset {offset}, and {next} is next"
            )));
        }
        *next = offset + 1;
        self.heartbeat.advance(1, partition, offset + 1);
        if id.key() == 0 {
            return Ok(());
        }
        let home = self.ledger.check_home(id.key(), partition);
        home.map_err(|other| {
            Refusal::fault(format!("{id:?} was sent to partition {partition}: {other}"))
        })
    }

    /// Adds a published record to the account.
    pub(super) fn account(&mut self, id: RecordId, digest: u64, partition: u32, offset: u64) {
        self.counts.sent += 1;
        let total = &mut self.totals[partition as usize];
        total.records += 1;
        total.digest = total.digest.wrapping_add(weight(id, digest, offset));
    }

    /// Checks that a call may fail with this error. `waited`: the call waited for room first.
    pub(super) fn refused(&mut self, error: &SendError, waited: bool) -> Result<(), Refusal> {
        self.counts.refused += 1;
        match error {
            SendError::Full { .. } if !waited || self.ledger.plan.gated() => Ok(()),
            SendError::ExclusiveProducer { .. } if self.ledger.plan.exclusive => {
                Err(Refusal::Excluded)
            }
            _ => Err(Refusal::fault(format!("a send was refused: {error}"))),
        }
    }
}

/// Why a thread stops sending.
pub(super) enum Refusal {
    /// Another producer has exclusive access to the topic.
    Excluded,
    Fault(Fault),
}

impl Refusal {
    #[cold]
    pub(super) fn fault(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}
