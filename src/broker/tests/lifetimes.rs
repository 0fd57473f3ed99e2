//! What is called in an unusual order, or at the same time: creating, deleting, closing, attaching.

use super::*;
use crate::disk::model::Op;
use crate::error::TopicError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, mpsc};
use std::task::{Context, Poll, Waker};

const TOPICS: &str = "/data/topics";

/// What `work` returns, which must end.
fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let worker = std::thread::spawn(move || drop(done.send(work())));
    match result.recv_timeout(LONG) {
        Ok(result) => {
            worker.join().unwrap();
            result
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end: {what}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("it has panicked: {what}"),
    }
}

/// Sends the record of the next offset: its value is the offset.
fn send(producer: &mut Producer, offset: u64) -> Result<(), SendError> {
    let sent = producer.try_send(Record::new(&offset.to_le_bytes()))?;
    assert_eq!(sent.offset, offset);
    Ok(())
}

fn send_all(producer: &mut Producer, offsets: core::ops::Range<u64>) {
    for offset in offsets {
        let sent = producer.send(Record::new(&offset.to_le_bytes())).unwrap();
        assert_eq!(sent.offset, offset);
    }
}

// ---- creating and deleting ----------------------------------------------------------------

#[test]
fn threads_that_create_a_topic_at_once_make_one_directory() {
    const THREADS: usize = 4;
    for round in 0..50 {
        let disk = ModelDisk::new(round);
        let (broker, _) = Broker::open(config(&disk)).unwrap();
        let barrier = Barrier::new(THREADS);
        let created = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        broker.get_or_create_topic("t", small_ring()).unwrap();
                        barrier.wait();
                        broker.create_topic("u", small_ring()).map(drop)
                    })
                })
                .collect();
            let created = threads.into_iter().map(|thread| thread.join().unwrap());
            created.collect::<Vec<_>>()
        });
        let refused = created.iter().filter_map(|created| created.as_ref().err());
        let refused: Vec<_> = refused.collect();
        assert_eq!(refused.len(), THREADS - 1);
        for error in refused {
            assert!(matches!(error, TopicError::TopicExists { .. }), "{error}");
        }
        assert_eq!(disk.names(Path::new(TOPICS)).len(), 2);
    }
}

#[test]
fn a_topic_that_a_topic_in_memory_was_before_leaves_no_files() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let racing = Barrier::new(2);
    for round in 0..50 {
        let name = format!("t{round}");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                racing.wait();
                let _ = broker.create_topic(&name, small_ring().in_memory());
            });
            racing.wait();
            let _ = broker.create_topic(&name, small_ring());
        });
    }
    let topics = (0..50).map(|round| broker.topic(&format!("t{round}")).unwrap());
    let durable = topics.filter(|topic| topic.storage().is_some()).count();
    assert_eq!(disk.names(Path::new(TOPICS)).len(), durable);
}

#[test]
fn a_topic_that_could_not_be_created_leaves_nothing_behind() {
    for kind in [ErrorKind::StorageFull, ErrorKind::TimedOut] {
        for op in [
            Op::Create,
            Op::CreateDir,
            Op::Write,
            Op::Sync,
            Op::SyncDir,
            Op::Rename,
        ] {
            for passed in 0..20 {
                let disk = ModelDisk::new(passed);
                let (broker, _) = Broker::open(config(&disk)).unwrap();
                disk.fail_nth(op, passed, kind);
                let created = broker.create_topic("t", small_ring().partitions(3));
                disk.heal();
                if created.is_ok() {
                    break;
                }
                let what = format!("{op:?} {passed}");
                assert_eq!(disk.names(Path::new(TOPICS)), [""; 0], "{what}");
                let topic = broker.get_or_create_topic("t", small_ring()).unwrap();
                topic.producer().send(Record::new("first")).unwrap();
                topic.flush(LONG).unwrap();
                drop((topic, broker));
                let (_, report) = Broker::open(config(&disk)).unwrap();
                assert_eq!((report.topics.len(), report.records()), (1, 1), "{what}");
            }
        }
    }
}

#[test]
fn a_topic_is_deleted_and_created_again_while_records_are_sent() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let other = broker.create_topic("other", small_ring()).unwrap();
    let mut others = other.producer();
    for round in 0..30 {
        let topic = broker.create_topic("t", small_ring()).unwrap();
        let mut producer = topic.producer();
        let waiting = topic.wait_durable_async(0, u64::MAX);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0;
                loop {
                    match producer.try_send(Record::new(&[7; 100])) {
                        Ok(_) => sent += 1,
                        Err(SendError::Closed { .. }) => return sent,
                        Err(_) => {}
                    }
                }
            });
            send_all(&mut others, round * 10..round * 10 + 10);
            broker.delete_topic("t").unwrap();
            sender.join().unwrap();
        });
        let refused = block_on(waiting);
        assert!(refused.is_err());
        let wait = topic.wait_durable(0, u64::MAX, LONG);
        assert!(
            matches!(wait, Err(StorageError::Deleted { .. })),
            "{wait:?}"
        );
    }
    other.flush(LONG).unwrap();
    let storage = broker.storage().unwrap().clone();
    assert_eq!(storage.faults(), []);
    assert_eq!(disk.names(Path::new(TOPICS)).len(), 1);
    drop((other, broker));
    storage.close().unwrap();
}

