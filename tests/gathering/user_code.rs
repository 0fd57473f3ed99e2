//! User code that runs in the middle of a call, and waits that overlap.

use super::*;
use common::conditions::{CountSleepers, LONG, wait_until, woken};
use ringlog::{
    Clock, Consumer, Destination, ManualClock, SendError, SharedGatheringProducer, WaitAction,
    WaitPolicy, WaitStrategy,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Waker};
use std::thread;

/// Runs a call that may hang in a thread, and says so.
fn ends(what: &str, call: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(call);
    wait_until(what, || thread.is_finished());
    thread.join().unwrap();
}

/// Sends by the handle that wakes it.
struct Sends(SharedGatheringProducer);

impl Wake for Sends {
    fn wake(self: Arc<Self>) {
        self.0.send(Record::new("woken")).unwrap();
    }
}

#[test]
fn a_readers_waker_may_send_by_the_handle_that_wakes_it() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let handle = topic.shared_producer().gathering(by_four());
    let waker = Waker::from(Arc::new(Sends(handle.clone())));
    {
        let mut polled = pin!(consumer.poll_async());
        assert!(
            polled
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        let flushing = handle.clone();
        ends("a flush that wakes a reader", move || {
            flushing.send(Record::new("x")).unwrap();
            flushing.flush().unwrap();
        });
    }
    assert_eq!((logged(&topic), handle.gathered()), (1, 1));
    drop(waker);
}

/// A clock that panics while it is broken.
#[derive(Clone, Debug, Default)]
struct Fragile(Arc<AtomicBool>);

impl Fragile {
    fn set_broken(&self, broken: bool) {
        self.0.store(broken, Ordering::Relaxed);
    }
}

impl Clock for Fragile {
    fn now_ms(&self) -> i64 {
        assert!(!self.0.load(Ordering::Relaxed), "the clock is broken");
        1000
    }
}

#[test]
fn a_send_whose_clock_panics_has_gathered_nothing() {
    for linger in [Duration::MAX, Duration::from_millis(5)] {
        let clock = Fragile::default();
        let (broker, topic) = make(TopicConfig::new().clock(clock.clone()));
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        let config = by_four().batch_records(2).linger(linger);
        let mut producer = topic.producer().gathering(config);
        send_numbers(&mut producer, 0..1);
        clock.set_broken(true);
        let send = catch_unwind(AssertUnwindSafe(|| producer.send(Record::new("1"))));
        assert!(send.is_err());
        clock.set_broken(false);
        send_numbers(&mut producer, 1..2);
        producer.flush().unwrap();
        assert_eq!(values(&mut consumer), ["0", "1"]);
    }
}

#[test]
fn a_drop_whose_clock_panics_gives_its_tickets_the_error() {
    for unwinding in [false, true] {
        let clock = Fragile::default();
        let (_broker, topic) = make(TopicConfig::new().clock(clock.clone()));
        let mut producer = topic.producer().gathering(GatheringConfig::new());
        let ticket = producer.send_with_ticket(Record::new("x")).unwrap();
        clock.set_broken(true);
        let dropped = catch_unwind(AssertUnwindSafe(move || {
            let mut producer = producer;
            if unwinding {
                let _ = producer.send(Record::new("y"));
            }
        }));
        // The drop's own panic does not leave it.
        assert_eq!(dropped.is_err(), unwinding);
        let withdrawn = SendError::Withdrawn {
            topic: TOPIC.into(),
        };
        assert_eq!(ticket.get(), Some(Err(withdrawn)));
    }
}

#[test]
fn taking_records_back_wakes_the_sends_that_wait_for_room() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(tiny().max_block(LONG).wait(sleepers.strategy()));
    let _consumer = subscribed(&broker, ConsumerConfig::new());
    let handle = topic
        .shared_producer()
        .gathering(by_four().batch_records(2));
    while handle.gathered() < 2 || logged(&topic) < 4 {
        handle.send(Record::new("x")).unwrap();
    }
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut send = pin!(handle.send_async(Record::new("task")));
    assert!(
        send.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    assert_eq!(handle.take_unsent().len(), 2);
    assert_eq!(wakes.count(), 1);
    assert!(
        send.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
    );
    handle.send(Record::new("x")).unwrap();
    thread::scope(|scope| {
        let sent = sleepers.asleep(|| {
            let handle = handle.clone();
            scope.spawn(move || woken("a send", || handle.send(Record::new("thread")).unwrap()))
        });
        assert_eq!(handle.take_unsent().len(), 2);
        sent.join().unwrap();
    });
    assert_eq!(handle.take_unsent().len(), 1);
}

#[test]
fn a_frame_has_the_time_after_the_wait_for_room() {
    let clock = ManualClock::new(1000);
    let sleepers = CountSleepers::default();
    let config = tiny().max_block(LONG).clock(clock.clone());
    let (broker, topic) = make(config.wait(sleepers.strategy()));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic
        .producer()
        .gathering(GatheringConfig::new().batch_records(2));
    send_numbers(&mut producer, 0..6);
    let mut times = Vec::new();
    thread::scope(|scope| {
        // Its next attempt comes after it was woken, and reads the clock then.
        sleepers.asleep(|| {
            scope.spawn(move || {
                woken("a send", || producer.send(Record::new("6")).unwrap());
                woken("a flush", || producer.flush().unwrap());
            })
        });
        clock.set(61_000);
        wait_until("all are read", || {
            let batch = consumer.try_poll().unwrap();
            times.extend(batch.iter().map(|record| record.timestamp()));
            times.len() == 7
        });
    });
    let expected = [Some(1000); 4].into_iter().chain([Some(61_000); 3]);
    assert!(times.iter().copied().eq(expected), "{times:?}");
}

