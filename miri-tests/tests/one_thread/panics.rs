//! Panics of the user's code inside a call.

use miri_tests::{TOPIC, drain, make, reader, small, subscribed};
use ringlog::{
    Assignment, Assignor, ConsumerConfig, Destination, GroupView, PartitionChoice, Partitioner,
    RangeAssignor, Rebalance, RebalanceListener, RebalanceProtocol, Record, TopicPartition,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

fn panic_on_purpose() {
    resume_unwind(Box::new("on purpose"));
}

fn panics<R>(work: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
}

#[derive(Debug)]
struct Panics;

impl Partitioner for Panics {
    fn choose(&self, key: Option<&[u8]>, _: u32) -> PartitionChoice {
        if key == Some(b"bad") {
            panic_on_purpose();
        }
        PartitionChoice::Partition(0)
    }
}

#[test]
fn fillers_partitioners_and_readers_may_panic() {
    let (broker, topic) = make(small().partitioner(Panics));
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    for _ in 0..5 {
        panics(|| {
            let mut claim = producer.claim(Destination::Any, None, 8).unwrap();
            claim[..4].copy_from_slice(b"half");
            panic_on_purpose();
            claim.publish()
        });
        let (good, bad) = (Record::new("v").key("good"), Record::new("v").key("bad"));
        panics(|| producer.send(bad));
        panics(|| producer.send_batch(&[good, bad]).map(|sent| sent.len()));
        producer.send(good).unwrap();
        panics(|| {
            let batch = consumer.try_poll().unwrap();
            assert_eq!(batch.iter().count(), 1);
            panic_on_purpose();
        });
        assert!(drain(&mut consumer).is_empty());
    }
}

#[test]
fn wakers_may_panic() {
    struct PanickingWaker;
    impl Wake for PanickingWaker {
        fn wake(self: Arc<Self>) {
            panic_on_purpose();
        }
    }
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    let waker = Waker::from(Arc::new(PanickingWaker));
    let mut context = Context::from_waker(&waker);
    {
        let mut poll = pin!(consumer.poll_async());
        assert!(poll.as_mut().poll(&mut context).is_pending());
        producer.send(Record::new("x")).unwrap();
        assert!(poll.poll(&mut context).is_ready());
    }
    while producer.try_send(Record::new("x")).is_ok() {}
    let mut send = pin!(producer.send_async(Record::new("y")));
    assert!(send.as_mut().poll(&mut context).is_pending());
    assert!(!drain(&mut consumer).is_empty());
    assert!(send.poll(&mut context).is_ready());
}

static ARMED: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct PanickingAssignor;

impl Assignor for PanickingAssignor {
    fn name(&self) -> &str {
        "panics"
    }
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }
    fn assign(&self, group: &GroupView) -> Assignment {
        if ARMED.load(Ordering::Relaxed) {
            panic_on_purpose();
        }
        RangeAssignor.assign(group)
    }
}

#[test]
fn assignors_may_panic() {
    let (broker, topic) = make(small().partitions(2));
    let config = || ConsumerConfig::new().group("g").assignor(PanickingAssignor);
    let mut first = subscribed(&broker, config());
    drain(&mut first);
    ARMED.store(true, Ordering::Relaxed);
    let second = catch_unwind(AssertUnwindSafe(|| {
        let mut second = subscribed(&broker, config());
        let _ = second.try_poll().map(|batch| batch.len());
    }));
    let polled = catch_unwind(AssertUnwindSafe(|| first.try_poll().map(|b| b.len())));
    ARMED.store(false, Ordering::Relaxed);
    drop((second, polled, first));
    let mut third = subscribed(&broker, config());
    for _ in 0..4 {
        let _ = third.try_poll().map(|batch| batch.len());
    }
    topic.producer().send(Record::new("x")).unwrap();
    assert_eq!(drain(&mut third).len(), 1);
}

struct PanickingListener;

impl RebalanceListener for PanickingListener {
    fn assigned(&mut self, _: &mut Rebalance<'_>) {}
    fn revoked(&mut self, _: &mut Rebalance<'_>) {
        panic_on_purpose();
    }
    fn lost(&mut self, _: &[TopicPartition]) {}
}

#[test]
fn listeners_may_panic() {
    let (broker, topic) = make(small().partitions(2));
    let mut first = broker.consumer(ConsumerConfig::new().group("g")).unwrap();
    first.subscribe_with([TOPIC], PanickingListener).unwrap();
    drain(&mut first);
    let mut second = miri_tests::member(&broker);
    for _ in 0..4 {
        let _ = catch_unwind(AssertUnwindSafe(|| first.try_poll().map(|b| b.len())));
        drain(&mut second);
    }
    let _ = catch_unwind(AssertUnwindSafe(|| drop(first)));
    (0..4).for_each(|_| drop(drain(&mut second)));
    for partition in 0..2 {
        topic
            .producer()
            .send(Record::new("x").partition(partition))
            .unwrap();
    }
    assert_eq!(drain(&mut second).len(), 2);
}
