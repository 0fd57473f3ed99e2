//! A producing thread: it comes and goes, and sends by all calls there are.

use super::calls::Call;
use super::dice::Dice;
use super::handle::Handle;
use super::identity::{Id, Kind};
use super::ledger::{Ledger, Share, Wrong, weight};
use super::plan::Size;
use super::tally::Tally;
use super::worker::{Control, Doing, Station};
use ringlog::SendError;
use std::time::Duration;

/// What a producing thread keeps from call to call.
pub(crate) struct Sender<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) dice: Dice,
    pub(crate) tally: Tally,
    station: &'a Station,
    producer: u64,
    sequence: u64,
    /// What it has published, by partition.
    shares: Vec<Share>,
    /// The next offset of each partition is this or above.
    floors: Vec<u64>,
}

/// A sequence has 32 bits; no round comes near.
const LAST_SEQUENCE: u64 = u32::MAX as u64 - 1_000;

/// Sends until the round ends.
pub(crate) fn produce(
    ledger: &Ledger,
    producer: u64,
    dice: Dice,
    control: &Control,
    station: &Station,
) -> Result<Tally, Wrong> {
    let partitions = ledger.plan.partitions as usize;
    let mut sender = Sender {
        ledger,
        dice,
        tally: Tally::default(),
        station,
        producer,
        sequence: 0,
        shares: vec![Share::default(); partitions],
        floors: vec![0; partitions],
    };
    let done = sender.run(control);
    ledger.settle(&sender.shares);
    done.map(|()| sender.tally)
}

impl Sender<'_> {
    fn run(&mut self, control: &Control) -> Result<(), Wrong> {
        let mut handle = None;
        while !control.is_stopped() && self.sequence < LAST_SEQUENCE {
            handle = Handle::next(handle, self.ledger, &mut self.dice, &mut self.tally)?;
            if let Some(handle) = &mut handle {
                self.turn(handle, control)?;
            }
            if self.ledger.plan.exclusive {
                handle = None; // for another thread
            }
            self.nap();
        }
        Ok(())
    }

    /// Some calls with one handle.
    fn turn(&mut self, handle: &mut Handle, control: &Control) -> Result<(), Wrong> {
        self.station.doing(Doing::Sending);
        let until = self.sequence + self.turn_records();
        while self.sequence < until && !control.is_stopped() {
            match self.call(handle) {
                Ok(()) => {}
                Err(Refusal::Wrong(wrong)) => return Err(wrong),
                // Another thread has the topic for itself: it needs this handle to go.
                Err(Refusal::Excluded) => break,
            }
        }
        Ok(())
    }

    /// Records of one turn. Under `DropOldest` nothing slows a producer down, and consumers
    /// would be overtaken all the time: so a turn is mostly a part of what the ring holds, and
    /// now and then more than that.
    fn turn_records(&mut self) -> u64 {
        let plan = &self.ledger.plan;
        let ring = u64::from(plan.partitions * plan.segments * plan.records);
        let most = match (plan.gated(), self.dice.below(8)) {
            (true, _) => 100_000,
            (false, 0) => 2 * ring,
            (false, _) => ring / 4,
        };
        1 + self.dice.below(most)
    }

    fn nap(&mut self) {
        let plan = &self.ledger.plan;
        if plan.gated() && !plan.exclusive {
            return; // its consumers slow it down
        }
        self.station.doing(Doing::Napping);
        let most = match plan.size {
            Size::Tiny => 200,
            _ => 600,
        };
        std::thread::sleep(Duration::from_micros(self.dice.below(most)));
    }

    fn call(&mut self, handle: &mut Handle) -> Result<(), Refusal> {
        let call = match self.dice.below(16) {
            0..6 => Call::Values,
            6..9 => Call::Send,
            9..11 => Call::TrySend,
            11..13 => Call::Batch,
            _ => Call::Claim,
        };
        call.make(self, handle)
    }

    // ---- what the calls need ---------------------------------------------------------------

    /// The identity of the next record.
    pub(crate) fn id(&mut self, kind: Kind, key: u64, length: u64) -> Id {
        let id = Id::new(kind, self.producer, key, length, self.sequence);
        self.sequence += 1;
        id
    }

    /// A record was published there.
    pub(crate) fn published(
        &mut self,
        id: Id,
        digest: u64,
        partition: u32,
        offset: u64,
    ) -> Result<(), Refusal> {
        self.floor(id, partition, offset)?;
        self.count(id, digest, partition, offset);
        Ok(())
    }

    /// A record went there, in the partition's order.
    pub(crate) fn floor(&mut self, id: Id, partition: u32, offset: u64) -> Result<(), Refusal> {
        let plan = &self.ledger.plan;
        let Some(floor) = self.floors.get_mut(partition as usize) else {
            return Err(wrong(format!("{id:?} was sent to partition {partition}")));
        };
        if offset < *floor {
            let topic = &plan.name;
            return Err(wrong(format!(
                "{topic}, partition {partition}: {id:?} got offset {offset}, and {floor} is next"
            )));
        }
        *floor = offset + 1;
        self.station.moved(1, partition, offset + 1);
        if id.key() == 0 {
            return Ok(());
        }
        let home = self.ledger.check_home(id.key(), partition);
        home.map_err(|other| wrong(format!("{id:?} was sent to partition {partition}: {other}")))
    }

    /// Puts a published record on record.
    pub(crate) fn count(&mut self, id: Id, digest: u64, partition: u32, offset: u64) {
        self.tally.sent += 1;
        let share = &mut self.shares[partition as usize];
        share.records += 1;
        share.digest = share.digest.wrapping_add(weight(id, digest, offset));
    }

    /// A call was refused: whether it may be. `waits`: it waited for room first.
    pub(crate) fn refused(&mut self, error: &SendError, waits: bool) -> Result<(), Refusal> {
        self.tally.refused += 1;
        match error {
            SendError::Full { .. } if !waits || self.ledger.plan.gated() => Ok(()),
            SendError::ExclusiveProducer { .. } if self.ledger.plan.exclusive => {
                Err(Refusal::Excluded)
            }
            _ => Err(wrong(format!("a send was refused: {error}"))),
        }
    }
}

/// Why a thread does not go on sending.
pub(crate) enum Refusal {
    /// Another producer has the topic for itself.
    Excluded,
    Wrong(Wrong),
}

#[cold]
pub(crate) fn wrong(wrong: Wrong) -> Refusal {
    Refusal::Wrong(wrong)
}
