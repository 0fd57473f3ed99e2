//! Two bare words on cache lines of their own: the floor of a round trip.
//!
//! A message is what the word holds, so there may be only one on its way.

use super::system::{Endpoints, Receiver, Sender, Shape, System, SystemKind};
use crate::failure::Failure;
use crate::message::content::word;
use crate::message::tally::Reader;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One word for each direction.
pub(crate) struct Atomics;

pub(crate) struct AtomicSender(Arc<CachePadded<AtomicU64>>);

pub(crate) struct AtomicReceiver {
    word: Arc<CachePadded<AtomicU64>>,
    last: u64,
}

/// The value of the word before the first message.
const EMPTY: u64 = u64::MAX;

impl System for Atomics {
    const NAME: &'static str = "bare atomic words";
    const CRATE: &'static str = "std";
    const KIND: SystemKind = SystemKind::Floor;
    const PRODUCERS: usize = 1;
    type Sender<const N: usize, const B: usize> = AtomicSender;
    type Receiver<const N: usize, const B: usize> = AtomicReceiver;

    fn endpoints<const N: usize, const B: usize>(
        _shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let word = Arc::new(CachePadded::new(AtomicU64::new(EMPTY)));
        let last = EMPTY;
        Ok((
            vec![AtomicSender(word.clone())],
            vec![AtomicReceiver { word, last }],
        ))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for AtomicSender {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        self.0.store(word(&messages[0][..8]), Ordering::Release);
        Ok(true)
    }
}

impl<const N: usize> Receiver<N> for AtomicReceiver {
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
