//! Helpers of the tests that Miri runs: `.ci/miri`.
//!
//! Rings are so small that a few records wrap them. Tests are short, because Miri is slow: no loop
//! of more than some dozen steps.
#![allow(clippy::unwrap_used, clippy::panic)]

use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Overflow, RecordRef, Topic, TopicConfig,
};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// The name of the topic, where there is only one.
pub const TOPIC: &str = "t";

/// The limit of a wait that must end before it.
pub const LONG: Duration = Duration::from_secs(600);

/// Both policies.
pub const POLICIES: [Overflow; 2] = [Overflow::Backpressure, Overflow::DropOldest];

/// Two segments of four records.
pub fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(4)
        .segment_bytes(256)
        .max_block(LONG)
}

/// A broker with one topic.
pub fn make(config: TopicConfig) -> (Broker, Topic) {
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, config).unwrap();
    (broker, topic)
}

/// A consumer of [`TOPIC`].
pub fn subscribed(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    consumer
}

/// A plain consumer of [`TOPIC`].
pub fn reader(broker: &Broker) -> Consumer {
    subscribed(broker, ConsumerConfig::new())
}

/// A member of the group `g`.
pub fn member(broker: &Broker) -> Consumer {
    subscribed(broker, ConsumerConfig::new().group("g"))
}

/// A record's value.
pub fn bytes<'b>(record: &RecordRef<'b>) -> &'b [u8] {
    record.value_bytes()
}

/// Polls until a batch is empty; returns offset and value of each record.
pub fn drain(consumer: &mut Consumer) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch.iter().map(|r| (r.offset(), bytes(&r).to_vec())));
    }
}

/// Waits for records until the topic ends; returns how many there were.
pub fn read_to_end(consumer: &mut Consumer) -> usize {
    let mut records = 0;
    loop {
        match consumer.poll(LONG) {
            Ok(batch) => records += batch.iter().count(),
            Err(ConsumeError::Closed { .. }) => return records,
            Err(other) => panic!("{other}"),
        }
    }
}

/// A waker that counts.
#[derive(Debug, Default)]
pub struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl CountWakes {
    /// A counter, and its waker.
    pub fn new() -> (Arc<CountWakes>, Waker) {
        let count = Arc::new(CountWakes::default());
        (count.clone(), count.into())
    }

    /// The number of wake-ups so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Runs a future on this thread, which parks until the future is woken.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}