/// A reader of one partition, and a producer whose two partitions and their buffers are full.
fn two_full_partitions(
    max_block: Duration,
) -> (
    ringlog::Broker,
    Topic,
    Consumer,
    Consumer,
    GatheringProducer,
) {
    let (broker, topic) = make(tiny().partitions(2).max_block(max_block));
    let reader = |partition| {
        let mut reader = broker.consumer(ConsumerConfig::new()).unwrap();
        reader.assign([(TOPIC, partition)]).unwrap();
        reader
    };
    let (zero, one) = (reader(0), reader(1));
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    for partition in [0, 1] {
        for _ in 0..6 {
            producer
                .send(Record::new("x").partition(partition))
                .unwrap();
        }
    }
    (broker, topic, zero, one, producer)
}

#[test]
fn a_flush_waits_for_all_full_partitions_at_once() {
    let (_broker, topic, mut zero, mut one, mut producer) = two_full_partitions(LONG);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    {
        let mut flush = pin!(producer.flush_async());
        assert!(
            flush
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        // The second partition is read first.
        assert_eq!(values(&mut one).len(), 4);
        one.try_poll().unwrap();
        assert_eq!(wakes.count(), 1);
        assert!(
            flush
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(topic.log_end_offset(1), Ok(6));
        assert_eq!(values(&mut zero).len(), 4);
        zero.try_poll().unwrap();
        assert!(
            flush
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
        );
    }
    assert_eq!((logged(&topic), producer.gathered()), (6, 0));
}

#[test]
fn a_refused_call_says_how_long_it_has_waited() {
    let limit = Duration::from_millis(50);
    let (_broker, topic, _zero, _one, mut producer) = two_full_partitions(limit);
    let error = producer.flush().unwrap_err();
    assert!(matches!(error.cause, SendError::Full { waited, partition: 0, .. } if waited >= limit));
    assert_eq!(
        topic.stats().partitions[1].blocked_sends,
        0,
        "one wait, for both"
    );
    let full = producer.send_now(Record::new("x").partition(0));
    assert!(matches!(full, Err(SendError::Full { waited, .. }) if waited >= limit));
    producer.take_unsent();
}

/// Makes room for two records in the first wait, and takes this long for it.
#[derive(Debug)]
struct SlowReader {
    consumer: Mutex<Option<Consumer>>,
    is_first: AtomicBool,
    takes: Duration,
}

impl WaitPolicy for SlowReader {
    fn next(&self, _attempts: u32) -> WaitAction {
        if self.is_first.swap(false, Ordering::Relaxed) {
            let mut consumer = self.consumer.lock().unwrap();
            for _ in 0..2 {
                assert_eq!(consumer.as_mut().unwrap().try_poll().unwrap().len(), 2);
            }
            thread::sleep(self.takes);
        }
        WaitAction::Spin(1) // the clock is looked at after several spins only
    }
}

#[test]
fn the_waits_of_a_call_take_max_block_in_all() {
    let takes = Duration::from_millis(50);
    let reader = Arc::new(SlowReader {
        consumer: Mutex::default(),
        is_first: AtomicBool::new(true),
        takes,
    });
    let wait = WaitStrategy::Custom(reader.clone());
    let (broker, topic) = make(tiny().wait(wait));
    let consumer = subscribed(&broker, ConsumerConfig::new().max_poll_records(2));
    *reader.consumer.lock().unwrap() = Some(consumer);
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    send_numbers(&mut producer, 0..6);
    producer.set_max_block(takes);
    // The first wait ends with room for what is gathered, and no time for a second one.
    let full = producer.send_now(Record::new("6"));
    assert!(matches!(full, Err(SendError::Full { waited, .. }) if waited >= takes));
    assert_eq!((logged(&topic), producer.gathered()), (6, 0));
    assert_eq!(topic.stats().partitions[0].blocked_sends, 1);
    reader.consumer.lock().unwrap().take();
}

/// No event says that the pool has a segment again: here, that of a handle which begins to send.
#[test]
fn a_flush_that_waits_for_a_segment_looks_again_as_its_topic_says() {
    let sleepers = CountSleepers::default();
    let config = tiny().overflow(Overflow::DropOldest).max_block(LONG);
    let (_broker, topic) = make(config.wait(sleepers.strategy()));
    let mut producer = topic.producer().gathering(by_four());
    producer.send_now(Record::new("0")).unwrap();
    // A claim that is never published keeps its segment.
    let mut leaks = topic.producer();
    leaks.set_max_block(Duration::ZERO);
    while let Ok(claim) = leaks.claim(Destination::Any, None, 1) {
        std::mem::forget(claim);
    }
    producer.send(Record::new("1")).unwrap();
    assert!(producer.try_flush().is_err());
    thread::scope(|scope| {
        let flushed =
            sleepers.asleep(|| scope.spawn(move || woken("a flush", || producer.flush().unwrap())));
        let mut other = topic.producer();
        assert!(other.try_send(Record::new("2")).is_ok());
        flushed.join().unwrap();
    });
}
