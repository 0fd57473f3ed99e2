//! Closed topics: each member of a group gets their ends, also one that has none of their
//! partitions, but no member before it is certain that it will get no record.

use super::common::{grouped, subscribed};
use super::support::{count_polled, member, owned_topics, poll_errors, send_to, timed, topics};
use ringlog::{Broker, ConsumeError, Consumer, OffsetReset, RangeAssignor, Topic, TopicConfig};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread;
use std::time::Duration;

/// How long a wait may take that is to end by itself.
const LIMIT: Duration = Duration::from_secs(60);

fn closed(topic: &str) -> Option<ConsumeError> {
    Some(ConsumeError::Closed {
        topic: topic.into(),
    })
}

/// A closed topic "t" of one partition and three records, its owner, and a member without.
fn owner_and_spare(auto_commit: bool) -> (Broker, Topic, Consumer, Consumer) {
    let (broker, mut topics) = topics(&["t"]);
    let config = || grouped().auto_commit(auto_commit).max_poll_records(2);
    let mut owner = subscribed(&broker, config());
    assert_eq!(count_polled(&mut owner), 0);
    let mut spare = subscribed(&broker, config());
    assert_eq!(count_polled(&mut spare) + count_polled(&mut owner), 0);
    assert_eq!(
        (owned_topics(&owner).len(), owned_topics(&spare).len()),
        (1, 0)
    );
    let topic = topics.remove(0);
    send_to(&topic, 3);
    topic.close();
    (broker, topic, owner, spare)
}

