//! Peers that send one message at a time, each described by its differences from the others.
//!
//! The macro generates the same `System`, `Sender` and `Receiver` for all of them. The
//! expressions are inlined into the timed loop as they are written here, and nothing is added.

use super::system::{Endpoints, MANY, Receiver, Sender, Shape, System};
use crate::failure::Failure;
use crate::message::tally::Reader;
use crossbeam_queue::ArrayQueue;
use std::sync::{Arc, mpsc};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

/// Generates a system without batches.
///
/// - `ends`: the types of the endpoints; messages are `[u8; N]`.
/// - `open`: the endpoints for a shape.
/// - `send`: sends `*message`; `Ok(false)` if there is no room.
/// - `receive`: an attempt to receive, then the arms for its result. The first arm is a success,
///   with a reference to the message. Without other arms, every other result means that there is
///   no message. A receiver whose producer is gone finds none: the tally reports what is missing.
macro_rules! channel {
    (
        $(#[$doc:meta])*
        $system:ident, $name:literal, crate $package:literal,
        producers $producers:expr, consumers $consumers:expr;
        ends $sender:ty, $receiver:ty;
        open($shape:ident) $open:expr;
        send($tx:ident, $message:ident) $send:expr;
        receive($rx:ident) $receive:expr, {
            $received:pat => $reference:expr,
            $($other:pat => $result:expr,)*
        }
    ) => {
        $(#[$doc])*
        pub(crate) struct $system;

        impl System for $system {
            const NAME: &'static str = $name;
            const CRATE: &'static str = $package;
            const PRODUCERS: usize = $producers;
            const CONSUMERS: usize = $consumers;
            type Sender<const N: usize, const B: usize> = $sender;
            type Receiver<const N: usize, const B: usize> = $receiver;

            fn endpoints<const N: usize, const B: usize>(
                $shape: &Shape,
            ) -> Result<Endpoints<Self, N, B>, Failure> {
                Ok($open)
            }
        }

        impl<const N: usize, const B: usize> Sender<N, B> for $sender {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                let ($tx, $message) = (self, &messages[0]);
                $send
            }
        }

        impl<const N: usize> Receiver<N> for $receiver {
            #[inline(always)]
            fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
                let $rx = self;
                received!(reader, $receive, $received => $reference, $($other => $result,)*)
            }
        }
    };
}

/// Reads the message of a successful attempt. The optional arms are for all other results.
macro_rules! received {
    ($reader:ident, $receive:expr, $received:pat => $reference:expr,) => {{
        let $received = $receive else {
            return Ok(false);
        };
        $reader.read($reference);
        Ok(true)
    }};
    (
        $reader:ident, $receive:expr, $received:pat => $reference:expr,
        $($other:pat => $result:expr,)+
    ) => {
        match $receive {
            $received => {
                $reader.read($reference);
                Ok(true)
            }
            $($other => $result,)+
        }
    };
}

/// The result of a non-blocking send, for crates whose error is `Full` or `Disconnected`.
macro_rules! room {
    ($sent:expr, $($error:ident)::+) => {
        match $sent {
            Ok(()) => Ok(true),
            Err($($error::)+Full(_)) => Ok(false),
            Err($($error::)+Disconnected(_)) => Err("the consumer is gone".into()),
        }
    };
}

/// A clone of the sender for each producer.
fn clones<T: Clone>(sender: &T, shape: &Shape) -> Vec<T> {
    (0..shape.producers).map(|_| sender.clone()).collect()
}

channel! {
    /// crossbeam's `ArrayQueue`.
    CrossbeamArrayQueue, "crossbeam ArrayQueue", crate "crossbeam-queue",
    producers MANY, consumers 1;
    ends Arc<ArrayQueue<[u8; N]>>, Arc<ArrayQueue<[u8; N]>>;
    open(shape) {
        let queue = Arc::new(ArrayQueue::new(shape.slots(N)));
        (clones(&queue, shape), vec![queue])
    };
    send(queue, message) Ok(queue.push(*message).is_ok());
    receive(queue) queue.pop(), {
        Some(message) => &message,
    }
}

channel! {
    /// crossbeam's bounded channel.
    CrossbeamChannel, "crossbeam-channel", crate "crossbeam-channel",
    producers MANY, consumers 1;
    ends crossbeam_channel::Sender<[u8; N]>, crossbeam_channel::Receiver<[u8; N]>;
    open(shape) {
        let (tx, rx) = crossbeam_channel::bounded(shape.slots(N));
        (clones(&tx, shape), vec![rx])
    };
    send(tx, message) room!(tx.try_send(*message), crossbeam_channel::TrySendError);
    receive(rx) rx.try_recv(), {
        Ok(message) => &message,
    }
}

