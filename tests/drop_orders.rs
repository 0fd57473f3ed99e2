//! Handles are dropped in every order, and no thread and no task is left waiting.
#![allow(clippy::unwrap_used, clippy::panic)]

use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Producer, Record, SendError, Topic, TopicConfig,
};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// All permutations of `0..count` (Heap's algorithm).
fn orders(count: usize) -> Vec<Vec<usize>> {
    fn permute(k: usize, order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if k <= 1 {
            all.push(order.clone());
            return;
        }
        for i in 0..k {
            permute(k - 1, order, all);
            let other = if k % 2 == 0 { i } else { 0 };
            order.swap(other, k - 1);
        }
    }
    let mut all = Vec::new();
    permute(count, &mut (0..count).collect(), &mut all);
    assert_eq!(all.len(), (1..=count).product::<usize>());
    all
}

fn small() -> TopicConfig {
    TopicConfig::new()
        .partitions(2)
        .segments(2)
        .segment_records(2)
        .segment_bytes(64)
}

fn topic(broker: &Broker) -> Topic {
    broker.create_topic("t", small()).unwrap()
}

fn consumer(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

struct IgnoreWakes;

impl Wake for IgnoreWakes {
    fn wake(self: Arc<Self>) {}
}

/// A value that is dropped, or a call that is made, in any order.
type Step = Box<dyn FnOnce() + Send>;

fn dropping<T: Send + 'static>(thing: T) -> Step {
    Box::new(move || drop(thing))
}

#[test]
fn handles_may_be_dropped_in_every_order() {
    for exclusive in [false, true] {
        for order in orders(7) {
            let broker = Broker::new();
            let topic = topic(&broker);
            let mut reader = consumer(&broker, ConsumerConfig::new());
            let mut member = consumer(&broker, ConsumerConfig::new().group("g"));
            member.try_poll().unwrap();
            let mut steps: Vec<Option<Step>> = Vec::new();
            let fill = |send: &mut dyn FnMut(Record<'_>) -> bool| {
                for n in 0..3 {
                    assert!(send(Record::new("record").partition(n % 2)));
                }
            };
            if exclusive {
                let mut producer = topic.exclusive_producer().unwrap();
                fill(&mut |record| producer.send(record).is_ok());
                steps.push(Some(dropping(producer)));
            } else {
                let mut producer = topic.producer();
                fill(&mut |record| producer.send(record).is_ok());
                steps.push(Some(dropping(producer)));
            }
            // A task that was waiting and whose future was leaked.
            let waker = Waker::from(Arc::new(IgnoreWakes));
            let mut context = Context::from_waker(&waker);
            while !reader.try_poll().unwrap().is_empty() {}
            let mut poll = ManuallyDrop::new(reader.poll_async());
            assert!(Pin::new(&mut *poll).poll(&mut context).is_pending());
            member.try_poll().unwrap();
            let closes = topic.clone();
            steps.push(Some(dropping(reader.wakeup_handle())));
            steps.push(Some(dropping(reader)));
            steps.push(Some(dropping(member)));
            steps.push(Some(dropping(topic)));
            steps.push(Some(dropping(broker)));
            steps.push(Some(Box::new(move || closes.close())));
            for i in order {
                steps[i].take().unwrap()();
            }
        }
    }
}

/// A reader, a member and a producer sleep on their threads, while all other handles of the topic
/// are dropped and the topic is closed, in every order.
#[test]
fn sleeping_threads_return_in_every_order() {
    fn read(mut consumer: Consumer) {
        loop {
            match consumer.poll(LONG) {
                Ok(batch) => assert!(!batch.is_empty(), "the poll timed out"),
                Err(ConsumeError::Closed { .. }) => return,
                Err(other) => panic!("{other}"),
            }
        }
    }
    fn write(mut producer: Producer) {
        loop {
            match producer.send(Record::new("record").partition(0)) {
                Ok(_) => {}
                Err(SendError::Closed { .. }) => return,
                Err(other) => panic!("{other}"),
            }
        }
    }
    for order in orders(5) {
        let broker = Broker::new();
        let topic = topic(&broker);
        let slow = consumer(&broker, ConsumerConfig::new());
        let reader = consumer(&broker, ConsumerConfig::new());
        let member = consumer(&broker, ConsumerConfig::new().group("g"));
        let (handle, other) = (reader.wakeup_handle(), topic.producer());
        let producer = topic.producer();
        let threads = [
            thread::spawn(move || read(reader)),
            thread::spawn(move || read(member)),
            thread::spawn(move || write(producer)),
        ];
        let closes = topic.clone();
        let mut steps: Vec<Option<Step>> = vec![
            Some(dropping(slow)), // makes room for the producer
            Some(dropping((handle, other))),
            Some(dropping(broker)),
            Some(dropping(topic)),
            Some(Box::new(move || closes.close())),
        ];
        for (i, step) in order.into_iter().enumerate() {
            if i == 2 {
                thread::sleep(Duration::from_millis(1)); // some threads sleep by now
            }
            steps[step].take().unwrap()();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// Pending futures, while the broker is dropped and the topic closed, in every order.
#[test]
fn pending_futures_complete_in_every_order() {
    let waker = Waker::from(Arc::new(IgnoreWakes));
    let mut context = Context::from_waker(&waker);
    for order in orders(3) {
        let broker = Broker::new();
        let topic = topic(&broker);
        let mut reader = consumer(&broker, ConsumerConfig::new());
        let _slow = consumer(&broker, ConsumerConfig::new());
        let mut producer = topic.producer();
        while producer
            .try_send(Record::new("record").partition(0))
            .is_ok()
        {}
        while !reader.try_poll().unwrap().is_empty() {}
        let mut broker = Some(broker);
        let mut topic = Some(topic);
        {
            let mut polls = pin!(reader.poll_async());
            assert!(polls.as_mut().poll(&mut context).is_pending());
            let mut sends = pin!(producer.send_async(Record::new("record").partition(0)));
            assert!(sends.as_mut().poll(&mut context).is_pending());
            for step in &order {
                match step {
                    0 => drop(broker.take()),
                    1 => topic.take().unwrap().close(),
                    _ => assert!(polls.as_mut().poll(&mut context).is_ready() == topic.is_none()),
                }
            }
            assert!(sends.as_mut().poll(&mut context).is_ready());
        }
    }
}