/// The error of one poll.
fn poll_error(consumer: &mut Consumer) -> Option<ConsumeError> {
    consumer.try_poll().err()
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_member_without_partitions_gets_the_end_once_all_is_committed() {
    let (_broker, _topic, mut owner, mut spare) = owner_and_spare(true);
    for records in [2, 1] {
        assert_eq!(poll_error(&mut spare), None);
        assert_eq!(owner.try_poll().unwrap().len(), records);
    }
    // The owner's next poll commits its last batch.
    assert_eq!(poll_error(&mut spare), None);
    assert!(!spare.is_finished());
    assert_eq!(poll_error(&mut owner), closed("t"));
    for _ in 0..3 {
        assert_eq!(poll_error(&mut spare), closed("t"));
        assert!(spare.is_finished());
    }
}

#[test]
fn a_member_without_partitions_takes_over_what_a_dead_owner_has_not_committed() {
    let (_broker, _topic, mut owner, mut spare) = owner_and_spare(false);
    assert_eq!(owner.try_poll().unwrap().len(), 2);
    assert_eq!(owner.try_poll().unwrap().len(), 1);
    for _ in 0..3 {
        assert_eq!(poll_error(&mut owner), closed("t"));
        assert_eq!(poll_error(&mut spare), None);
    }
    drop(owner);
    assert_eq!(count_polled_until_closed(&mut spare), 3);
    assert!(spare.is_finished());
}

fn count_polled_until_closed(consumer: &mut Consumer) -> usize {
    count_polled_until_end_of(consumer, "t")
}

fn count_polled_until_end_of(consumer: &mut Consumer, topic: &str) -> usize {
    let mut records = 0;
    for _ in 0..100 {
        match consumer.try_poll() {
            Ok(batch) => records += batch.len(),
            Err(error) => {
                assert_eq!(Some(error), closed(topic));
                return records;
            }
        }
    }
    panic!("not closed after 100 polls");
}

#[test]
fn a_task_without_partitions_is_woken_by_the_last_commit() {
    for auto_commit in [true, false] {
        let (_broker, _topic, mut owner, mut spare) = owner_and_spare(auto_commit);
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut context = Context::from_waker(&waker);
        let mut waits = pin!(spare.poll_async());
        assert!(waits.as_mut().poll(&mut context).is_pending());
        assert_eq!(owner.try_poll().unwrap().len(), 2);
        assert_eq!(owner.try_poll().unwrap().len(), 1);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        assert_eq!(poll_error(&mut owner), closed("t"));
        if !auto_commit {
            assert!(waits.as_mut().poll(&mut context).is_pending());
            owner.commit_offsets([(("t", 0), 2)]).unwrap();
            assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "not the last");
            owner.commit().unwrap();
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let Poll::Ready(ended) = waits.as_mut().poll(&mut context) else {
            panic!("still pending")
        };
        assert_eq!(ended.err(), closed("t"));
    }
}

#[test]
fn threads_asleep_without_partitions_end_with_their_topic() {
    let (broker, topics) = topics(&["t"]);
    // Without an interval a sleeping member is not woken by the time to look for dead members.
    let config = || grouped().max_poll_interval(Duration::ZERO);
    let members: Vec<_> = (0..4).map(|_| subscribed(&broker, config())).collect();
    let threads = members.into_iter().map(|mut member| {
        thread::spawn(move || {
            let mut records = 0;
            loop {
                match member.poll(LIMIT) {
                    Ok(batch) if batch.is_empty() => panic!("the member was not woken"),
                    Ok(batch) => records += batch.len(),
                    Err(error) => return (records, error, member),
                }
            }
        })
    });
    let threads: Vec<_> = threads.collect();
    send_to(&topics[0], 100);
    topics[0].close();
    // No member leaves before all have the end.
    let ends: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    for (_, error, member) in &ends {
        assert_eq!(Some(error), closed("t").as_ref());
        assert!(member.is_finished());
    }
    assert_eq!(ends.iter().map(|(read, ..)| read).sum::<usize>(), 100);
}

/// Members of the topics "a", of two partitions, and "b", of one, which belongs to the first.
fn two_topics() -> (Broker, [Topic; 2], [Consumer; 2]) {
    let broker = Broker::new();
    let topics = [("a", 2), ("b", 1)].map(|(name, partitions)| {
        let config = TopicConfig::new().partitions(partitions);
        broker.create_topic(name, config).unwrap()
    });
    let config = || grouped().assignor(RangeAssignor);
    let mut members = [(); 2].map(|()| member(&broker, config(), &["a", "b"]));
    for _ in 0..3 {
        assert!(members.iter_mut().all(|member| count_polled(member) == 0));
    }
    assert_eq!(owned_topics(&members[0]), ["a", "b"]);
    assert_eq!(owned_topics(&members[1]), ["a"]);
    (broker, topics, members)
}

#[test]
fn a_member_with_partitions_of_another_topic_gets_the_end_once_and_reads_on() {
    let (_broker, [a, b], [mut owner, mut other]) = two_topics();
    send_to(&b, 1);
    b.close();
    assert_eq!(count_polled(&mut other), 0);
    assert_eq!(owner.try_poll().unwrap().len(), 1);
    assert_eq!(count_polled(&mut other), 0);
    assert_eq!(poll_error(&mut owner), closed("b"));
    // Without a wait: its polls of "a" would not look at "b" by themselves.
    assert_eq!(poll_error(&mut other), closed("b"));
    assert_eq!(count_polled(&mut other), 0);
    assert!(!other.is_finished());
    // The partition of "b" moves to it, with nothing to be read, and the rest of "a".
    owner.close();
    assert_eq!(count_polled(&mut other), 0);
    assert_eq!(owned_topics(&other), ["a", "a", "b"]);
    send_to(&a, 4);
    assert_eq!(count_polled(&mut other), 4);
    a.close();
    assert_eq!(poll_error(&mut other), closed("a"));
    assert!(other.is_finished());
}

#[test]
fn deleted_and_closed_topics_end_together() {
    let (broker, [_a, b], [mut owner, mut other]) = two_topics();
    b.close();
    broker.delete_topic("a").unwrap();
    for member in [&mut owner, &mut other] {
        let mut ends = [poll_error(member), poll_error(member)];
        ends.sort_by_key(|end| format!("{end:?}"));
        assert_eq!(ends, [closed("a"), closed("b")]);
        assert!(member.is_finished());
        assert!(matches!(
            member.try_poll(),
            Err(ConsumeError::Closed { .. })
        ));
    }
}

#[test]
fn a_member_that_joins_after_the_end_gets_it_at_once() {
    let (broker, _topic, mut owner, spare) = owner_and_spare(true);
    drop(spare);
    assert_eq!(count_polled_until_closed(&mut owner), 3);
    let mut late = subscribed(&broker, grouped());
    assert_eq!(poll_error(&mut late), closed("t"));
}

#[test]
fn an_owner_that_is_kept_by_name_leaves_an_end_if_it_has_committed_all() {
    let (broker, topics) = topics(&["t"]);
    let mut named = subscribed(&broker, timed().instance_id("x"));
    assert_eq!(count_polled(&mut named), 0);
    let mut spare = subscribed(&broker, timed());
    assert_eq!(count_polled(&mut spare) + count_polled(&mut named), 0);
    send_to(&topics[0], 1);
    topics[0].close();
    assert_eq!(named.try_poll().unwrap().len(), 1);
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.clone().into();
    let mut context = Context::from_waker(&waker);
    let mut waits = pin!(spare.poll_async());
    assert!(waits.as_mut().poll(&mut context).is_pending());
    named.close(); // commits, and keeps its partition
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(ended) = waits.as_mut().poll(&mut context) else {
        panic!("still pending")
    };
    assert_eq!(ended.err(), closed("t"));
}

#[test]
fn an_end_holds_no_more_once_the_offsets_are_set_back() {
    let (broker, _topic, mut owner, mut spare) = owner_and_spare(true);
    assert_eq!(count_polled_until_closed(&mut owner), 3);
    assert_eq!(poll_error(&mut spare), closed("t"));
    owner.close();
    // The partition has no owner before the next poll of the other member.
    broker.alter_group_offsets("g", [(("t", 0), 1)]).unwrap();
    assert_eq!(count_polled_until_closed(&mut spare), 2);
}

#[test]
fn an_empty_topic_and_one_whose_records_are_deleted_have_ended_without_a_commit() {
    for deletes in [false, true] {
        let (broker, topics) = topics(&["t"]);
        let config = || {
            grouped()
                .auto_commit(false)
                .offset_reset(OffsetReset::Earliest)
        };
        let mut owner = subscribed(&broker, config());
        assert_eq!(count_polled(&mut owner), 0);
        let mut spare = subscribed(&broker, config());
        if deletes {
            send_to(&topics[0], 3);
        }
        topics[0].close();
        assert_eq!(poll_error(&mut spare).is_none(), deletes);
        if deletes {
            topics[0].delete_records(0, 3).unwrap();
        }
        assert_eq!(poll_error(&mut spare), closed("t"));
        assert_eq!(poll_error(&mut owner), closed("t"));
    }
}

#[test]
fn a_lower_commit_takes_an_end_back_that_a_member_without_partitions_has_got() {
    let (_broker, _topic, mut owner, mut spare) = owner_and_spare(false);
    assert_eq!(count_polled_until_closed(&mut owner), 3);
    owner.commit().unwrap();
    assert_eq!(poll_error(&mut spare), closed("t"));
    owner.commit_offsets([(("t", 0), 1)]).unwrap();
    assert_eq!(poll_error(&mut spare), None);
    assert!(!spare.is_finished());
    owner.commit().unwrap();
    assert_eq!(poll_error(&mut spare), closed("t"));
}

#[test]
fn a_commit_of_the_end_does_not_end_a_partition_that_is_not_read() {
    let (_broker, _topic, mut owner, _spare) = owner_and_spare(false);
    owner.pause(("t", 0)).unwrap();
    owner.commit_offsets([(("t", 0), 3)]).unwrap();
    assert_eq!(count_polled(&mut owner), 0);
    assert!(!owner.is_finished());
    owner.resume(("t", 0)).unwrap();
    assert_eq!(count_polled_until_closed(&mut owner), 3);
}

#[test]
fn an_end_is_not_reported_again_after_its_partition_has_moved() {
    let (broker, [_a, b], [mut owner, other]) = two_topics();
    other.close();
    b.close();
    assert_eq!(count_polled_until_end_of(&mut owner, "b"), 0);
    // A named member comes before those without a name, so it gets the partition of "b".
    let config = grouped().assignor(RangeAssignor).instance_id("first");
    let mut first = member(&broker, config, &["a", "b"]);
    for _ in 0..3 {
        assert_eq!(count_polled(&mut owner), 0);
        poll_errors(&mut first);
    }
    assert_eq!(owned_topics(&first), ["a", "b"]);
    assert_eq!(owned_topics(&owner), ["a"]);
    broker.delete_topic("a").unwrap();
    assert_eq!(poll_error(&mut owner), closed("a"));
    assert!(owner.is_finished());
}