channel! {
    /// flume's bounded channel.
    Flume, "flume", crate "flume",
    producers MANY, consumers 1;
    ends flume::Sender<[u8; N]>, flume::Receiver<[u8; N]>;
    open(shape) {
        let (tx, rx) = flume::bounded(shape.slots(N));
        (clones(&tx, shape), vec![rx])
    };
    send(tx, message) room!(tx.try_send(*message), flume::TrySendError);
    receive(rx) rx.try_recv(), {
        Ok(message) => &message,
    }
}

channel! {
    /// kanal's bounded channel.
    Kanal, "kanal", crate "kanal",
    producers MANY, consumers 1;
    ends kanal::Sender<[u8; N]>, kanal::Receiver<[u8; N]>;
    open(shape) {
        let (tx, rx) = kanal::bounded(shape.slots(N));
        (clones(&tx, shape), vec![rx])
    };
    send(tx, message) Ok(tx.try_send(*message)?);
    receive(rx) rx.try_recv(), {
        Ok(Some(message)) => &message,
    }
}

channel! {
    /// crossfire's bounded blocking channel for one producer.
    CrossfireSpsc, "crossfire spsc", crate "crossfire",
    producers 1, consumers 1;
    ends crossfire::Tx<crossfire::spsc::Array<[u8; N]>>,
        crossfire::Rx<crossfire::spsc::Array<[u8; N]>>;
    open(shape) {
        let (tx, rx) = crossfire::spsc::bounded_blocking(shape.slots(N));
        (vec![tx], vec![rx])
    };
    send(tx, message) room!(tx.try_send(*message), crossfire::TrySendError);
    receive(rx) rx.try_recv(), {
        Ok(message) => &message,
    }
}

channel! {
    /// crossfire's bounded blocking channel for many producers.
    CrossfireMpsc, "crossfire mpsc", crate "crossfire",
    producers MANY, consumers 1;
    ends crossfire::MTx<crossfire::mpsc::Array<[u8; N]>>,
        crossfire::Rx<crossfire::mpsc::Array<[u8; N]>>;
    open(shape) {
        let (tx, rx) = crossfire::mpsc::bounded_blocking(shape.slots(N));
        (clones(&tx, shape), vec![rx])
    };
    send(tx, message) room!(tx.try_send(*message), crossfire::TrySendError);
    receive(rx) rx.try_recv(), {
        Ok(message) => &message,
    }
}

channel! {
    /// bus: one producer, and consumers that each receive a clone of every message.
    Bus, "bus", crate "bus",
    producers 1, consumers MANY;
    ends bus::Bus<[u8; N]>, bus::BusReader<[u8; N]>;
    open(shape) {
        let mut bus = bus::Bus::new(shape.slots(N));
        let readers = (0..shape.consumers).map(|_| bus.add_rx()).collect();
        (vec![bus], readers)
    };
    send(bus, message) Ok(bus.try_broadcast(*message).is_ok());
    receive(rx) rx.try_recv(), {
        Ok(message) => &message,
        Err(mpsc::TryRecvError::Empty | mpsc::TryRecvError::Disconnected) => Ok(false),
    }
}

// nexus-logbuf: byte rings for messages of any length, written and read in place.

/// Bytes of a nexus-logbuf ring. Each message has 8 bytes of its own, and the ring is a power of
/// two, here rounded down. So it holds 1 to 2 times fewer messages than the others.
fn nexus_bytes(ring_bytes: usize, size: usize) -> usize {
    let bytes = ring_bytes / size * (size + 8);
    1 << bytes.ilog2()
}

/// Writes one message in place, or returns `Ok(false)` if there is no room.
macro_rules! nexus_send {
    ($tx:ident, $message:ident) => {{
        let Ok(mut claim) = $tx.try_claim(N) else {
            return Ok(false);
        };
        claim.copy_from_slice($message);
        claim.commit();
        Ok(true)
    }};
}

channel! {
    /// nexus-logbuf's ring for one producer.
    NexusSpsc, "nexus-logbuf spsc", crate "nexus-logbuf",
    producers 1, consumers 1;
    ends nexus_logbuf::spsc::Producer, nexus_logbuf::spsc::Consumer;
    open(shape) {
        let (tx, rx) = nexus_logbuf::spsc::new(nexus_bytes(shape.ring_bytes, N));
        (vec![tx], vec![rx])
    };
    send(tx, message) nexus_send!(tx, message);
    receive(rx) rx.try_claim(), {
        Some(record) => (*record).try_into()?,
    }
}

