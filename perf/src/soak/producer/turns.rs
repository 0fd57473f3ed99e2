//! The turns of a producing thread: it comes and goes, and sends by every call.

use super::calls::SendCall;
use super::handle::ProducerHandle;
use super::sender::{Refusal, SoakSender};
use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use crate::soak::ledger::Ledger;
use crate::soak::plan::SegmentSize;
use crate::soak::rng::Rng;
use crate::soak::watchdog::{Activity, Heartbeat, RoundControl};
use std::time::Duration;

/// A sequence has 32 bits; no round reaches this.
const LAST_SEQUENCE: u64 = u32::MAX as u64 - 1_000;

/// Sends until the round ends.
pub(crate) fn produce(
    ledger: &Ledger,
    producer: u64,
    rng: Rng,
    control: &RoundControl,
    heartbeat: &Heartbeat,
) -> Result<Counts, Fault> {
    let mut sender = SoakSender::new(ledger, producer, rng, heartbeat);
    let done = sender.run(control);
    ledger.settle(&sender.totals);
    done.map(|()| sender.counts)
}

impl SoakSender<'_> {
    fn run(&mut self, control: &RoundControl) -> Result<(), Fault> {
        let mut handle = None;
        while !control.is_stopped() && self.sequence < LAST_SEQUENCE {
            handle = ProducerHandle::next(handle, self.ledger, &mut self.rng, &mut self.counts)?;
            if let Some(handle) = &mut handle {
                self.turn(handle, control)?;
            }
            if self.ledger.plan.exclusive {
                handle = None; // leaves the topic to another thread
            }
            self.nap();
        }
        Ok(())
    }

    /// Makes some calls with one handle.
    fn turn(&mut self, handle: &mut ProducerHandle, control: &RoundControl) -> Result<(), Fault> {
        self.heartbeat.set_activity(Activity::Sending);
        let until = self.sequence + self.turn_records();
        while self.sequence < until && !control.is_stopped() {
            match self.call(handle) {
                Ok(()) => {}
                Err(Refusal::Fault(fault)) => return Err(fault),
                // Another thread has exclusive access, and waits until this handle is dropped.
                Err(Refusal::Excluded) => break,
            }
        }
        Ok(())
    }

    /// The number of records of one turn. Under `DropOldest` nothing slows a producer down, and
    /// it would overtake the consumers all the time. So most turns send a part of what the ring
    /// holds, and a few send more.
    fn turn_records(&mut self) -> u64 {
        let plan = &self.ledger.plan;
        let ring = u64::from(plan.partitions * plan.segments * plan.records);
        let most = match (plan.gated(), self.rng.below(8)) {
            (true, _) => 100_000,
            (false, 0) => 2 * ring,
            (false, _) => ring / 4,
        };
        1 + self.rng.below(most)
    }

    fn nap(&mut self) {
        let plan = &self.ledger.plan;
        if plan.gated() && !plan.exclusive {
            return; // the consumers slow the producers down
        }
        self.heartbeat.set_activity(Activity::Napping);
        let most = match plan.size {
            SegmentSize::Tiny => 200,
            _ => 600,
        };
        std::thread::sleep(Duration::from_micros(self.rng.below(most)));
    }

    fn call(&mut self, handle: &mut ProducerHandle) -> Result<(), Refusal> {
        let call = match self.rng.below(16) {
            0..6 => SendCall::Values,
            6..9 => SendCall::Send,
            9..11 => SendCall::TrySend,
            11..13 => SendCall::Batch,
            13 => SendCall::Gathered,
            _ => SendCall::Claim,
        };
        call.make(self, handle)
    }
}
