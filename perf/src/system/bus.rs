//! bus: one producer, consumers that each get a clone of all.

use super::{Ends, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use bus::BusReader;
use std::sync::mpsc::TryRecvError;

pub(crate) struct Bus;

pub(crate) struct Tx<const N: usize>(bus::Bus<[u8; N]>);

pub(crate) struct Rx<const N: usize>(BusReader<[u8; N]>);

impl System for Bus {
    const NAME: &'static str = "bus";
    const CRATE: &'static str = "bus";
    const PRODUCERS: usize = 1;
    const CONSUMERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = Tx<N>;
    type Receiver<const N: usize, const B: usize> = Rx<N>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let mut bus = bus::Bus::new(shape.slots(N));
        let readers = (0..shape.consumers).map(|_| Rx(bus.add_rx())).collect();
        Ok((vec![Tx(bus)], readers))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for Tx<N> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        Ok(self.0.try_broadcast(messages[0]).is_ok())
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
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(false),
        }
    }
}
