//! disruptor: events written in place, read through an event poller.

use super::{Ends, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, MultiProducer, MultiProducerBarrier, Polling,
    Producer, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier,
};

/// Events of one poll with the single producer's barrier, where a poll costs the same
/// whatever is there, and reading a whole ring at once would stop the producer for as long.
const SOME: u64 = 256;

/// The multi producer's barrier looks through all that is published at every poll, so the
/// fast way is to take all of it.
const ALL: u64 = u64::MAX;

/// Its producer for one thread, with one consumer.
pub(crate) struct DisruptorSingle;

/// Its producer for one thread, with several consumers: its builder gives that another type.
pub(crate) struct DisruptorFanOut;

/// Its producer for many threads, with one consumer.
pub(crate) struct DisruptorMulti;

pub(crate) struct Tx<P>(P);

pub(crate) struct Rx<const N: usize, Barrier>(EventPoller<[u8; N], Barrier>);

impl System for DisruptorSingle {
    const NAME: &'static str = "disruptor single";
    const CRATE: &'static str = "disruptor";
    const PRODUCERS: usize = 1;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> =
        Tx<SingleProducer<[u8; N], SingleConsumerBarrier>>;
    type Receiver<const N: usize, const B: usize> = Rx<N, SingleProducerBarrier>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let builder = disruptor::build_single_producer(shape.slots(N), || [0; N], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        Ok((vec![Tx(builder.build())], vec![Rx(poller)]))
    }
}

impl System for DisruptorFanOut {
    const NAME: &'static str = "disruptor single";
    const CRATE: &'static str = "disruptor";
    const PRODUCERS: usize = 1;
    const CONSUMERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = Tx<SingleProducer<[u8; N], MultiConsumerBarrier>>;
    type Receiver<const N: usize, const B: usize> = Rx<N, SingleProducerBarrier>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let builder = disruptor::build_single_producer(shape.slots(N), || [0; N], BusySpin);
        let (first, builder) = builder.new_event_poller();
        let (second, mut builder) = builder.new_event_poller();
        let mut pollers = vec![Rx(first), Rx(second)];
        while pollers.len() < shape.consumers {
            let (poller, next) = builder.new_event_poller();
            pollers.push(Rx(poller));
            builder = next;
        }
        Ok((vec![Tx(builder.build())], pollers))
    }
}

impl System for DisruptorMulti {
    const NAME: &'static str = "disruptor multi";
    const CRATE: &'static str = "disruptor";
    const PRODUCERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = Tx<MultiProducer<[u8; N], SingleConsumerBarrier>>;
    type Receiver<const N: usize, const B: usize> = Rx<N, MultiProducerBarrier>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let builder = disruptor::build_multi_producer(shape.slots(N), || [0; N], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        let producer = builder.build();
        let producers = (0..shape.producers).map(|_| Tx(producer.clone()));
        Ok((producers.collect(), vec![Rx(poller)]))
    }
}

impl<const N: usize, const B: usize, P: Producer<[u8; N]>> Sender<N, B> for Tx<P> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        if B == 1 {
            return Ok(self.0.try_publish(|slot| *slot = messages[0]).is_ok());
        }
        let sent = self.0.try_batch_publish(B, |slots| {
            for (slot, message) in slots.zip(messages) {
                *slot = *message;
            }
        });
        Ok(sent.is_ok())
    }
}

macro_rules! receiver {
    ($barrier:ty, $limit:expr) => {
        impl<const N: usize> Receiver<N> for Rx<N, $barrier> {
            #[inline(always)]
            fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
                match self.0.take($limit) {
                    Ok(mut events) => {
                        for message in &mut events {
                            reader.read(message);
                        }
                        Ok(true)
                    }
                    // The producer's end is gone. The tally says whether all came.
                    Err(Polling::NoEvents | Polling::Shutdown) => Ok(false),
                }
            }
        }
    };
}

// One body for both: the bound that they share cannot be named outside disruptor.
receiver!(SingleProducerBarrier, SOME);
receiver!(MultiProducerBarrier, ALL);
