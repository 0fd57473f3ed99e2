//! The traits that a system implements to be measured.
//!
//! A message is `[u8; N]`, and a send takes `[_; B]` of them: 1, or a batch. Both are known at
//! compile time, so a system chooses its fastest call for each.

use crate::failure::Failure;
use crate::message::tally::Reader;

/// The role of a system in a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SystemKind {
    Ringlog,
    Peer,
    /// Not a system, but the least that the machine needs for the work.
    Floor,
}

/// The size of a system and the number of its parts.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// The payload bytes that there is room for, in all partitions together.
    pub(crate) ring_bytes: usize,
    pub(crate) producers: usize,
    /// Consumers that each read every message, or that share the streams
    /// ([`Receiver::streams`]).
    pub(crate) consumers: usize,
    pub(crate) partitions: usize,
    /// Streams (`message::content`) that each producer sends.
    pub(crate) streams: usize,
}

impl Shape {
    /// One producer, one consumer, one partition.
    pub(crate) fn one_to_one(ring_bytes: usize) -> Shape {
        Shape {
            ring_bytes,
            producers: 1,
            consumers: 1,
            partitions: 1,
            streams: 1,
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.producers + self.consumers
    }

    /// The number of messages of `size` bytes that there is room for.
    pub(crate) fn slots(&self, size: usize) -> usize {
        self.ring_bytes / size
    }
}

/// No limit to producers, or to consumers.
pub(crate) const MANY: usize = usize::MAX;

/// A queue, ring or log.
pub(crate) trait System: 'static {
    /// Its name in the tables.
    const NAME: &'static str;
    /// Its crate, whose version is reported.
    const CRATE: &'static str;
    const KIND: SystemKind = SystemKind::Peer;
    /// The most producers that it allows.
    const PRODUCERS: usize;
    /// The most consumers.
    const CONSUMERS: usize = 1;
    /// Whether it can send many messages at once.
    const BATCHES: bool = false;

    type Sender<const N: usize, const B: usize>: Sender<N, B> + Send;
    type Receiver<const N: usize, const B: usize>: Receiver<N> + Send;

    /// Creates the system. Called through [`open`], which checks the shape.
    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure>;
}

/// The endpoints of a system: one for each producer, and one for each consumer.
pub(crate) type Endpoints<S, const N: usize, const B: usize> = (
    Vec<<S as System>::Sender<N, B>>,
    Vec<<S as System>::Receiver<N, B>>,
);

/// Creates a system, unless it does not support this shape.
pub(crate) fn open<S: System, const N: usize, const B: usize>(
    shape: &Shape,
) -> Result<Endpoints<S, N, B>, Failure> {
    if B != 1 && !S::BATCHES {
        return Err(format!("{} has no batches", S::NAME).into());
    }
    for (what, wanted, allowed) in [
        ("producers", shape.producers, S::PRODUCERS),
        ("consumers", shape.consumers, S::CONSUMERS),
    ] {
        if wanted > allowed {
            let name = S::NAME;
            return Err(format!("{name} allows {allowed} {what}, not {wanted}").into());
        }
    }
    S::endpoints(shape)
}

/// A producer's endpoint.
pub(crate) trait Sender<const N: usize, const B: usize> {
    /// Sends all of these messages, or returns `false` if there is no room: the caller then
    /// tries again with the same messages.
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure>;

    /// Sends what is still gathered, after the last `send`; `false` if there is no room.
    #[inline(always)]
    fn finish(&mut self) -> Result<bool, Failure> {
        Ok(true)
    }
}

/// A consumer's endpoint.
pub(crate) trait Receiver<const N: usize> {
    /// Hands available messages to the reader, as many as suit this system; `false` if there
    /// are none.
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure>;

    /// The streams whose messages this receiver gets, if not all.
    fn streams(&self) -> Option<&[usize]> {
        None
    }

    /// Goes back to the first message, so that all are read again; `false` if the system does
    /// not keep what was read.
    fn rewind(&mut self) -> Result<bool, Failure> {
        Ok(false)
    }
}