channel! {
    /// nexus-logbuf's ring for many producers.
    NexusMpsc, "nexus-logbuf mpsc", crate "nexus-logbuf",
    producers MANY, consumers 1;
    ends nexus_logbuf::mpsc::Producer, nexus_logbuf::mpsc::Consumer;
    open(shape) {
        let (tx, rx) = nexus_logbuf::mpsc::new(nexus_bytes(shape.ring_bytes, N));
        (clones(&tx, shape), vec![rx])
    };
    send(tx, message) nexus_send!(tx, message);
    receive(rx) rx.try_claim(), {
        Some(record) => (*record).try_into()?,
    }
}

channel! {
    /// nexus-queue's ring for one producer.
    NexusQueueSpsc, "nexus-queue spsc", crate "nexus-queue",
    producers 1, consumers 1;
    ends nexus_queue::spsc::Producer<[u8; N]>, nexus_queue::spsc::Consumer<[u8; N]>;
    open(shape) {
        let (tx, rx) = nexus_queue::spsc::ring_buffer(shape.slots(N));
        (vec![tx], vec![rx])
    };
    send(tx, message) Ok(tx.push(*message).is_ok());
    receive(rx) rx.pop(), {
        Some(message) => &message,
    }
}

channel! {
    /// nexus-queue's ring for many producers.
    NexusQueueMpsc, "nexus-queue mpsc", crate "nexus-queue",
    producers MANY, consumers 1;
    ends nexus_queue::mpsc::Producer<[u8; N]>, nexus_queue::mpsc::Consumer<[u8; N]>;
    open(shape) {
        let (tx, rx) = nexus_queue::mpsc::ring_buffer(shape.slots(N));
        (clones(&tx, shape), vec![rx])
    };
    send(tx, message) Ok(tx.push(*message).is_ok());
    receive(rx) rx.pop(), {
        Some(message) => &message,
    }
}

channel! {
    /// rapidfire's bounded channel for many producers and one consumer.
    RapidfireMpsc, "rapidfire mpsc", crate "rapidfire",
    producers MANY, consumers 1;
    ends rapidfire::Sender<[u8; N]>, rapidfire::mpsc::Receiver<[u8; N]>;
    open(shape) {
        let (tx, rx) = rapidfire::mpsc::bounded(shape.slots(N));
        (clones(&tx, shape), vec![rx])
    };
    send(tx, message) match tx.try_send(*message) {
        Ok(()) => Ok(true),
        Err(error) if error.is_full() => Ok(false),
        Err(_) => Err("the consumer is gone".into()),
    };
    receive(rx) rx.try_recv(), {
        Ok(message) => &message,
    }
}

/// A sender of tokio's broadcast channel, used without a runtime.
///
/// The channel drops what a slow consumer has not read. To lose nothing, like the other systems,
/// a sender checks from time to time how many messages are still unread.
#[derive(Clone)]
pub(crate) struct BroadcastSender<const N: usize> {
    channel: broadcast::Sender<[u8; N]>,
    /// The most messages that all producers together may be granted at once: half of the ring.
    /// They are granted only while no more than the other half is unread, so nothing is lost.
    half: usize,
    producers: usize,
    granted: usize,
}

channel! {
    /// tokio's broadcast channel.
    TokioBroadcast, "tokio broadcast", crate "tokio",
    producers MANY, consumers MANY;
    ends BroadcastSender<N>, broadcast::Receiver<[u8; N]>;
    open(shape) {
        let (channel, first) = broadcast::channel(shape.slots(N));
        let more = (1..shape.consumers).map(|_| channel.subscribe());
        let receivers = [first].into_iter().chain(more).collect();
        let sender = BroadcastSender {
            channel: channel.clone(),
            half: shape.slots(N) / 2,
            producers: shape.producers,
            granted: 0,
        };
        (clones(&sender, shape), receivers)
    };
    send(tx, message) {
        if tx.granted == 0 {
            if tx.channel.len() > tx.half {
                return Ok(false);
            }
            tx.granted = tx.half / tx.producers;
        }
        tx.granted -= 1;
        match tx.channel.send(*message) {
            Ok(_) => Ok(true),
            Err(_) => Err("the consumers are gone".into()),
        }
    };
    receive(rx) rx.try_recv(), {
        Ok(message) => &message,
        Err(TryRecvError::Empty | TryRecvError::Closed) => Ok(false),
        Err(TryRecvError::Lagged(lost)) => Err(format!("{lost} messages were lost").into()),
    }
}
