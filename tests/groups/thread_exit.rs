//! Handles in a `thread_local!`, which are dropped as their thread ends.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{at, read};
use ringlog::{Broker, Consumer, Producer, Record, TopicConfig};
use std::cell::RefCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

/// How long a call may take that must not block.
const LIMIT: Duration = Duration::from_secs(60);

thread_local! {
    // Each is in use before the library is. So those of the library are destroyed before it.
    static CONSUMER: RefCell<Option<Consumer>> = const { RefCell::new(None) };
    static AT_EXIT: RefCell<Option<UsesEverything>> = const { RefCell::new(None) };
}

/// Waits for the last of the messages by which another thread says how far it has come.
fn wait_for_done(messages: &Receiver<&'static str>) {
    let mut last = "nothing";
    while last != "done" {
        last = messages
            .recv_timeout(LIMIT)
            .unwrap_or_else(|error| panic!("stopped after {last:?}: {error}"));
    }
}

/// A waker that uses the library when it is woken.
struct Curious {
    broker: Broker,
    messages: Mutex<Sender<&'static str>>,
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        let say = |message| self.messages.lock().unwrap().send(message).unwrap();
        say("woken");
        self.broker.describe_group("g").unwrap();
        say("describe_group");
        self.broker.group_names();
        say("group_names");
        self.broker.snapshot();
        say("done");
    }
}

#[test]
fn wakers_run_under_no_lock_when_a_thread_local_consumer_is_dropped() {
    let (broker, _topic) = make(TopicConfig::new().partitions(2));
    // Not dropped if the test fails: that would wait for the group's lock.
    let mut waiting = ManuallyDrop::new(subscribed(&broker, grouped()));
    let mut other = subscribed(&broker, grouped());
    for _ in 0..3 {
        assert!(read(&mut other).is_empty() && read(&mut waiting).is_empty());
    }
    let (sender, messages) = channel();
    let waker = Waker::from(Arc::new(Curious {
        broker: broker.clone(),
        messages: Mutex::new(sender),
    }));
    let mut poll = ManuallyDrop::new(waiting.poll_async());
    let pending = Pin::new(&mut *poll).poll(&mut Context::from_waker(&waker));
    assert!(pending.is_pending());
    let exiting = thread::spawn(move || {
        CONSUMER.with(|_| ());
        broker.describe_group("g").unwrap(); // the library's thread-locals are in use
        CONSUMER.set(Some(other));
    });
    wait_for_done(&messages);
    exiting.join().unwrap();
    drop(ManuallyDrop::into_inner(poll));
    drop(ManuallyDrop::into_inner(waiting));
}

/// Uses the library when it is dropped.
struct UsesEverything {
    broker: Broker,
    consumer: Consumer,
    producer: Producer,
    messages: Sender<&'static str>,
}

impl UsesEverything {
    fn use_it(&mut self) {
        let say = |message| self.messages.send(message).unwrap();
        let Self {
            broker,
            consumer,
            producer,
            ..
        } = self;
        say("dropped");
        for _ in 0..100 {
            producer.send(Record::new("x")).unwrap(); // past several segments
            assert_eq!(consumer.try_poll().unwrap().len(), 1);
            consumer.commit().unwrap();
        }
        assert_eq!(consumer.committed(at(0)), Ok(Some(101)));
        say("send, poll and commit");
        assert!(consumer.poll(Duration::from_millis(1)).unwrap().is_empty());
        say("poll with a wait");
        let mut other = broker.consumer(grouped().group("other")).unwrap();
        other.subscribe([TOPIC]).unwrap();
        assert!(!other.try_poll().unwrap().is_empty());
        other.close();
        broker.delete_group("other").unwrap();
        say("subscribe and close");
        consumer.unsubscribe();
        broker.delete_topic(TOPIC).unwrap();
        say("done");
    }
}

impl Drop for UsesEverything {
    fn drop(&mut self) {
        // A panic here would abort all tests. The missing message fails this one.
        let _ = catch_unwind(AssertUnwindSafe(|| self.use_it()));
    }
}

#[test]
fn every_call_works_while_thread_locals_are_destroyed() {
    let (sender, messages) = channel();
    let exiting = thread::spawn(move || {
        AT_EXIT.with(|_| ());
        let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(8));
        let mut producer = topic.producer();
        let mut consumer = subscribed(&broker, grouped().auto_commit(false));
        producer.send(Record::new("x")).unwrap();
        assert_eq!(consumer.try_poll().unwrap().len(), 1);
        topic.delete_records(0, 1).unwrap();
        AT_EXIT.set(Some(UsesEverything {
            broker,
            consumer,
            producer,
            messages: sender,
        }));
    });
    wait_for_done(&messages);
    exiting.join().unwrap();
}
