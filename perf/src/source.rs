//! The messages that a producer sends.

use crate::tally::{filler, number};
use std::hint::black_box;

/// Messages that are numbered some at a time, then sent, so that a send never loads bytes
/// that were stored just before it.
pub(crate) struct Source<const N: usize, const B: usize> {
    sends: Vec<[[u8; N]; B]>,
    /// The producer's first lane, and how many it goes round.
    first: u64,
    lanes: u64,
    lane: u64,
    sequence: u64,
}

/// Messages that are numbered at a time: a producer's messages are a multiple of it.
pub(crate) const fn stride(batch: usize) -> u64 {
    if batch == 1 { 16 } else { batch as u64 }
}

impl<const N: usize, const B: usize> Source<N, B> {
    pub(crate) fn new(producer: usize, lanes: usize) -> Self {
        let mut message = [0; N];
        for (i, word) in message.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&filler(i).to_ne_bytes());
        }
        let sends = vec![[message; B]; stride(B) as usize / B];
        Source {
            // What the messages hold is not for the compiler to know.
            sends: black_box(sends),
            first: (producer * lanes) as u64,
            lanes: lanes as u64,
            lane: 0,
            sequence: 0,
        }
    }

    /// The next messages, numbered.
    #[inline]
    pub(crate) fn next(&mut self) -> &[[[u8; N]; B]] {
        if self.lanes == 1 {
            // The usual case, in as little as can be: it is timed with what is measured.
            let first = number(self.first, self.sequence);
            for (number, message) in (first..).zip(self.sends.iter_mut().flatten()) {
                message[..8].copy_from_slice(&number.to_ne_bytes());
            }
            self.sequence += stride(B);
            return &self.sends;
        }
        for message in self.sends.iter_mut().flatten() {
            let number = number(self.first + self.lane, self.sequence);
            message[..8].copy_from_slice(&number.to_ne_bytes());
            self.lane += 1;
            if self.lane == self.lanes {
                self.lane = 0;
                self.sequence += 1;
            }
        }
        &self.sends
    }
}
