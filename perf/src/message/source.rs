//! The source of the messages that a producer sends.

use super::content::{filler, number};
use std::hint::black_box;

/// Numbers messages a stride at a time before they are sent, so that a send never loads bytes
/// that were stored just before it.
pub(crate) struct Source<const N: usize, const B: usize> {
    sends: Vec<[[u8; N]; B]>,
    /// The producer's first stream, and the number of streams it sends in turn.
    first: u64,
    streams: u64,
    stream: u64,
    sequence: u64,
}

/// Messages that are numbered at a time. A producer sends a multiple of it.
pub(crate) const fn stride(batch: usize) -> u64 {
    if batch == 1 { 16 } else { batch as u64 }
}

impl<const N: usize, const B: usize> Source<N, B> {
    pub(crate) fn new(producer: usize, streams: usize) -> Self {
        let mut message = [0; N];
        for (i, word) in message.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&filler(i).to_ne_bytes());
        }
        let sends = vec![[message; B]; stride(B) as usize / B];
        Source {
            // The compiler must not know what the messages hold.
            sends: black_box(sends),
            first: (producer * streams) as u64,
            streams: streams as u64,
            stream: 0,
            sequence: 0,
        }
    }

    /// The next messages, numbered.
    #[inline]
    pub(crate) fn next(&mut self) -> &[[[u8; N]; B]] {
        if self.streams == 1 {
            // The usual case, as short as possible: it is timed together with the system.
            let first = number(self.first, self.sequence);
            for (number, message) in (first..).zip(self.sends.iter_mut().flatten()) {
                message[..8].copy_from_slice(&number.to_ne_bytes());
            }
            self.sequence += stride(B);
            return &self.sends;
        }
        for message in self.sends.iter_mut().flatten() {
            let number = number(self.first + self.stream, self.sequence);
            message[..8].copy_from_slice(&number.to_ne_bytes());
            self.stream += 1;
            if self.stream == self.streams {
                self.stream = 0;
                self.sequence += 1;
            }
        }
        &self.sends
    }
}
