//! Two bare words on cache lines of their own: the floor of a round trip. A message is
//! whatever the word holds, so there may be only one on the way.

use super::{Ends, Kind, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::{Reader, word};
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Atomics;

pub(crate) struct Tx(Arc<CachePadded<AtomicU64>>);

pub(crate) struct Rx {
    word: Arc<CachePadded<AtomicU64>>,
    last: u64,
}

/// What the word holds before the first message.
const NOTHING: u64 = u64::MAX;

impl System for Atomics {
    const NAME: &'static str = "bare atomic words";
    const CRATE: &'static str = "std";
    const KIND: Kind = Kind::Floor;
    const PRODUCERS: usize = 1;
    type Sender<const N: usize, const B: usize> = Tx;
    type Receiver<const N: usize, const B: usize> = Rx;

    fn ends<const N: usize, const B: usize>(_shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let word = Arc::new(CachePadded::new(AtomicU64::new(NOTHING)));
        let last = NOTHING;
        Ok((vec![Tx(word.clone())], vec![Rx { word, last }]))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for Tx {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        self.0.store(word(&messages[0][..8]), Ordering::Release);
        Ok(true)
    }
}

impl<const N: usize> Receiver<N> for Rx {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        let now = self.word.load(Ordering::Acquire);
        if now == self.last {
            return Ok(false);
        }
        self.last = now;
        let mut message = [0; N];
        message[..8].copy_from_slice(&now.to_ne_bytes());
        reader.read(&message);
        Ok(true)
    }
}
