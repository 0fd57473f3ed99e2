//! flume's bounded channel.

use super::{Ends, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use flume::TrySendError;

pub(crate) struct Flume;

pub(crate) struct Tx<const N: usize>(flume::Sender<[u8; N]>);

pub(crate) struct Rx<const N: usize>(flume::Receiver<[u8; N]>);

impl System for Flume {
    const NAME: &'static str = "flume";
    const CRATE: &'static str = "flume";
    const PRODUCERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = Tx<N>;
    type Receiver<const N: usize, const B: usize> = Rx<N>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (tx, rx) = flume::bounded(shape.slots(N));
        let senders = (0..shape.producers).map(|_| Tx(tx.clone())).collect();
        Ok((senders, vec![Rx(rx)]))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for Tx<N> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        match self.0.try_send(messages[0]) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Disconnected(_)) => Err("the consumer is gone".into()),
        }
    }
}

impl<const N: usize> Receiver<N> for Rx<N> {
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
