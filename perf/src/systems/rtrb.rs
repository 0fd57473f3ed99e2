//! rtrb: `push` and `pop` for single messages, chunks for batches.

use super::system::{Endpoints, Receiver, Sender, Shape, System};
use crate::failure::Failure;
use crate::message::tally::Reader;

/// A ring for one producer and one consumer.
pub(crate) struct Rtrb;

pub(crate) struct RtrbSender<const N: usize, const B: usize>(rtrb::Producer<[u8; N]>);

pub(crate) struct RtrbReceiver<const N: usize, const B: usize>(rtrb::Consumer<[u8; N]>);

impl System for Rtrb {
    const NAME: &'static str = "rtrb";
    const CRATE: &'static str = "rtrb";
    const PRODUCERS: usize = 1;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = RtrbSender<N, B>;
    type Receiver<const N: usize, const B: usize> = RtrbReceiver<N, B>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let (producer, consumer) = rtrb::RingBuffer::new(shape.slots(N));
        Ok((vec![RtrbSender(producer)], vec![RtrbReceiver(consumer)]))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for RtrbSender<N, B> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        if B == 1 {
            return Ok(self.0.push(messages[0]).is_ok());
        }
        Ok(self.0.push_entire_slice(messages).is_ok())
    }
}

impl<const N: usize, const B: usize> Receiver<N> for RtrbReceiver<N, B> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        if B == 1 {
            let Ok(message) = self.0.pop() else {
                return Ok(false);
            };
            reader.read(&message);
            return Ok(true);
        }
        // A batch at a time, so that the producer gets its room back early.
        let available = self.0.slots().min(B);
        if available == 0 {
            return Ok(false);
        }
        let chunk = self.0.read_chunk(available)?;
        let (first, second) = chunk.as_slices();
        reader.read_all(first);
        reader.read_all(second);
        chunk.commit_all();
        Ok(true)
    }
}
