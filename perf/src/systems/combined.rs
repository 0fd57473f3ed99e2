//! Several rings of a system for one producer and one consumer, combined by hand.
//!
//! Its users do the same for partitions, for several producers, or for several consumers.
//! And the receiver of a part of the messages.

use super::system::{Endpoints, MANY, Receiver, Sender, Shape, System, SystemKind, open};
use crate::failure::Failure;
use crate::message::content::stream;
use crate::message::tally::Reader;
use std::marker::PhantomData;

/// Reads of one ring before the consumer moves to the next.
const READS_PER_RING: usize = 64;

/// A ring for each partition: a message is sent to the ring of its stream. Each of several
/// producers has the partitions of its own streams.
pub(crate) struct RingPerPartition<S>(PhantomData<S>);

/// A ring for each pair of a producer and a consumer, so that consumer `i` reads what producer `i`
/// sends.
pub(crate) struct RingPerPair<S>(PhantomData<S>);

/// A ring for each consumer: a message is sent to all of them.
pub(crate) struct RingPerConsumer<S>(PhantomData<S>);

/// Sends each message to one ring.
pub(crate) struct RoutingSender<E>(Vec<E>);

/// Sends each message to every ring.
pub(crate) struct CopyingSender<E> {
    rings: Vec<E>,
    /// The first ring that the current message has not been sent to.
    ring: usize,
}

/// Reads the rings in turn.
pub(crate) struct RotatingReceiver<E> {
    rings: Vec<E>,
    next: usize,
}

/// Receives the messages of some of the streams.
pub(crate) struct PartReceiver<E> {
    pub(crate) receiver: E,
    pub(crate) streams: Vec<usize>,
}

impl<S: System> System for RingPerPair<S> {
    const NAME: &'static str = S::NAME;
    const CRATE: &'static str = S::CRATE;
    const KIND: SystemKind = S::KIND;
    const PRODUCERS: usize = MANY;
    const CONSUMERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = S::Sender<N, B>;
    type Receiver<const N: usize, const B: usize> = PartReceiver<S::Receiver<N, B>>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let each = Shape::one_to_one(shape.ring_bytes / shape.producers);
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for pair in 0..shape.producers {
            let (tx, rx) = open::<S, N, B>(&each)?;
            senders.extend(tx);
            let streams = producer_streams(pair, shape);
            receivers.extend(rx.into_iter().map(|receiver| PartReceiver {
                receiver,
                streams: streams.clone(),
            }));
        }
        Ok((senders, receivers))
    }
}

/// The streams that a producer sends.
pub(super) fn producer_streams(producer: usize, shape: &Shape) -> Vec<usize> {
    let first = producer * shape.streams;
    (first..first + shape.streams).collect()
}

impl<E: Receiver<N>, const N: usize> Receiver<N> for PartReceiver<E> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        self.receiver.receive(reader)
    }

    fn streams(&self) -> Option<&[usize]> {
        Some(&self.streams)
    }
}

impl<S: System> System for RingPerPartition<S> {
    const NAME: &'static str = S::NAME;
    const CRATE: &'static str = S::CRATE;
    const KIND: SystemKind = S::KIND;
    const PRODUCERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = RoutingSender<S::Sender<N, B>>;
    type Receiver<const N: usize, const B: usize> = RotatingReceiver<S::Receiver<N, B>>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let each = Shape::one_to_one(shape.ring_bytes / shape.partitions);
        let mut senders: Vec<_> = (0..shape.producers)
            .map(|_| RoutingSender(Vec::new()))
            .collect();
        let mut receivers = Vec::new();
        for partition in 0..shape.partitions {
            let (tx, rx) = open::<S, N, B>(&each)?;
            senders[partition % shape.producers].0.extend(tx);
            receivers.extend(rx);
        }
        let (rings, next) = (receivers, 0);
        Ok((senders, vec![RotatingReceiver { rings, next }]))
    }
}

impl<S: System> System for RingPerConsumer<S> {
    const NAME: &'static str = S::NAME;
    const CRATE: &'static str = S::CRATE;
    const KIND: SystemKind = S::KIND;
    const PRODUCERS: usize = 1;
    const CONSUMERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = CopyingSender<S::Sender<N, B>>;
    type Receiver<const N: usize, const B: usize> = S::Receiver<N, B>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let each = Shape::one_to_one(shape.ring_bytes);
        let (mut rings, mut receivers) = (Vec::new(), Vec::new());
        for _ in 0..shape.consumers {
            let (tx, rx) = open::<S, N, B>(&each)?;
            rings.extend(tx);
            receivers.extend(rx);
        }
        Ok((vec![CopyingSender { rings, ring: 0 }], receivers))
    }
}

impl<E: Sender<N, B>, const N: usize, const B: usize> Sender<N, B> for RoutingSender<E> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        let ring = stream(&messages[0]) % self.0.len();
        self.0[ring].send(messages)
    }
}

impl<E: Sender<N, B>, const N: usize, const B: usize> Sender<N, B> for CopyingSender<E> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        while let Some(ring) = self.rings.get_mut(self.ring) {
            if !ring.send(messages)? {
                return Ok(false);
            }
            self.ring += 1;
        }
        self.ring = 0;
        Ok(true)
    }
}

impl<E: Receiver<N>, const N: usize> Receiver<N> for RotatingReceiver<E> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        for _ in 0..self.rings.len() {
            let ring = self.next;
            self.next = if ring + 1 == self.rings.len() {
                0
            } else {
                ring + 1
            };
            let mut received = 0;
            while received < READS_PER_RING && self.rings[ring].receive(reader)? {
                received += 1;
            }
            if received > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
