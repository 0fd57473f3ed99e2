//! Dependent readers that wait: woken by what their upstreams read, and by their end.

use super::common::conditions::{CountSleepers, woken};
use super::common::{grouped, make, subscribed};
use super::{after, read_all, send};
use ringlog::{ConsumeError, Consumer, ConsumerConfig, Record, TopicConfig, UpstreamError};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// What a blocking poll of a dependent in another thread returns, once `wake` was called while it
/// slept.
fn woken_by(
    mut dependent: Consumer,
    sleepers: &CountSleepers,
    wake: impl FnOnce(),
) -> Result<Vec<u64>, ConsumeError> {
    let waiting = sleepers.asleep(|| {
        thread::spawn(move || {
            let batch = dependent.next_batch()?;
            Ok(batch.iter().map(|record| record.offset()).collect())
        })
    });
    wake();
    woken("a dependent", || waiting.join().unwrap())
}

fn is_ended(result: &Result<Vec<u64>, ConsumeError>) -> bool {
    matches!(
        result,
        Err(ConsumeError::Upstream(UpstreamError::Ended { .. }))
    )
}

#[test]
fn a_dependent_that_sleeps_is_woken_by_its_upstream() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let mut journal = subscribed(&broker, ConsumerConfig::new());
    send(&mut topic.producer(), 1);
    let dependent = after(&broker, &mut [&mut journal]);
    let read = woken_by(dependent, &sleepers, || _ = read_all(&mut journal));
    assert_eq!(read, Ok(vec![0]));
    // By a seek, and by its ends.
    let dependent = after(&broker, &mut [&mut journal]);
    let mut dependent = dependent;
    read_all(&mut dependent);
    send(&mut topic.producer(), 1);
    let read = woken_by(dependent, &sleepers, || {
        journal.seek_to_end(("t", 0)).unwrap()
    });
    assert_eq!(read, Ok(vec![1]));
    let ends: [fn(Consumer); 3] = [Consumer::close, drop, |mut journal| journal.unsubscribe()];
    for close in ends {
        let mut journal = subscribed(&broker, ConsumerConfig::new());
        let mut dependent = after(&broker, &mut [&mut journal]);
        read_all(&mut journal);
        read_all(&mut dependent);
        let read = woken_by(dependent, &sleepers, || close(journal));
        assert!(is_ended(&read), "{read:?}");
    }
}

#[test]
fn a_dependent_that_sleeps_is_woken_by_its_group() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    send(&mut topic.producer(), 2);
    let config = || ConsumerConfig::new().read_after_group("g");
    // By a poll, by a commit, by a member that leaves, and by the group's end.
    let mut member = subscribed(&broker, grouped().max_poll_records(1));
    let dependent = subscribed(&broker, config());
    let read = woken_by(dependent, &sleepers, || {
        member.try_poll().unwrap();
        member.try_poll().unwrap();
    });
    assert_eq!(read, Ok(vec![0]));
    let mut dependent = subscribed(&broker, config());
    read_all(&mut dependent);
    let read = woken_by(dependent, &sleepers, || member.commit().unwrap());
    assert_eq!(read, Ok(vec![1]));
    let mut dependent = subscribed(&broker, config());
    read_all(&mut dependent);
    send(&mut topic.producer(), 1);
    let read = woken_by(dependent, &sleepers, || {
        assert_eq!(member.try_poll().unwrap().len(), 1);
        member.close();
    });
    assert_eq!(read, Ok(vec![2]));
    let mut dependent = subscribed(&broker, config());
    read_all(&mut dependent);
    let read = woken_by(dependent, &sleepers, || broker.delete_group("g").unwrap());
    assert!(is_ended(&read), "{read:?}");
}

