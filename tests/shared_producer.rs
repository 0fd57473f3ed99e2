//! One handle for many threads and tasks: what it costs, and what its calls hold up.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, PartitionChoice, Partitioner, Record, SendError,
    SharedProducer, TopicConfig, TopicError,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take to come true before the test says that it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A ring of four records per partition.
fn tiny() -> TopicConfig {
    TopicConfig::new().segments(2).segment_records(2)
}

/// The size of the topic without spares, and that of a segment.
fn sizes(config: &TopicConfig, partitions: usize, segments: usize) -> (usize, usize) {
    let (_broker, topic) = make(config.clone());
    let own = topic.memory_bytes();
    (own, own / (partitions * (segments + 1)))
}

fn producers(broker: &Broker) -> u64 {
    broker.snapshot().topics[0].producers
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "hangs: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends until partition 0 is full.
fn fill(producer: &SharedProducer) {
    while producer.try_send(Record::new("x").partition(0)).is_ok() {}
}

fn poll_once<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

// ---- memory -----------------------------------------------------------------------------

#[test]
fn handles_that_never_send_cost_no_memory() {
    let (broker, topic) = make(tiny());
    let own = topic.memory_bytes();
    let producers: Vec<_> = (0..5000).map(|_| topic.producer()).collect();
    let clones = producers.to_vec();
    let shared: Vec<_> = (0..5000).map(|_| topic.shared_producer()).collect();
    assert_eq!(topic.memory_bytes(), own);
    drop((producers, clones, shared));
    drop(topic.exclusive_producer().unwrap());
    assert_eq!(self::producers(&broker), 0);
    assert_eq!(topic.memory_bytes(), own);
}

#[test]
fn a_producer_takes_its_spare_with_its_first_send_and_gives_it_back() {
    let (own, segment) = sizes(&tiny(), 1, 2);
    let (_broker, topic) = make(tiny());
    for _ in 0..3 {
        let mut first = topic.producer();
        let mut second = first.clone();
        first.send(Record::new("x")).unwrap();
        assert!(topic.memory_bytes() >= own + segment);
        first.send(Record::new("x")).unwrap();
        drop(second.claim(Destination::Any, None, 1).unwrap());
        assert_eq!(topic.memory_bytes(), own + 2 * segment);
    }
    for _ in 0..3 {
        let mut exclusive = topic.exclusive_producer().unwrap();
        exclusive.send_values(Destination::Any, &[1u64]).unwrap();
    }
    assert_eq!(topic.memory_bytes(), own + 2 * segment);
}

#[test]
fn a_producer_that_is_refused_takes_no_spare() {
    let (broker, topic) = make(tiny());
    let own = topic.memory_bytes();
    let exclusive = topic.exclusive_producer().unwrap();
    let mut refused = topic.producer();
    assert!(matches!(
        refused.send(Record::new("x")),
        Err(SendError::ExclusiveProducer { .. })
    ));
    drop(exclusive);
    topic.close();
    assert!(matches!(
        refused.send(Record::new("x")),
        Err(SendError::Closed { .. })
    ));
    assert_eq!(topic.memory_bytes(), own);
    drop(broker);
}

#[test]
fn five_thousand_clones_and_their_requests_in_turn_cost_one_spare() {
    let (own, segment) = sizes(&tiny(), 1, 2);
    let (broker, topic) = make(tiny());
    let shared = topic.shared_producer();
    let clones: Vec<_> = (0..5000).map(|_| shared.clone()).collect();
    for clone in &clones {
        clone.send(Record::new("request")).unwrap();
    }
    assert_eq!(
        (producers(&broker), topic.memory_bytes()),
        (1, own + segment)
    );
    // The same from a thread for each of some.
    for clone in clones.into_iter().take(50) {
        thread::spawn(move || clone.send(Record::new("request")).unwrap())
            .join()
            .unwrap();
    }
    assert_eq!(
        (producers(&broker), topic.memory_bytes()),
        (1, own + segment)
    );
    drop(shared);
    assert_eq!(producers(&broker), 0);
}

#[test]
fn calls_that_run_at_once_cost_one_spare_each_and_give_it_back() {
    const CALLS: usize = 15;
    let (own, segment) = sizes(&tiny(), 1, 2);
    let (broker, topic) = make(tiny());
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    fill(&shared);
    let counters = || broker.snapshot().topics[0].partitions[0].blocked_sends;
    let before = counters();
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let shared = shared.clone();
            thread::spawn(move || shared.send(Record::new("y").partition(0)).unwrap())
        })
        .collect();
    wait_until("all calls wait for room", || {
        counters() - before == CALLS as u64
    });
    assert_eq!(producers(&broker), CALLS as u64);
    // One more spare is the reader's.
    assert_eq!(topic.memory_bytes(), own + (CALLS + 1) * segment);
    let mut read = 0;
    while read < 4 + CALLS {
        read += reader.poll(LIMIT).unwrap().len();
    }
    for call in calls {
        call.join().unwrap();
    }
    let cores = thread::available_parallelism().map_or(64, usize::from);
    assert!(producers(&broker) as usize <= CALLS.min(cores));
    drop(shared);
    assert_eq!(producers(&broker), 0);
    // Others use the spares that were given back.
    let mut others: Vec<_> = (0..CALLS).map(|_| topic.producer()).collect();
    for producer in &mut others {
        producer.send(Record::new("z")).unwrap();
        assert!(!reader.poll(LIMIT).unwrap().is_empty());
    }
    assert_eq!(topic.memory_bytes(), own + (CALLS + 1) * segment);
}

