//! Asynchronous polls and sends, on both of tokio's runtimes and without a runtime.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::conditions::{CountSleepers, LIMIT, LONG, woken};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Destination, Record, SendError, Topic,
    TopicConfig, WaitStrategy,
};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_time().build().unwrap(),
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap(),
    ]
}

/// Fails if a future takes [`LIMIT`], with what hung.
async fn within_limit<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(output) = timeout(LIMIT, future).await else {
        panic!("hangs: {what}");
    };
    output
}

fn topic(wait: WaitStrategy) -> (Broker, Topic) {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .partitions(2)
        .segments(2)
        .segment_records(2)
        .wait(wait);
    let topic = broker.create_topic("t", config).unwrap();
    (broker, topic)
}

fn consumer(broker: &Broker) -> Consumer {
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), count.into())
}

fn times(count: &Count) -> usize {
    count.0.load(Ordering::SeqCst)
}

#[test]
fn tasks_pass_on_every_record_whichever_side_waits() {
    const RECORDS: u64 = 5_000;
    for runtime in runtimes() {
        for wait in [WaitStrategy::Block, WaitStrategy::BusySpin] {
            runtime.block_on(async {
                let (broker, topic) = topic(wait);
                let mut readers = Vec::new();
                for _ in 0..2 {
                    let mut consumer = consumer(&broker);
                    readers.push(tokio::spawn(async move {
                        let (mut sum, mut read) = (0, 0);
                        while read < 2 * RECORDS {
                            let batch = consumer.poll_async().await.unwrap();
                            assert!(!batch.is_empty());
                            for record in &batch {
                                sum += u64::from_le_bytes(record.value_bytes().try_into().unwrap());
                                read += 1;
                            }
                        }
                        sum
                    }));
                }
                let mut senders = Vec::new();
                for _ in 0..2 {
                    let mut producer = topic.producer();
                    senders.push(tokio::spawn(async move {
                        for n in 0..RECORDS {
                            producer
                                .send_async(Record::new(&n.to_le_bytes()))
                                .await
                                .unwrap();
                        }
                    }));
                }
                for sender in senders {
                    within_limit("a sender", sender).await.unwrap();
                }
                for reader in readers {
                    let sum = within_limit("a reader", reader).await.unwrap();
                    assert_eq!(sum, RECORDS * (RECORDS - 1));
                }
            });
        }
    }
}

#[test]
fn a_waiting_task_is_woken_once_by_each_partition() {
    let (broker, topic) = topic(WaitStrategy::Block);
    let mut consumer = consumer(&broker);
    let mut producer = topic.producer();
    let (woken, waker) = counter();
    let mut context = Context::from_waker(&waker);
    {
        let mut poll = pin!(consumer.poll_async());
        assert!(poll.as_mut().poll(&mut context).is_pending());
        assert_eq!(times(&woken), 0);
        producer.send(Record::new("a").partition(0)).unwrap();
        producer.send(Record::new("b").partition(1)).unwrap();
        assert_eq!(times(&woken), 2, "once by each partition");
        let Poll::Ready(Ok(batch)) = poll.as_mut().poll(&mut context) else {
            panic!("a record is ready");
        };
        assert_eq!(batch.len(), 1);
    }
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.len(), 1);
}

#[test]
fn a_dropped_future_has_done_nothing_and_is_not_woken() {
    let (broker, topic) = topic(WaitStrategy::Block);
    let mut consumer = consumer(&broker);
    let mut producer = topic.producer();
    let (woken, waker) = counter();
    let mut context = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(pin!(consumer.poll_async()).poll(&mut context).is_pending());
    }
    for n in 0..4 {
        let record = Record::new("x").partition(0);
        assert!(producer.try_send(record).is_ok(), "{n}");
    }
    assert_eq!(times(&woken), 0);
    let full = Record::new("lost?").partition(0);
    for _ in 0..3 {
        assert!(
            pin!(producer.send_async(full))
                .poll(&mut context)
                .is_pending()
        );
    }
    let values = [1u64, 2];
    let waits = producer.send_values_async(Destination::Partition(0), &values);
    assert!(pin!(waits).poll(&mut context).is_pending());
    while !consumer.try_poll().unwrap().is_empty() {}
    assert_eq!(times(&woken), 0);
    assert_eq!(topic.log_end_offset(0).unwrap(), 4);
    // A leaked future leaves its waker enrolled until the next call of its handle.
    let mut poll = ManuallyDrop::new(consumer.poll_async());
    assert!(Pin::new(&mut *poll).poll(&mut context).is_pending());
    assert!(consumer.try_poll().unwrap().is_empty());
}