#[test]
fn a_chain_of_readers_on_threads_gets_everything_in_order() {
    const RECORDS: u64 = 20_000;
    let config = TopicConfig::new().segments(3).segment_records(64);
    let (broker, topic) = make(config);
    let mut journal = subscribed(&broker, ConsumerConfig::new().max_poll_records(17));
    let mut replica = subscribed(&broker, ConsumerConfig::new());
    let mut matcher = after(&broker, &mut [&mut journal, &mut replica]);
    let mut member = subscribed(&broker, grouped().read_after(&matcher.progress()));
    let last = subscribed(&broker, ConsumerConfig::new().read_after_group("g"));
    member.try_poll().unwrap();
    // What each reader has handled, as its own thread knows it.
    let handled: Arc<[AtomicUsize; 5]> = Arc::default();
    let readers = [journal, replica, matcher, member, last];
    let upstreams: [&[usize]; 5] = [&[], &[], &[0, 1], &[2], &[3]];
    thread::scope(|scope| {
        for (i, mut consumer) in readers.into_iter().enumerate() {
            let handled = handled.clone();
            scope.spawn(move || {
                let mut next = 0;
                while next < RECORDS {
                    let batch = consumer.next_batch().unwrap();
                    for record in &batch {
                        assert_eq!(record.offset(), next);
                        next += 1;
                        for &upstream in upstreams[i] {
                            // Relaxed: the order comes with the record.
                            let of_upstream = handled[upstream].load(Ordering::Relaxed);
                            assert!(of_upstream as u64 >= next);
                        }
                        handled[i].store(next as usize, Ordering::Relaxed);
                    }
                }
                consumer.close(); // counts as read, and commits
            });
        }
        let mut producer = topic.producer();
        for i in 0..RECORDS {
            producer.send(Record::new(&i.to_ne_bytes()[..])).unwrap();
        }
    });
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_is_woken_by_its_upstream_and_by_its_end() {
    let (broker, topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, ConsumerConfig::new());
    let mut dependent = after(&broker, &mut [&mut journal]);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    let count = || wakes.0.load(Ordering::SeqCst);
    {
        let mut poll = pin!(dependent.poll_async());
        assert!(poll.as_mut().poll(&mut context).is_pending());
        send(&mut topic.producer(), 1);
        assert!(
            poll.as_mut().poll(&mut context).is_pending(),
            "sent is not read"
        );
        journal.try_poll().unwrap();
        assert!(
            poll.as_mut().poll(&mut context).is_pending(),
            "not handled yet"
        );
        let before = count();
        journal.try_poll().unwrap();
        assert!(count() > before);
        let Poll::Ready(batch) = poll.as_mut().poll(&mut context) else {
            panic!("not ready");
        };
        assert_eq!(batch.unwrap().len(), 1);
    }
    let mut poll = pin!(dependent.poll_async());
    assert!(poll.as_mut().poll(&mut context).is_pending());
    let before = count();
    drop(journal);
    assert!(count() > before);
    let Poll::Ready(batch) = poll.as_mut().poll(&mut context) else {
        panic!("not ready");
    };
    assert!(is_ended(&batch.map(|_| Vec::new())));
}

#[test]
#[cfg(feature = "stream")]
fn a_streams_records_count_as_read_when_the_next_batch_is_asked_for() {
    use futures_core::Stream;
    use ringlog::RecordStream;
    use std::pin::Pin;

    let (broker, topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, ConsumerConfig::new());
    let mut dependent = after(&broker, &mut [&mut journal]).into_stream();
    let mut journal = journal.into_stream();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    let mut next = |stream: &mut RecordStream| match Pin::new(stream).poll_next(&mut context) {
        Poll::Ready(Some(Ok(record))) => Some(record.offset),
        Poll::Pending => None,
        other => panic!("{other:?}"),
    };
    send(&mut topic.producer(), 2);
    assert_eq!(next(&mut journal), Some(0));
    assert_eq!(next(&mut dependent), None);
    assert_eq!(next(&mut journal), Some(1));
    assert_eq!(next(&mut dependent), None);
    let before = wakes.0.load(Ordering::SeqCst);
    assert_eq!(next(&mut journal), None);
    assert!(wakes.0.load(Ordering::SeqCst) > before);
    assert_eq!(next(&mut dependent), Some(0));
    assert_eq!(next(&mut dependent), Some(1));
    // Of a batch that is not handed out, closing counts what was.
    send(&mut topic.producer(), 2);
    assert_eq!(next(&mut journal), Some(2));
    let (consumer, _) = (journal.into_consumer(), ());
    let Ok(consumer) = consumer else {
        panic!("not returned")
    };
    consumer.close();
    assert_eq!(next(&mut dependent), Some(2));
}
