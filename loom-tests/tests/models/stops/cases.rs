//! The calls in which a thread is stopped.

use super::others::{Log, Others};
use crate::common::*;
use ringlog_loom::{
    Broker, Consumer, ConsumerConfig, Destination, ExclusiveProducer, GatheringConfig,
    GatheringProducer, Producer, Record, RecordMetadata, Topic,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The work of a thread that is stopped, and the log that it starts from.
pub(super) struct Case<V: 'static> {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// The number of other producers.
    pub(super) others: usize,
    /// Makes the handle of the stopped thread.
    pub(super) handle: fn(&Broker, &Topic) -> V,
    /// Brings the log into its state before the work.
    pub(super) prepare: fn(&mut Others, &mut V),
    /// What the thread is stopped in.
    pub(super) work: fn(V, &Rc<RefCell<Log>>),
}

/// Sends and reads this many records.
fn fill(others: &mut Others, records: u64) {
    for turn in 0..records {
        assert!(others.send(turn));
        others.read();
    }
}

fn producer(_: &Broker, topic: &Topic) -> Producer {
    crate::common::producer(topic)
}

/// Tries to send one record.
pub(super) fn send(mut producer: Producer, log: &Rc<RefCell<Log>>) {
    let n = log.borrow_mut().number();
    if let Ok(sent) = producer.try_send(Record::new(&value(n))) {
        log.borrow_mut().sent.insert(sent.offset, n);
        log.borrow_mut().claimed.insert(sent.offset);
    }
    // The handle is leaked, because its drop is not part of the work: it takes a lock.
    std::mem::forget(producer);
}

pub(super) static APPEND: Case<Producer> = Case {
    name: "`send`, with room in the segment",
    others: 2,
    handle: producer,
    prepare: |others, _| fill(others, 1),
    work: send,
};

pub(super) static ROLL: Case<Producer> = Case {
    name: "`send` that seals and rolls",
    others: 2,
    handle: producer,
    prepare: |others, _| fill(others, 2),
    work: send,
};

pub(super) static REUSE: Case<Producer> = Case {
    name: "`send` that seals, retires, reuses and rolls",
    others: 2,
    handle: producer,
    prepare: |others, _| fill(others, 4),
    work: send,
};

pub(super) static ABORT: Case<Producer> = Case {
    name: "`claim`, dropped",
    others: 2,
    handle: producer,
    prepare: |others, _| fill(others, 1),
    work: |mut producer, log| {
        let claim = producer.claim(Destination::Any, None, 16).unwrap();
        log.borrow_mut().claimed.insert(claim.metadata().offset);
        drop(claim);
        std::mem::forget(producer);
    },
};

/// The frame of the one record fills a segment.
pub(super) static GATHER: Case<GatheringProducer> = Case {
    name: "a gathering producer's `flush` that seals, retires, reuses and rolls",
    others: 2,
    handle: |broker, topic| {
        let config = GatheringConfig::new().linger(Duration::MAX);
        producer(broker, topic).gathering(config)
    },
    prepare: |others, _| fill(others, 4),
    work: |mut producer, log| {
        let n = log.borrow_mut().number();
        let offset = Arc::new(Mutex::new(None));
        let called = offset.clone();
        let callback = move |sent: Result<RecordMetadata, _>| {
            *called.lock().unwrap() = sent.ok().map(|sent| sent.offset);
        };
        producer
            .send_with_callback(Record::new(&value(n)), callback)
            .unwrap();
        if producer.try_flush().is_ok() {
            let offset = offset.lock().unwrap().expect("called");
            log.borrow_mut().sent.insert(offset, n);
            log.borrow_mut().claimed.insert(offset);
        }
        std::mem::forget(producer);
    },
};

pub(super) static EXCLUSIVE: Case<ExclusiveProducer> = Case {
    name: "exclusive `send`s that claim, seal, retire, reuse and roll",
    others: 0,
    handle: |_, topic| topic.exclusive_producer().unwrap(),
    prepare: |others, producer| {
        for _ in 0..3 {
            exclusive_send(producer, &others.log);
        }
        others.read();
    },
    work: |mut producer, log| {
        for _ in 0..2 {
            exclusive_send(&mut producer, log);
        }
        std::mem::forget(producer);
    },
};

fn exclusive_send(producer: &mut ExclusiveProducer, log: &Rc<RefCell<Log>>) {
    let n = log.borrow_mut().number();
    let offset = producer.send(Record::new(&value(n))).unwrap().offset;
    log.borrow_mut().sent.insert(offset, n);
    log.borrow_mut().claimed.insert(offset);
}

/// Has the topic make the spare that the work will take, as a handle does that came and went. So
/// the thread is not stopped while it allocates one, under a lock.
fn make_spare(topic: &Topic) {
    topic.apply_retention();
}

/// A consumer that has subscribed before the work.
fn consumer(broker: &Broker, _: &Topic) -> Consumer {
    reader(broker)
}

pub(super) static JOIN: Case<Consumer> = Case {
    name: "a consumer that subscribes",
    others: 2,
    handle: |broker, topic| {
        make_spare(topic);
        broker.consumer(ConsumerConfig::new()).unwrap()
    },
    prepare: |others, _| fill(others, 3),
    work: |mut consumer, _| {
        consumer.subscribe(["t"]).unwrap();
        drop(consumer);
    },
};

pub(super) static POLL: Case<Consumer> = Case {
    name: "a consumer that polls, holds and moves to the next segment",
    others: 2,
    handle: consumer,
    prepare: |others, _| fill(others, 3),
    work: |mut consumer, _| {
        for _ in 0..3 {
            let batch = consumer.try_poll().unwrap();
            assert!(batch.iter().all(|record| number(record.value_bytes()) > 0));
        }
        drop(consumer);
    },
};

pub(super) static SEEK: Case<Consumer> = Case {
    name: "a consumer that seeks and polls",
    others: 2,
    handle: consumer,
    prepare: |others, _| fill(others, 3),
    work: |mut consumer, _| {
        consumer.seek(("t", 0), 2).unwrap();
        let batch = consumer.try_poll().unwrap();
        assert!(batch.iter().all(|record| record.offset() >= 2));
        drop(batch);
        drop(consumer);
    },
};

pub(super) static LEAVE: Case<Consumer> = Case {
    name: "a consumer that leaves",
    others: 2,
    handle: consumer,
    prepare: |others, consumer| {
        fill(others, 1);
        assert!(!consumer.try_poll().unwrap().is_empty());
        fill(others, 2);
    },
    work: |consumer, _| drop(consumer),
};

pub(super) static LOOKUP: Case<Topic> = Case {
    name: "a lookup by time",
    others: 2,
    handle: |_, topic| {
        make_spare(topic);
        topic.clone()
    },
    prepare: |others, _| fill(others, 3),
    work: |topic, _| assert_eq!(topic.offset_for_time(0, 0), Ok(None)),
};

pub(super) static RETAIN: Case<Topic> = Case {
    name: "retention that is applied",
    others: 2,
    handle: |_, topic| {
        make_spare(topic);
        topic.clone()
    },
    prepare: |others, _| fill(others, 3),
    work: |topic, _| {
        topic.apply_retention();
        assert!(topic.log_start_offset(0).unwrap() > 0);
    },
};