/// Runs a future on this thread: it is polled again only when it was woken.
pub(super) fn block_on<F: core::future::Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = Box::pin(future);
    let start = Instant::now();
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        std::thread::park_timeout(LONG / 4);
        assert!(start.elapsed() < LONG / 4, "it was not woken");
    }
}

#[test]
fn a_wait_for_a_topic_that_is_deleted_ends() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let waiter = topic.clone();
    let deletes = std::thread::spawn(move || {
        broker.delete_topic("t").unwrap();
        broker
    });
    let error = ends("the wait", move || waiter.wait_durable(0, 1, LONG * 10)).unwrap_err();
    assert!(matches!(error, StorageError::Deleted { .. }), "{error}");
    deletes.join().unwrap();
    topic.wait_durable(0, 0, Duration::ZERO).unwrap();
}

// ---- closing ------------------------------------------------------------------------------

#[test]
fn a_storage_is_closed_while_producers_are_sending() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let disk = ModelDisk::new(1);
        let (broker, _) = Broker::open(config(&disk)).unwrap();
        let ring = small_ring().partitions(2).overflow(overflow);
        let topic = broker.create_topic("t", ring).unwrap();
        let storage = broker.storage().unwrap().clone();
        let running = Arc::new(());
        let senders: Vec<_> = (0..2)
            .map(|partition| {
                let (mut producer, running) = (topic.producer(), Arc::downgrade(&running));
                std::thread::spawn(move || {
                    while running.strong_count() > 0 {
                        let _ = producer.try_send(Record::new(&[7; 100]).partition(partition));
                    }
                })
            })
            .collect();
        wait_until("some are written", || topic.written_end(0).unwrap() > 1000);
        let sent = topic.log_end_offset(0).unwrap();
        ends("close", move || storage.close()).unwrap();
        assert!(topic.durable_end(0).unwrap() >= sent || overflow == Overflow::DropOldest);
        drop(running);
        for sender in senders {
            sender.join().unwrap();
        }
    }
}

#[test]
fn after_close_backpressure_holds_what_was_not_written() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    send_all(&mut producer, 0..100);
    broker.storage().unwrap().close().unwrap();
    let mut sent = 100;
    while send(&mut producer, sent).is_ok() {
        sent += 1;
        assert!(sent < 1000, "nothing holds the producer back");
    }
    assert!(sent > 100);
    // All of it is read: from the files and from the ring.
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut next = 0;
    while next < sent {
        let batch = consumer.try_poll().unwrap();
        assert_eq!(batch.lost(), 0);
        for record in &batch {
            assert_eq!(record.offset(), next);
            next += 1;
        }
    }
}

#[test]
fn after_close_a_reader_passes_what_was_overwritten_before_it_was_written() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let ring = small_ring().overflow(Overflow::DropOldest);
    let topic = broker.create_topic("t", ring).unwrap();
    let mut producer = topic.producer();
    send_all(&mut producer, 0..10);
    broker.storage().unwrap().close().unwrap();
    send_all(&mut producer, 10..500);
    reads_past_what_is_lost(&broker, 10, 500);
}

#[test]
fn a_reader_passes_what_was_overwritten_after_a_write_had_failed() {
    let disk = ModelDisk::new(1);
    let config = config(&disk).on_write_error(OnWriteError::GoOn);
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    send_all(&mut producer, 0..10);
    topic.flush(LONG).unwrap();
    disk.fail_next(Op::Write, ErrorKind::PermissionDenied);
    send_all(&mut producer, 10..500);
    reads_past_what_is_lost(&broker, 10, 500);
}

/// Reads the first records, which are in the files, and the last, which are in the ring.
fn reads_past_what_is_lost(broker: &Broker, written: u64, end: u64) {
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let (mut next, mut lost) = (0, 0);
    wait_until("all is read", || {
        let batch = consumer.try_poll().unwrap();
        lost += batch.lost();
        next += batch.lost();
        for record in &batch {
            assert_eq!(record.offset(), next);
            next += 1;
        }
        next == end
    });
    assert!(lost > 0 && end - lost > written);
}