#[test]
fn a_batch_is_appended_share_by_share_as_room_appears() {
    let (broker, topic) = topic(WaitStrategy::Block);
    let mut consumer = consumer(&broker);
    let mut producer = topic.producer();
    let (woken, waker) = counter();
    let mut context = Context::from_waker(&waker);
    while producer.try_send(Record::new("x").partition(1)).is_ok() {}
    let batch = [0, 1].map(|p| Record::new("batch").partition(p));
    {
        let mut sends = pin!(producer.send_batch_async(&batch));
        assert!(sends.as_mut().poll(&mut context).is_pending());
        assert_eq!(
            topic.log_end_offset(0).unwrap(),
            1,
            "the share with room is appended"
        );
        while !consumer.try_poll().unwrap().is_empty() {}
        assert_eq!(times(&woken), 1);
        let Poll::Ready(Ok(sent)) = sends.as_mut().poll(&mut context) else {
            panic!("there is room");
        };
        let at: Vec<_> = sent.iter().map(|m| (m.partition, m.offset)).collect();
        assert_eq!(at, [(0, 0), (1, 4)]);
    }
    // One future is dropped half way, and one is refused half way.
    while producer.try_send(Record::new("x").partition(1)).is_ok() {}
    assert!(
        pin!(producer.send_batch_async(&batch))
            .poll(&mut context)
            .is_pending()
    );
    assert_eq!(topic.log_end_offset(0).unwrap(), 2);
    let mut sends = pin!(producer.send_batch_async(&batch));
    assert!(sends.as_mut().poll(&mut context).is_pending());
    topic.close();
    let Poll::Ready(Err(refused)) = sends.as_mut().poll(&mut context) else {
        panic!("the topic is closed");
    };
    assert!(matches!(refused.cause, SendError::Closed { .. }));
    assert_eq!((refused.appended, refused.refused), (1, vec![1]));
}

#[test]
fn waiting_tasks_end_on_close_and_on_a_wakeup() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (broker, topic) = topic(WaitStrategy::Block);
            let mut consumer = consumer(&broker);
            let handle = consumer.wakeup_handle();
            let mut slow = self::consumer(&broker);
            let mut producer = topic.producer();
            let reader = tokio::spawn(async move {
                let first = consumer.poll_async().await.map(|batch| batch.len());
                assert_eq!(first, Err(ConsumeError::Wakeup));
                loop {
                    if let Err(error) = consumer.poll_async().await {
                        return error;
                    }
                }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            handle.wakeup();
            let sender = tokio::spawn(async move {
                loop {
                    if let Err(error) = producer.send_async(Record::new("x")).await {
                        return error;
                    }
                }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            topic.close();
            let refused = within_limit("the sender", sender).await.unwrap();
            assert!(matches!(refused, SendError::Closed { .. }));
            let ended = within_limit("the reader", reader).await.unwrap();
            assert!(matches!(ended, ConsumeError::Closed { .. }));
            // Tokio's timeouts work.
            while slow.try_poll().is_ok() {}
            slow.unsubscribe();
            let unsubscribed = slow.poll_async().await.map(|batch| batch.len());
            assert_eq!(unsubscribed, Err(ConsumeError::NotSubscribed));
            let other = broker.create_topic("idle", TopicConfig::new()).unwrap();
            slow.subscribe([other.name()]).unwrap();
            let idle = timeout(Duration::from_millis(20), slow.poll_async()).await;
            assert!(idle.is_err());
        });
    }
}

#[test]
fn members_that_wait_as_tasks_hand_partitions_over() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (broker, topic) = topic(WaitStrategy::Block);
            let member = || {
                let mut member = broker.consumer(ConsumerConfig::new().group("g")).unwrap();
                member.subscribe(["t"]).unwrap();
                member
            };
            let mut first = member();
            assert!(first.try_poll().unwrap().is_empty());
            let reader = tokio::spawn(async move {
                let batch = first.poll_async().await.unwrap();
                assert_eq!(batch.len(), 1);
                first
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            // A second member joins: the first has to wake up to give it its share.
            let mut second = member();
            let owned = within_limit("the hand-over", async {
                while second.assignment().is_empty() {
                    let _ = timeout(Duration::from_millis(5), second.poll_async()).await;
                }
                second.assignment()
            });
            let owned = owned.await;
            assert_eq!(owned.len(), 1);
            let mine = 1 - owned[0].partition;
            topic
                .producer()
                .send(Record::new("x").partition(mine))
                .unwrap();
            let first = within_limit("the first member", reader).await.unwrap();
            assert_eq!(first.assignment().len(), 1);
        });
    }
}

