//! What a system must do to be measured. One file each.
//!
//! A message is `[u8; N]`, and a send takes `[_; B]` of them: 1, or a batch. Both are known
//! when the system is compiled, so a system chooses its fastest way for each.

pub(crate) mod array_queue;
pub(crate) mod disruptor;
pub(crate) mod ringlog;
pub(crate) mod rtrb;

use crate::measure::{Failure, Tally};

/// A queue, ring or log: one producer's end and one consumer's.
pub(crate) trait System {
    /// As the tables call it.
    const NAME: &'static str;
    /// It is ringlog, not a peer.
    const OURS: bool = false;

    type Sender<const N: usize, const B: usize>: Sender<N, B> + Send;
    type Receiver<const N: usize, const B: usize>: Receiver<N> + Send;

    /// A new one, with room for `ring_bytes` of messages.
    fn open<const N: usize, const B: usize>(ring_bytes: usize)
    -> Result<Ends<Self, N, B>, Failure>;
}

/// A system's two ends.
pub(crate) type Ends<S, const N: usize, const B: usize> =
    (<S as System>::Sender<N, B>, <S as System>::Receiver<N, B>);

/// The producer's end.
pub(crate) trait Sender<const N: usize, const B: usize> {
    /// Sends all of these messages, or answers `false` when there was no room.
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure>;
}

/// The consumer's end.
pub(crate) trait Receiver<const N: usize> {
    /// Counts what is there into the tally, as much as this system likes to read at once;
    /// `false` when there was nothing.
    fn receive(&mut self, tally: &mut Tally) -> Result<bool, Failure>;
}
