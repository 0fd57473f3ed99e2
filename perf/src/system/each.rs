//! Several rings of a system for one producer and one consumer, put together by hand: what
//! its users do for partitions, for several producers, or for several consumers.

use super::{Ends, Kind, MANY, Receiver, Sender, Shape, System, open};
use crate::measure::Failure;
use crate::tally::{Reader, lane};
use std::marker::PhantomData;

/// Reads of one ring before the consumer turns to the next.
const SOME: usize = 64;

/// A ring for each partition: a message goes to the one of its lane. With several producers
/// each has the partitions of its own lanes.
pub(crate) struct EachPartition<S>(PhantomData<S>);

/// A ring for each consumer: a message goes to all of them.
pub(crate) struct EachConsumer<S>(PhantomData<S>);

pub(crate) struct Routed<E>(Vec<E>);

pub(crate) struct Copied<E> {
    rings: Vec<E>,
    /// The ring that the current message has come to.
    at: usize,
}

pub(crate) struct InTurn<E> {
    rings: Vec<E>,
    next: usize,
}

impl<S: System> System for EachPartition<S> {
    const NAME: &'static str = S::NAME;
    const CRATE: &'static str = S::CRATE;
    const KIND: Kind = S::KIND;
    const PRODUCERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = Routed<S::Sender<N, B>>;
    type Receiver<const N: usize, const B: usize> = InTurn<S::Receiver<N, B>>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let each = Shape::one_to_one(shape.ring_bytes / shape.partitions);
        let mut senders: Vec<_> = (0..shape.producers).map(|_| Routed(Vec::new())).collect();
        let mut receivers = Vec::new();
        for partition in 0..shape.partitions {
            let (tx, rx) = open::<S, N, B>(&each)?;
            senders[partition % shape.producers].0.extend(tx);
            receivers.extend(rx);
        }
        let (rings, next) = (receivers, 0);
        Ok((senders, vec![InTurn { rings, next }]))
    }
}

impl<S: System> System for EachConsumer<S> {
    const NAME: &'static str = S::NAME;
    const CRATE: &'static str = S::CRATE;
    const KIND: Kind = S::KIND;
    const PRODUCERS: usize = 1;
    const CONSUMERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = Copied<S::Sender<N, B>>;
    type Receiver<const N: usize, const B: usize> = S::Receiver<N, B>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let each = Shape::one_to_one(shape.ring_bytes);
        let (mut rings, mut receivers) = (Vec::new(), Vec::new());
        for _ in 0..shape.consumers {
            let (tx, rx) = open::<S, N, B>(&each)?;
            rings.extend(tx);
            receivers.extend(rx);
        }
        Ok((vec![Copied { rings, at: 0 }], receivers))
    }
}

impl<E: Sender<N, B>, const N: usize, const B: usize> Sender<N, B> for Routed<E> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        let ring = lane(&messages[0]) % self.0.len();
        self.0[ring].send(messages)
    }
}

impl<E: Sender<N, B>, const N: usize, const B: usize> Sender<N, B> for Copied<E> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        while let Some(ring) = self.rings.get_mut(self.at) {
            if !ring.send(messages)? {
                return Ok(false);
            }
            self.at += 1;
        }
        self.at = 0;
        Ok(true)
    }
}

impl<E: Receiver<N>, const N: usize> Receiver<N> for InTurn<E> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        for _ in 0..self.rings.len() {
            let ring = self.next;
            self.next = if ring + 1 == self.rings.len() {
                0
            } else {
                ring + 1
            };
            let mut came = 0;
            while came < SOME && self.rings[ring].receive(reader)? {
                came += 1;
            }
            if came > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