#[test]
fn a_closed_storage_changes_nothing_in_its_directory() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let deleted = broker.create_topic("deleted", small_ring()).unwrap();
    let mut producer = topic.producer();
    send_all(&mut producer, 0..10);
    let storage = broker.storage().unwrap().clone();
    storage.close().unwrap();
    storage.close().unwrap();
    // The directory has another owner now.
    let next = config(&disk).open().unwrap();
    let operations = disk.operations();
    let closed = StorageError::Closed {
        dir: PathBuf::from("/data"),
    };
    assert_eq!(storage.put_value("v", b"x"), Err(closed.clone()));
    let refused = TopicError::Storage(closed.clone());
    let created = broker.create_topic("new", small_ring());
    assert_eq!(created.unwrap_err(), refused);
    assert_eq!(topic.add_partitions(2), Err(refused.clone()));
    assert_eq!(topic.delete_records(0, 5), Err(refused.clone()));
    assert_eq!(topic.flush(LONG), Ok(()));
    assert_eq!(topic.wait_durable(0, 11, LONG), Err(closed));
    topic.apply_retention();
    topic.close();
    assert_eq!(broker.delete_topic("deleted"), Err(refused.clone()));
    assert_eq!(Broker::new().attach(&storage).unwrap_err(), refused);
    drop((deleted, topic, producer, broker, storage));
    assert_eq!(disk.operations(), operations);
    drop(next);
}

#[test]
fn a_wait_ends_when_the_storage_is_closed_or_all_handles_are_dropped() {
    for drops in [false, true] {
        let disk = ModelDisk::new(1);
        let (broker, _) = Broker::open(config(&disk).flush(Flush::Never)).unwrap();
        let topic = broker.create_topic("t", small_ring()).unwrap();
        topic.producer().send(Record::new("first")).unwrap();
        let sent = topic.flush_async();
        let never = topic.wait_durable_async(0, 2);
        drop(topic.wait_durable_async(0, 3));
        if drops {
            drop((topic, broker));
        } else {
            broker.storage().unwrap().close().unwrap();
        }
        block_on(sent).unwrap();
        let error = block_on(never).unwrap_err();
        assert!(matches!(error, StorageError::Closed { .. }), "{error}");
    }
}

#[test]
fn a_hook_that_panics_stops_nothing() {
    let disk = ModelDisk::new(1);
    let config = config(&disk).on_thread_start(|| panic!("the hook's own"));
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    send_all(&mut producer, 0..1000);
    topic.flush(LONG).unwrap();
    let storage = broker.storage().unwrap().clone();
    ends("close", move || storage.close()).unwrap();
}

// ---- attaching ----------------------------------------------------------------------------

#[test]
fn the_files_of_a_topic_have_one_owner() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let storage = broker.storage().unwrap().clone();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    send_all(&mut producer, 0..100);
    // Attached again, to the same broker: it has the topics already.
    let report = broker.attach(&storage).unwrap();
    assert_eq!(report.topics.len(), 0);
    // To another one: they are in use.
    let other = Broker::new();
    let error = other.attach(&storage).unwrap_err();
    assert!(
        matches!(&error, TopicError::Storage(StorageError::Locked { dir }) if dir.starts_with(TOPICS)),
        "{error}"
    );
    send_all(&mut producer, 100..200);
    topic.flush(LONG).unwrap();
    drop((producer, topic, broker, other));
    storage.close().unwrap();
    let (_, report) = Broker::open(config(&disk)).unwrap();
    assert_eq!(report.records(), 200);
}

#[test]
fn a_storage_restores_the_commits_of_its_own_topics_only() {
    let (first, second) = (ModelDisk::new(1), ModelDisk::new(2));
    let commit = |broker: &Broker, offset| {
        let offsets = [(("t", 0), offset), (("u", 0), offset)];
        broker.alter_group_offsets("g", offsets).unwrap();
    };
    {
        let (broker, _) = Broker::open(config(&first)).unwrap();
        let storage = config(&second).open().unwrap();
        broker.attach(&storage).unwrap();
        let rings = [("t", small_ring()), ("u", small_ring().storage(&storage))];
        for (name, config) in rings {
            let topic = broker.create_topic(name, config).unwrap();
            send_all(&mut topic.producer(), 0..10);
        }
        commit(&broker, 3);
    }
    let (broker, _) = Broker::open(config(&first)).unwrap();
    broker.alter_group_offsets("g", [(("t", 0), 7)]).unwrap();
    let storage = config(&second).open().unwrap();
    broker.attach(&storage).unwrap();
    let offsets = broker.list_group_offsets("g").unwrap();
    assert_eq!(offsets[&("t", 0).into()], 7);
    assert_eq!(offsets[&("u", 0).into()], 3);
}
