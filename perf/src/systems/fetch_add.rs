//! A bare ring whose producers claim slots by fetch-add: the floor of one order that several
//! producers share.
//!
//! A producer claims the next sequence with one fetch-add, which cannot fail. It waits until the
//! consumer has taken the message that its slot held before, stores the message and then the slot's
//! turn. The consumer reads a slot when its turn has come. So a producer that stops between its claim
//! and its turn stops the consumer and, a ring later, the other producers.
//!
//! The words of a message are atomic, since nothing else here may be written by one thread and read
//! by another. On the usual processors a relaxed store is a plain one.

use super::system::{Endpoints, MANY, Receiver, Sender, Shape, System, SystemKind};
use crate::failure::Failure;
use crate::message::content::word;
use crate::message::tally::Reader;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most messages that the consumer takes before the producers get their slots back.
const READS: u64 = 256;

/// A cache line of words. A slot has lines of its own, so that neighbours do not write to the same
/// one.
#[repr(align(64))]
#[derive(Default)]
struct Line([AtomicU64; 8]);

/// A ring with claims by fetch-add.
pub(crate) struct FetchAddRing;

struct Ring {
    /// The next sequence to claim.
    tail: CachePadded<AtomicU64>,
    /// The number of messages that the consumer has taken.
    head: CachePadded<AtomicU64>,
    /// The slots back to back. Each begins with its turn: the sequence of its message, plus 1.
    lines: Box<[Line]>,
    slots: u64,
}

pub(crate) struct FetchAddSender {
    ring: Arc<Ring>,
    /// The consumer's head when it was last loaded.
    head: u64,
    /// A claimed sequence whose slot was not free.
    claim: Option<u64>,
}

pub(crate) struct FetchAddReceiver {
    ring: Arc<Ring>,
    next: u64,
}

/// Lines of a slot: its turn, and a message of `size` bytes.
const fn slot_lines(size: usize) -> usize {
    (8 + size).div_ceil(size_of::<Line>())
}

impl Ring {
    /// The turn of a slot, and then its words.
    #[inline(always)]
    fn slot<const N: usize>(&self, sequence: u64) -> impl Iterator<Item = &AtomicU64> {
        let lines = slot_lines(N);
        let start = (sequence & (self.slots - 1)) as usize * lines;
        self.lines[start..start + lines]
            .iter()
            .flat_map(|line| &line.0)
    }
}

impl System for FetchAddRing {
    const NAME: &'static str = "bare ring, fetch-add claims";
    const CRATE: &'static str = "std";
    const KIND: SystemKind = SystemKind::Floor;
    const PRODUCERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = FetchAddSender;
    type Receiver<const N: usize, const B: usize> = FetchAddReceiver;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let slots = 1usize << shape.slots(N).ilog2();
        let ring = Arc::new(Ring {
            tail: CachePadded::new(AtomicU64::new(0)),
            head: CachePadded::new(AtomicU64::new(0)),
            lines: (0..slots * slot_lines(N))
                .map(|_| Line::default())
                .collect(),
            slots: slots as u64,
        });
        let sender = |_| FetchAddSender {
            ring: ring.clone(),
            head: 0,
            claim: None,
        };
        let senders = (0..shape.producers).map(sender).collect();
        Ok((senders, vec![FetchAddReceiver { ring, next: 0 }]))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for FetchAddSender {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        let ring = &*self.ring;
        let claim = self.claim.take();
        let claim = claim.unwrap_or_else(|| ring.tail.fetch_add(1, Ordering::Relaxed));
        if claim - self.head >= ring.slots {
            self.head = ring.head.load(Ordering::Acquire);
            if claim - self.head >= ring.slots {
                self.claim = Some(claim);
                return Ok(false);
            }
        }
        let mut words = ring.slot::<N>(claim);
        let turn = words.next().ok_or("a slot without a turn")?;
        for (to, from) in words.zip(messages[0].chunks_exact(8)) {
            to.store(word(from), Ordering::Relaxed);
        }
        turn.store(claim + 1, Ordering::Release);
        Ok(true)
    }
}

impl<const N: usize> Receiver<N> for FetchAddReceiver {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        let first = self.next;
        while self.next - first < READS {
            let mut words = self.ring.slot::<N>(self.next);
            let turn = words.next().ok_or("a slot without a turn")?;
            if turn.load(Ordering::Acquire) != self.next + 1 {
                break;
            }
            let mut message = [0; N];
            for (to, from) in message.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&from.load(Ordering::Relaxed).to_ne_bytes());
            }
            reader.read(&message);
            self.next += 1;
        }
        if self.next == first {
            return Ok(false);
        }
        self.ring.head.store(self.next, Ordering::Release);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::source::Source;
    use crate::message::tally::{OneStreamTally, Tally};

    #[test]
    fn a_sender_without_room_keeps_its_claim() {
        let shape = Shape::one_to_one(16 * 64);
        let (mut tx, mut rx) = FetchAddRing::endpoints::<64, 1>(&shape).unwrap();
        let mut source = Source::<64, 1>::new(0, 1);
        let mut tally = <OneStreamTally as Tally<64>>::new(1);
        for _ in 0..3 {
            for send in source.next() {
                assert!(tx[0].send(send).unwrap());
            }
            // The ring is full: the last messages are sent again until there is room.
            let ahead = source.next().to_vec();
            assert!(!tx[0].send(&ahead[0]).unwrap());
            assert!(!tx[0].send(&ahead[0]).unwrap());
            assert!(Receiver::<64>::receive(&mut rx[0], &mut tally).unwrap());
            assert!(!Receiver::<64>::receive(&mut rx[0], &mut tally).unwrap());
            for send in &ahead {
                assert!(tx[0].send(send).unwrap());
            }
            assert!(Receiver::<64>::receive(&mut rx[0], &mut tally).unwrap());
        }
        Tally::<64>::check(&tally, 6 * 16).unwrap();
    }
}
