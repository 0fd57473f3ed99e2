//! nexus-logbuf: byte rings for messages of any length, written and read in place.

use super::{Ends, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use nexus_logbuf::{mpsc, spsc};

/// Its ring for one producer.
pub(crate) struct NexusSpsc;

/// Its ring for many producers.
pub(crate) struct NexusMpsc;

pub(crate) struct End<E>(E);

/// Bytes of the ring: each message has 8 of its own, and the ring is a power of two, rounded
/// down to it here. So it holds 1 to 2 times fewer messages than the others.
fn capacity(ring_bytes: usize, size: usize) -> usize {
    let bytes = ring_bytes / size * (size + 8);
    1 << bytes.ilog2()
}

impl System for NexusSpsc {
    const NAME: &'static str = "nexus-logbuf spsc";
    const CRATE: &'static str = "nexus-logbuf";
    const PRODUCERS: usize = 1;
    type Sender<const N: usize, const B: usize> = End<spsc::Producer>;
    type Receiver<const N: usize, const B: usize> = End<spsc::Consumer>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (tx, rx) = spsc::new(capacity(shape.ring_bytes, N));
        Ok((vec![End(tx)], vec![End(rx)]))
    }
}

impl System for NexusMpsc {
    const NAME: &'static str = "nexus-logbuf mpsc";
    const CRATE: &'static str = "nexus-logbuf";
    const PRODUCERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = End<mpsc::Producer>;
    type Receiver<const N: usize, const B: usize> = End<mpsc::Consumer>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (tx, rx) = mpsc::new(capacity(shape.ring_bytes, N));
        let senders = (0..shape.producers).map(|_| End(tx.clone())).collect();
        Ok((senders, vec![End(rx)]))
    }
}

macro_rules! ends {
    ($flavor:ident) => {
        impl<const N: usize, const B: usize> Sender<N, B> for End<$flavor::Producer> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                let Ok(mut claim) = self.0.try_claim(N) else {
                    return Ok(false);
                };
                claim.copy_from_slice(&messages[0]);
                claim.commit();
                Ok(true)
            }
        }

        impl<const N: usize> Receiver<N> for End<$flavor::Consumer> {
            #[inline(always)]
            fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
                let Some(record) = self.0.try_claim() else {
                    return Ok(false);
                };
                reader.read((*record).try_into()?);
                Ok(true)
            }
        }
    };
}

ends!(spsc);
ends!(mpsc);
