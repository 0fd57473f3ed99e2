//! crossbeam's `ArrayQueue`. It has no batches.

use super::{Ends, Receiver, Sender, System};
use crate::measure::{Failure, Tally};
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;

pub(crate) struct CrossbeamArrayQueue;

pub(crate) struct End<const N: usize>(Arc<ArrayQueue<[u8; N]>>);

impl System for CrossbeamArrayQueue {
    const NAME: &'static str = "crossbeam ArrayQueue";
    type Sender<const N: usize, const B: usize> = End<N>;
    type Receiver<const N: usize, const B: usize> = End<N>;

    fn open<const N: usize, const B: usize>(
        ring_bytes: usize,
    ) -> Result<Ends<Self, N, B>, Failure> {
        if B != 1 {
            return Err("ArrayQueue has no batches".into());
        }
        let queue = Arc::new(ArrayQueue::new(ring_bytes / N));
        Ok((End(queue.clone()), End(queue)))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for End<N> {
    #[inline]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        Ok(self.0.push(messages[0]).is_ok())
    }
}

impl<const N: usize> Receiver<N> for End<N> {
    #[inline]
    fn receive(&mut self, tally: &mut Tally) -> Result<bool, Failure> {
        let Some(message) = self.0.pop() else {
            return Ok(false);
        };
        tally.count(&message);
        Ok(true)
    }
}
