//! tokio's broadcast channel, without a runtime.
//!
//! It drops what a slow consumer has not read. To lose nothing, as the others, a producer
//! asks it now and then how many messages are still unread.

use super::{Ends, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

pub(crate) struct TokioBroadcast;

pub(crate) struct Tx<const N: usize> {
    channel: broadcast::Sender<[u8; N]>,
    /// Messages that all producers may have been granted at once: half of the ring. They are
    /// granted only while no more than the other half is unread, so nothing is lost.
    half: usize,
    producers: usize,
    granted: usize,
}

pub(crate) struct Rx<const N: usize>(broadcast::Receiver<[u8; N]>);

impl System for TokioBroadcast {
    const NAME: &'static str = "tokio broadcast";
    const CRATE: &'static str = "tokio";
    const PRODUCERS: usize = MANY;
    const CONSUMERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = Tx<N>;
    type Receiver<const N: usize, const B: usize> = Rx<N>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (channel, first) = broadcast::channel(shape.slots(N));
        let more = (1..shape.consumers).map(|_| Rx(channel.subscribe()));
        let receivers = [Rx(first)].into_iter().chain(more).collect();
        let senders = (0..shape.producers).map(|_| Tx {
            channel: channel.clone(),
            half: shape.slots(N) / 2,
            producers: shape.producers,
            granted: 0,
        });
        Ok((senders.collect(), receivers))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for Tx<N> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        if self.granted == 0 {
            if self.channel.len() > self.half {
                return Ok(false);
            }
            self.granted = self.half / self.producers;
        }
        self.granted -= 1;
        match self.channel.send(messages[0]) {
            Ok(_) => Ok(true),
            Err(_) => Err("the consumers are gone".into()),
        }
    }
}

impl<const N: usize> Receiver<N> for Rx<N> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        match self.0.try_recv() {
            Ok(message) => {
                reader.read(&message);
                Ok(true)
            }
            // The producer's end is gone. The tally says whether all came.
            Err(TryRecvError::Empty | TryRecvError::Closed) => Ok(false),
            Err(TryRecvError::Lagged(lost)) => Err(format!("{lost} messages were lost").into()),
        }
    }
}