/// A leaked future leaves its waker enrolled. A thread that waits on the same handle afterwards has
/// to enroll itself.
#[test]
fn a_thread_that_waits_after_a_leaked_future_is_woken() {
    let broker = Broker::new();
    let sleepers = CountSleepers::default();
    let config = TopicConfig::new().segments(2).segment_records(1);
    let config = config.wait(sleepers.strategy());
    let topic = broker.create_topic("t", config.max_block(LONG)).unwrap();
    let mut consumer = consumer(&broker);
    let mut producer = topic.producer();
    let (_, waker) = counter();
    let mut context = Context::from_waker(&waker);
    // The consumer has slept before.
    assert!(consumer.poll(Duration::from_millis(20)).unwrap().is_empty());
    let mut polls = ManuallyDrop::new(consumer.poll_async());
    assert!(Pin::new(&mut *polls).poll(&mut context).is_pending());
    let polling = sleepers.asleep(|| {
        thread::spawn(move || {
            let polled = woken("the poll", || consumer.poll(LONG).unwrap().len());
            (consumer, polled)
        })
    });
    producer.send(Record::new("x")).unwrap();
    let (mut consumer, polled) = polling.join().unwrap();
    assert_eq!(polled, 1);
    // The same for a producer, twice: it has not slept before the first time.
    for _ in 0..2 {
        while producer.try_send(Record::new("x")).is_ok() {}
        let mut sends = ManuallyDrop::new(producer.send_async(Record::new("x")));
        assert!(Pin::new(&mut *sends).poll(&mut context).is_pending());
        let sending = sleepers.asleep(|| {
            thread::spawn(move || {
                woken("the send", || producer.send(Record::new("x")).unwrap());
                producer
            })
        });
        assert_eq!(consumer.try_poll().unwrap().len(), 1);
        producer = sending.join().unwrap();
    }
}

#[test]
fn a_leaked_future_is_not_woken_once_its_handle_was_used_again() {
    let (broker, topic) = topic(WaitStrategy::Block);
    let mut consumer = consumer(&broker);
    let mut producer = topic.producer();
    let record = Record::new("x").partition(0);
    while producer.try_send(record).is_ok() {}
    let (woken, waker) = counter();
    let mut sends = ManuallyDrop::new(producer.send_async(record));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut *sends).poll(&mut context).is_pending());
    assert!(producer.try_send(record).is_err());
    while !consumer.try_poll().unwrap().is_empty() {}
    assert!(producer.try_send(record).is_ok());
    assert_eq!(times(&woken), 0);
}

/// A panic in one handle's waker does not reach the thread that wakes it.
#[test]
fn a_panicking_waker_harms_no_other_handle() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("the waker panics");
        }
    }
    let broker = Broker::new();
    // Four records of 16 bytes a segment, or eight of 8.
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(8)
        .segment_bytes(64);
    let topic = broker.create_topic("t", config).unwrap();
    let mut reader = consumer(&broker);
    let mut producers = [(); 2].map(|()| topic.producer());
    for n in 0..8u64 {
        producers[0].send(Record::new(&n.to_le_bytes())).unwrap();
    }
    {
        let [a, b] = &mut producers;
        let waker = Waker::from(Arc::new(Panics));
        let mut context = Context::from_waker(&waker);
        let mut a = pin!(a.send_async(Record::new("")));
        let mut b = pin!(b.send_async(Record::new("")));
        assert!(a.as_mut().poll(&mut context).is_pending());
        assert!(b.as_mut().poll(&mut context).is_pending());
        assert_eq!(reader.try_poll().unwrap().len(), 4);
    }
    // The next poll lets go of the segment that was read.
    let batch = reader.try_poll().unwrap();
    let mut read: Vec<_> = batch
        .iter()
        .map(|r| (r.offset(), r.value_bytes().len()))
        .collect();
    for _ in 0..8 {
        producers[0].try_send(Record::new("")).unwrap();
    }
    loop {
        let batch = reader.try_poll().unwrap();
        if batch.is_empty() {
            break;
        }
        read.extend(batch.iter().map(|r| (r.offset(), r.value_bytes().len())));
    }
    let sent: Vec<_> = (4..16).map(|n| (n, if n < 8 { 8 } else { 0 })).collect();
    assert_eq!(read, sent);
}
