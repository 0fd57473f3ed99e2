//! rtrb: `push` and `pop` for single messages, chunks for batches.

use super::{Ends, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;

pub(crate) struct Rtrb;

pub(crate) struct Tx<const N: usize, const B: usize>(rtrb::Producer<[u8; N]>);

pub(crate) struct Rx<const N: usize, const B: usize>(rtrb::Consumer<[u8; N]>);

impl System for Rtrb {
    const NAME: &'static str = "rtrb";
    const CRATE: &'static str = "rtrb";
    const PRODUCERS: usize = 1;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = Tx<N, B>;
    type Receiver<const N: usize, const B: usize> = Rx<N, B>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (producer, consumer) = rtrb::RingBuffer::new(shape.slots(N));
        Ok((vec![Tx(producer)], vec![Rx(consumer)]))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for Tx<N, B> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        if B == 1 {
            return Ok(self.0.push(messages[0]).is_ok());
        }
        Ok(self.0.push_entire_slice(messages).is_ok())
    }
}

impl<const N: usize, const B: usize> Receiver<N> for Rx<N, B> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        if B == 1 {
            let Ok(message) = self.0.pop() else {
                return Ok(false);
            };
            reader.read(&message);
            return Ok(true);
        }
        // A batch at a time, so that the producer gets its room back as early.
        let there = self.0.slots().min(B);
        if there == 0 {
            return Ok(false);
        }
        let chunk = self.0.read_chunk(there)?;
        let (first, second) = chunk.as_slices();
        reader.read_all(first);
        reader.read_all(second);
        chunk.commit_all();
        Ok(true)
    }
}
