//! disruptor: events written in place, read through an event poller.

use super::system::{Endpoints, MANY, Receiver, Sender, Shape, System};
use crate::failure::Failure;
use crate::message::tally::Reader;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, MultiProducer, MultiProducerBarrier, Polling,
    Producer, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier,
};

/// The most events of one poll with the single producer's barrier. A poll costs the same for
/// any number of events, and reading a whole ring at once would stop the producer for as long.
const LIMIT_SINGLE: u64 = 256;

/// The multi producer's barrier scans all published events at every poll, so it is fastest to
/// take all of them.
const LIMIT_MULTI: u64 = u64::MAX;

/// Its producer for one thread, with one consumer.
pub(crate) struct DisruptorSingle;

/// Its producer for one thread, with several consumers: a type of its own in the builder.
pub(crate) struct DisruptorFanOut;

/// Its producer for many threads, with one consumer.
pub(crate) struct DisruptorMulti;

/// A producer of either kind.
pub(crate) struct DisruptorSender<P>(P);

/// An event poller.
pub(crate) struct DisruptorReceiver<const N: usize, Barrier>(EventPoller<[u8; N], Barrier>);

impl System for DisruptorSingle {
    const NAME: &'static str = "disruptor single";
    const CRATE: &'static str = "disruptor";
    const PRODUCERS: usize = 1;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> =
        DisruptorSender<SingleProducer<[u8; N], SingleConsumerBarrier>>;
    type Receiver<const N: usize, const B: usize> = DisruptorReceiver<N, SingleProducerBarrier>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let builder = disruptor::build_single_producer(shape.slots(N), || [0; N], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        Ok((
            vec![DisruptorSender(builder.build())],
            vec![DisruptorReceiver(poller)],
        ))
    }
}

impl System for DisruptorFanOut {
    const NAME: &'static str = "disruptor single";
    const CRATE: &'static str = "disruptor";
    const PRODUCERS: usize = 1;
    const CONSUMERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> =
        DisruptorSender<SingleProducer<[u8; N], MultiConsumerBarrier>>;
    type Receiver<const N: usize, const B: usize> = DisruptorReceiver<N, SingleProducerBarrier>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let builder = disruptor::build_single_producer(shape.slots(N), || [0; N], BusySpin);
        let (first, builder) = builder.new_event_poller();
        let (second, mut builder) = builder.new_event_poller();
        let mut pollers = vec![DisruptorReceiver(first), DisruptorReceiver(second)];
        while pollers.len() < shape.consumers {
            let (poller, next) = builder.new_event_poller();
            pollers.push(DisruptorReceiver(poller));
            builder = next;
        }
        Ok((vec![DisruptorSender(builder.build())], pollers))
    }
}

impl System for DisruptorMulti {
    const NAME: &'static str = "disruptor multi";
    const CRATE: &'static str = "disruptor";
    const PRODUCERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> =
        DisruptorSender<MultiProducer<[u8; N], SingleConsumerBarrier>>;
    type Receiver<const N: usize, const B: usize> = DisruptorReceiver<N, MultiProducerBarrier>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let builder = disruptor::build_multi_producer(shape.slots(N), || [0; N], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        let producer = builder.build();
        let producers = (0..shape.producers).map(|_| DisruptorSender(producer.clone()));
        Ok((producers.collect(), vec![DisruptorReceiver(poller)]))
    }
}

impl<const N: usize, const B: usize, P: Producer<[u8; N]>> Sender<N, B> for DisruptorSender<P> {
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
        impl<const N: usize> Receiver<N> for DisruptorReceiver<N, $barrier> {
            #[inline(always)]
            fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
                match self.0.take($limit) {
                    Ok(mut events) => {
                        for message in &mut events {
                            reader.read(message);
                        }
                        Ok(true)
                    }
                    // Without a producer the tally reports what is missing.
                    Err(Polling::NoEvents | Polling::Shutdown) => Ok(false),
                }
            }
        }
    };
}

// A macro, since the bound that both share cannot be named outside disruptor.
receiver!(SingleProducerBarrier, LIMIT_SINGLE);
receiver!(MultiProducerBarrier, LIMIT_MULTI);
