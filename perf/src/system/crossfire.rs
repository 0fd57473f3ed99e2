//! crossfire's bounded blocking channels: the one for one producer, and the one for many.

use super::{Ends, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use crossfire::{MTx, Rx, TrySendError, Tx, mpsc, spsc};

/// Its channel for one producer.
pub(crate) struct CrossfireSpsc;

/// Its channel for many producers.
pub(crate) struct CrossfireMpsc;

pub(crate) struct End<E>(E);

impl System for CrossfireSpsc {
    const NAME: &'static str = "crossfire spsc";
    const CRATE: &'static str = "crossfire";
    const PRODUCERS: usize = 1;
    type Sender<const N: usize, const B: usize> = End<Tx<spsc::Array<[u8; N]>>>;
    type Receiver<const N: usize, const B: usize> = End<Rx<spsc::Array<[u8; N]>>>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (tx, rx) = spsc::bounded_blocking(shape.slots(N));
        Ok((vec![End(tx)], vec![End(rx)]))
    }
}

impl System for CrossfireMpsc {
    const NAME: &'static str = "crossfire mpsc";
    const CRATE: &'static str = "crossfire";
    const PRODUCERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = End<MTx<mpsc::Array<[u8; N]>>>;
    type Receiver<const N: usize, const B: usize> = End<Rx<mpsc::Array<[u8; N]>>>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (tx, rx) = mpsc::bounded_blocking(shape.slots(N));
        let senders = (0..shape.producers).map(|_| End(tx.clone())).collect();
        Ok((senders, vec![End(rx)]))
    }
}

macro_rules! ends {
    ($tx:ident, $flavor:ident) => {
        impl<const N: usize, const B: usize> Sender<N, B> for End<$tx<$flavor::Array<[u8; N]>>> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                match self.0.try_send(messages[0]) {
                    Ok(()) => Ok(true),
                    Err(TrySendError::Full(_)) => Ok(false),
                    Err(TrySendError::Disconnected(_)) => Err("the consumer is gone".into()),
                }
            }
        }

        impl<const N: usize> Receiver<N> for End<Rx<$flavor::Array<[u8; N]>>> {
            #[inline(always)]
            fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
                // Empty, or the producer's end is gone: the tally says whether all came.
                let Ok(message) = self.0.try_recv() else {
                    return Ok(false);
                };
                reader.read(&message);
                Ok(true)
            }
        }
    };
}

ends!(Tx, spsc);
ends!(MTx, mpsc);