#[test]
fn futures_that_wait_for_room_hold_no_producer() {
    let (own, segment) = sizes(&tiny(), 1, 2);
    let (broker, topic) = make(tiny());
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    fill(&shared);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut sends: Vec<_> = (0..1000)
        .map(|_| Box::pin(shared.send_async(Record::new("y"))))
        .collect();
    for send in &mut sends {
        assert!(poll_once(send.as_mut(), &waker).is_pending());
    }
    assert_eq!(producers(&broker), 1);
    assert_eq!(topic.memory_bytes(), own + 2 * segment);
    // Dropped futures are not woken, and send nothing.
    sends.truncate(2);
    assert_eq!(drain(&mut reader).len(), 4);
    assert_eq!(wakes.count(), 2);
    for send in &mut sends {
        assert!(matches!(
            poll_once(send.as_mut(), &waker),
            Poll::Ready(Ok(_))
        ));
    }
    assert_eq!(drain(&mut reader).len(), 2);
    assert_eq!(producers(&broker), 1);
}

// ---- what a call holds up ---------------------------------------------------------------

/// Stops in a call with the key "stop", until it is released.
#[derive(Debug)]
struct Stops {
    stopped: Mutex<mpsc::Sender<()>>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Partitioner for Stops {
    fn choose(&self, key: Option<&[u8]>, _: u32) -> PartitionChoice {
        if key == Some(b"stop") {
            self.stopped.lock().unwrap().send(()).unwrap();
            self.go_on.lock().unwrap().recv_timeout(LIMIT).unwrap();
        }
        PartitionChoice::Partition(0)
    }
}

#[test]
fn a_thread_that_stops_in_a_call_holds_up_no_other_call() {
    let (stopped, is_stopped) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    let config = TopicConfig::new().partitioner(Stops {
        stopped: Mutex::new(stopped),
        go_on: Mutex::new(may_go_on),
    });
    let (broker, topic) = make(config);
    let shared = topic.shared_producer();
    let stops = shared.clone();
    let thread = thread::spawn(move || stops.send(Record::new("late").key("stop")).unwrap());
    is_stopped.recv_timeout(LIMIT).unwrap();
    for offset in 0..100 {
        let sent = shared.send(Record::new("x").key("go")).unwrap();
        assert_eq!(sent.offset, offset);
    }
    assert_eq!(producers(&broker), 2);
    go_on.send(()).unwrap();
    assert_eq!(thread.join().unwrap().offset, 100);
}

#[test]
fn a_future_that_waits_holds_up_no_other_call() {
    let (broker, topic) = make(tiny().partitions(2));
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    fill(&shared);
    let mut waits = pin!(shared.send_async(Record::new("y").partition(0)));
    assert!(poll_once(waits.as_mut(), Waker::noop()).is_pending());
    for offset in 0..4 {
        let sent = shared.send(Record::new("z").partition(1)).unwrap();
        assert_eq!((sent.partition, sent.offset), (1, offset));
    }
    assert_eq!(drain(&mut reader).len(), 8);
    let Poll::Ready(Ok(sent)) = poll_once(waits.as_mut(), Waker::noop()) else {
        panic!("there is room");
    };
    assert_eq!((sent.partition, sent.offset), (0, 4));
}

/// Sends by the handle, for each record with a key, one without.
#[derive(Debug)]
struct SendsItself(Arc<OnceLock<SharedProducer>>);

impl Partitioner for SendsItself {
    fn choose(&self, key: Option<&[u8]>, _: u32) -> PartitionChoice {
        if let (Some(_), Some(shared)) = (key, self.0.get()) {
            shared.send(Record::new("inner")).unwrap();
        }
        PartitionChoice::Partition(0)
    }
}

#[test]
fn a_partitioner_may_send_by_the_handle_that_calls_it() {
    let handle = Arc::new(OnceLock::new());
    let config = TopicConfig::new().partitioner(SendsItself(handle.clone()));
    let (broker, topic) = make(config);
    let shared = handle.get_or_init(|| topic.shared_producer());
    let mut after_first = None;
    for round in 0..10 {
        let sent = shared.send(Record::new("outer").key("k")).unwrap();
        assert_eq!(sent.offset, 2 * round + 1);
        let memory = *after_first.get_or_insert(topic.memory_bytes());
        assert_eq!(
            topic.memory_bytes(),
            memory,
            "both producers are used again"
        );
    }
    assert_eq!(producers(&broker), 2);
}

#[derive(Debug)]
struct Panics;

impl Partitioner for Panics {
    fn choose(&self, key: Option<&[u8]>, _: u32) -> PartitionChoice {
        if key == Some(b"bad") {
            resume_unwind(Box::new("the partitioner panics"));
        }
        PartitionChoice::Partition(0)
    }
}

#[test]
fn a_partitioner_that_panics_leaves_the_handle_usable_and_costs_nothing() {
    let (broker, topic) = make(TopicConfig::new().partitioner(Panics));
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    let batch = ["good", "bad"].map(|key| Record::new("x").key(key));
    let panics = |call: &dyn Fn()| {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
    };
    for _ in 0..100 {
        panics(&|| drop(shared.send(batch[1])));
        panics(&|| drop(shared.send_batch(&batch)));
        panics(&|| drop(shared.send_values(Destination::Key(b"bad"), &[1u64])));
        panics(&|| {
            let mut send = pin!(shared.send_async(batch[1]));
            drop(poll_once(send.as_mut(), Waker::noop()));
        });
        shared.send(batch[0]).unwrap();
    }
    assert_eq!(drain(&mut reader).len(), 100);
    assert_eq!(producers(&broker), 1);
}

// ---- the calls --------------------------------------------------------------------------

#[test]
fn every_call_appends_what_a_producers_does() {
    let (broker, topic) = make(TopicConfig::new().partitions(3));
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    assert_eq!(shared.topic(), TOPIC);
    let batch = [0, 1].map(|partition| Record::new("batch").partition(partition));
    let to = Destination::Partition(2);
    let waker = Waker::noop();
    macro_rules! ready {
        ($future:expr) => {
            match poll_once(pin!($future), waker) {
                Poll::Ready(output) => output.unwrap(),
                Poll::Pending => panic!("there is room"),
            }
        };
    }
    let sent = [
        shared.send(batch[0]).unwrap(),
        shared.try_send(batch[0]).unwrap(),
        ready!(shared.send_async(batch[0])),
    ];
    assert_eq!(sent.map(|sent| sent.offset), [0, 1, 2]);
    let sent = [
        shared.send_values(to, &[1u64, 2]).unwrap(),
        shared.try_send_values(to, &[3u64]).unwrap(),
        ready!(shared.send_values_async(to, &[4u64])),
    ];
    assert_eq!(sent.map(|sent| sent.base_offset), [0, 2, 3]);
    let sent = [
        shared.send_batch(&batch).unwrap(),
        shared.try_send_batch(&batch).unwrap(),
        ready!(shared.send_batch_async(&batch)),
    ];
    let offsets = sent.map(|sent| [0, 1].map(|i| (sent[i].partition, sent[i].offset)));
    assert_eq!(
        offsets,
        [[(0, 3), (1, 0)], [(0, 4), (1, 1)], [(0, 5), (1, 2)]]
    );
    assert_eq!(drain(&mut reader).len(), 3 + 4 + 6);
}

#[test]
fn a_batch_that_waits_keeps_its_plan_whatever_is_sent_meanwhile() {
    let (broker, topic) = make(tiny().partitions(2));
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    fill(&shared);
    let batch = [1, 0, 1].map(|partition| Record::new("batch").partition(partition));
    let mut send = pin!(shared.send_batch_async(&batch));
    assert!(poll_once(send.as_mut(), Waker::noop()).is_pending());
    let other = [Record::new("other").partition(1)];
    assert_eq!(shared.send_batch(&other).unwrap()[0].offset, 0);
    assert_eq!(drain(&mut reader).len(), 5);
    let Poll::Ready(Ok(sent)) = poll_once(send.as_mut(), Waker::noop()) else {
        panic!("there is room");
    };
    let sent: Vec<_> = sent
        .iter()
        .map(|sent| (sent.partition, sent.offset))
        .collect();
    assert_eq!(sent, [(1, 1), (0, 4), (1, 2)]);
}

#[test]
fn a_future_that_was_ready_stays_pending_and_sends_no_more() {
    let (_broker, topic) = make(TopicConfig::new());
    let shared = topic.shared_producer();
    let mut send = pin!(shared.send_async(Record::new("once")));
    assert!(poll_once(send.as_mut(), Waker::noop()).is_ready());
    assert!(poll_once(send.as_mut(), Waker::noop()).is_pending());
    assert_eq!(topic.log_end_offset(0).unwrap(), 1);
}

#[test]
fn what_is_refused_is_reported_as_by_a_producer() {
    let (broker, topic) = make(tiny().partitions(2).max_block(Duration::ZERO));
    let _reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    fill(&shared);
    let full = Record::new("x").partition(0);
    assert!(matches!(
        shared.send(full),
        Err(SendError::Full { partition: 0, .. })
    ));
    assert!(matches!(shared.try_send(full), Err(SendError::Full { .. })));
    let refused = shared.send_batch(&[full, full.partition(1)]).unwrap_err();
    assert_eq!((refused.appended, refused.refused), (0, vec![0, 1]));
    let unknown = Record::new("x").partition(2);
    assert!(matches!(
        shared.send(unknown),
        Err(SendError::PartitionOutOfRange { partition: 2, .. })
    ));
    let mut waits = pin!(shared.send_async(full));
    assert!(poll_once(waits.as_mut(), Waker::noop()).is_pending());
    topic.close();
    assert!(matches!(
        poll_once(waits.as_mut(), Waker::noop()),
        Poll::Ready(Err(SendError::Closed { .. }))
    ));
    assert!(matches!(
        shared.send(unknown),
        Err(SendError::Closed { .. })
    ));
}

#[test]
fn a_shared_producer_and_an_exclusive_one_exclude_each_other() {
    let (_broker, topic) = make(TopicConfig::new());
    let shared = topic.shared_producer();
    let clone = shared.clone();
    drop(shared);
    let refused = topic.exclusive_producer().unwrap_err();
    assert!(matches!(
        refused,
        TopicError::ProducersExist {
            shared: 1,
            exclusive: 0,
            ..
        }
    ));
    drop(clone);
    let mut exclusive = topic.exclusive_producer().unwrap();
    exclusive.send(Record::new("x")).unwrap();
    let shared = topic.shared_producer();
    assert!(matches!(
        shared.send(Record::new("x")),
        Err(SendError::ExclusiveProducer { .. })
    ));
    drop(exclusive);
    assert_eq!(shared.send(Record::new("x")).unwrap().offset, 1);
}

/// The limit of a send that is refused by it.
fn waited(refused: Result<ringlog::RecordMetadata, SendError>) -> Duration {
    match refused {
        Err(SendError::Full { waited, .. }) => waited,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_producers_own_limit_replaces_the_topics() {
    let (broker, topic) = make(tiny().max_block(LIMIT));
    let _reader = subscribed(&broker, ConsumerConfig::new());
    let limit = Duration::from_millis(3);
    let by_its_own = |waited: Duration| (limit..LIMIT).contains(&waited);
    let mut producer = topic.producer();
    let mut shared = topic.shared_producer();
    fill(&shared);
    assert_eq!(producer.max_block(), LIMIT);
    assert_eq!(shared.max_block(), LIMIT);
    let untouched = shared.clone();
    producer.set_max_block(limit);
    shared.set_max_block(Duration::ZERO);
    assert!(by_its_own(waited(producer.send(Record::new("x")))));
    assert!(by_its_own(waited(producer.clone().send(Record::new("x")))));
    assert_eq!(waited(shared.send(Record::new("x"))), Duration::ZERO);
    assert_eq!(
        waited(shared.clone().send(Record::new("x"))),
        Duration::ZERO
    );
    assert_eq!(untouched.max_block(), LIMIT);
    assert!(producer.claim(Destination::Any, None, 1).is_err());
    assert!(producer.send_values(Destination::Any, &[1u64]).is_err());
    assert!(producer.send_batch(&[Record::new("x")]).is_err());
    assert!(shared.send_batch(&[Record::new("x")]).is_err());
    drop((producer, shared, untouched));
    let mut exclusive = topic.exclusive_producer().unwrap();
    exclusive.set_max_block(Duration::ZERO);
    assert_eq!(waited(exclusive.send(Record::new("x"))), Duration::ZERO);
}

// ---- many at once -----------------------------------------------------------------------

/// Reads `count` records; returns each key's values, in the order in which they were read.
fn read_by_key(reader: &mut Consumer, count: usize) -> BTreeMap<u32, Vec<u64>> {
    let mut by_key = BTreeMap::<u32, Vec<u64>>::new();
    let mut read = 0;
    while read < count {
        let batch = reader.poll(LIMIT).unwrap();
        assert!(!batch.is_empty(), "hangs after {read} of {count} records");
        read += batch.len();
        for record in &batch {
            let key = u32::from_ne_bytes(record.key().unwrap().try_into().unwrap());
            let value = u64::from_ne_bytes(record.value().unwrap().try_into().unwrap());
            by_key.entry(key).or_default().push(value);
        }
    }
    by_key
}

fn assert_in_order(by_key: &BTreeMap<u32, Vec<u64>>, keys: u32, records: u64) {
    assert_eq!(by_key.len(), keys as usize);
    for (key, values) in by_key {
        assert!(
            values.iter().copied().eq(0..records),
            "key {key}: {values:?}"
        );
    }
}

#[test]
fn each_threads_records_of_a_key_stay_in_order() {
    const THREADS: u32 = 8;
    const RECORDS: u64 = 2000;
    let config = TopicConfig::new()
        .partitions(3)
        .segments(2)
        .segment_records(64);
    let (broker, topic) = make(config);
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    let by_key = thread::scope(|scope| {
        for key in 0..THREADS {
            let shared = &shared;
            scope.spawn(move || {
                for n in 0..RECORDS {
                    let (key, value) = (key.to_ne_bytes(), n.to_ne_bytes());
                    shared.send(Record::new(&value).key(&key)).unwrap();
                }
            });
        }
        read_by_key(&mut reader, THREADS as usize * RECORDS as usize)
    });
    assert_in_order(&by_key, THREADS, RECORDS);
    drop(shared);
    assert_eq!(producers(&broker), 0);
}

#[test]
fn each_tasks_records_of_a_key_stay_in_order() {
    const TASKS: u32 = 200;
    const RECORDS: u64 = 20;
    let (broker, topic) = make(TopicConfig::new().partitions(3));
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|key| {
                let shared = shared.clone();
                tokio::spawn(async move {
                    for n in 0..RECORDS {
                        let (key, value) = (key.to_ne_bytes(), n.to_ne_bytes());
                        let record = Record::new(&value).key(&key);
                        shared.send_async(record).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let by_key = read_by_key(&mut reader, TASKS as usize * RECORDS as usize);
    assert_in_order(&by_key, TASKS, RECORDS);
    let workers = runtime.metrics().num_workers() as u64;
    assert!(producers(&broker) <= workers, "one for each poll at a time");
}

#[test]
fn tasks_that_wait_for_a_slow_reader_are_all_served() {
    const TASKS: usize = 300;
    let (broker, topic) = make(tiny());
    let mut reader = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let shared = shared.clone();
            runtime.spawn(async move { shared.send_async(Record::new("x")).await.unwrap().offset })
        })
        .collect();
    let mut read = 0;
    while read < TASKS {
        let batch = reader.poll(LIMIT).unwrap();
        assert!(!batch.is_empty(), "hangs after {read} of {TASKS} records");
        read += batch.len();
    }
    let mut offsets: Vec<_> = tasks
        .into_iter()
        .map(|task| runtime.block_on(task).unwrap())
        .collect();
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq(0..TASKS as u64));
}
