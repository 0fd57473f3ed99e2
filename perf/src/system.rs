//! What a system must do to be measured. One file each.
//!
//! A message is `[u8; N]`, and a send takes `[_; B]` of them: 1, or a batch. Both are known
//! when the system is compiled, so a system chooses its fastest way for each.

pub(crate) mod array_queue;
pub(crate) mod atomics;
pub(crate) mod bus;
pub(crate) mod crossbeam_channel;
pub(crate) mod crossfire;
pub(crate) mod disruptor;
pub(crate) mod each;
pub(crate) mod flume;
pub(crate) mod kanal;
pub(crate) mod lmax;
pub(crate) mod nexus_logbuf;
pub(crate) mod original;
pub(crate) mod ringlog;
pub(crate) mod ringlog_routed;
pub(crate) mod rtrb;
pub(crate) mod tokio_broadcast;

use crate::measure::Failure;
use crate::tally::Reader;

/// What a system is in a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Ringlog,
    Peer,
    /// Not a system but the least that the machine needs for the work.
    Floor,
}

/// How a system is set up.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Room for so many payload bytes, in all partitions together.
    pub(crate) ring_bytes: usize,
    pub(crate) producers: usize,
    /// Consumers that each read all.
    pub(crate) consumers: usize,
    pub(crate) partitions: usize,
    /// Lanes (`tally.rs`) that each producer sends.
    pub(crate) lanes: usize,
}

impl Shape {
    /// One producer, one consumer, one partition.
    pub(crate) fn one_to_one(ring_bytes: usize) -> Shape {
        Shape {
            ring_bytes,
            producers: 1,
            consumers: 1,
            partitions: 1,
            lanes: 1,
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.producers + self.consumers
    }

    /// Messages of `size` bytes that there is room for.
    pub(crate) fn slots(&self, size: usize) -> usize {
        self.ring_bytes / size
    }
}

/// No limit to producers, or to consumers.
pub(crate) const MANY: usize = usize::MAX;

/// A queue, ring or log.
pub(crate) trait System: 'static {
    /// As the tables call it.
    const NAME: &'static str;
    /// Its crate, whose version the tables tell.
    const CRATE: &'static str;
    const KIND: Kind = Kind::Peer;
    /// How many producers it allows.
    const PRODUCERS: usize;
    /// How many consumers can each read all.
    const CONSUMERS: usize = 1;
    /// Whether it sends many messages at once.
    const BATCHES: bool = false;

    type Sender<const N: usize, const B: usize>: Sender<N, B> + Send;
    type Receiver<const N: usize, const B: usize>: Receiver<N> + Send;

    /// A new one. To be called through [`open`].
    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure>;
}

/// The ends of a system: one for each producer, and one for each consumer.
pub(crate) type Ends<S, const N: usize, const B: usize> = (
    Vec<<S as System>::Sender<N, B>>,
    Vec<<S as System>::Receiver<N, B>>,
);

/// A new system, if it can be of this shape.
pub(crate) fn open<S: System, const N: usize, const B: usize>(
    shape: &Shape,
) -> Result<Ends<S, N, B>, Failure> {
    if B != 1 && !S::BATCHES {
        return Err(format!("{} has no batches", S::NAME).into());
    }
    for (what, asked, allowed) in [
        ("producers", shape.producers, S::PRODUCERS),
        ("consumers", shape.consumers, S::CONSUMERS),
    ] {
        if asked > allowed {
            let name = S::NAME;
            return Err(format!("{name} allows {allowed} {what}, not {asked}").into());
        }
    }
    S::ends(shape)
}

/// A producer's end.
pub(crate) trait Sender<const N: usize, const B: usize> {
    /// Sends all of these messages, or answers `false` when there was no room: the caller
    /// comes again with the same.
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure>;
}

/// A consumer's end.
pub(crate) trait Receiver<const N: usize> {
    /// Hands what is there to the reader, as much as this system likes to read at once;
    /// `false` when there was nothing.
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure>;

    /// Goes back to the first message, so that all are read once more; `false` where what
    /// was read is gone.
    fn rewind(&mut self) -> Result<bool, Failure> {
        Ok(false)
    }
}
