//! crossbeam's `ArrayQueue`. It has no batches.

use super::{Ends, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use crossbeam_queue::ArrayQueue;
use std::sync::Arc;

pub(crate) struct CrossbeamArrayQueue;

pub(crate) struct End<const N: usize>(Arc<ArrayQueue<[u8; N]>>);

impl System for CrossbeamArrayQueue {
    const NAME: &'static str = "crossbeam ArrayQueue";
    const CRATE: &'static str = "crossbeam-queue";
    const PRODUCERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = End<N>;
    type Receiver<const N: usize, const B: usize> = End<N>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let queue = Arc::new(ArrayQueue::new(shape.slots(N)));
        let senders = (0..shape.producers).map(|_| End(queue.clone()));
        Ok((senders.collect(), vec![End(queue.clone())]))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for End<N> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        Ok(self.0.push(messages[0]).is_ok())
    }
}

impl<const N: usize> Receiver<N> for End<N> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        let Some(message) = self.0.pop() else {
            return Ok(false);
        };
        reader.read(&message);
        Ok(true)
    }
}
