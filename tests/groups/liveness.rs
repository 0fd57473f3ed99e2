//! Members that stop polling: they are expelled after `max_poll_interval`, and may join again.

use super::clock::pass;
use super::common::{make, subscribed};
use super::support::{
    at, count_polled, is_fenced, member, owned_topics, partitions, poll_errors, poll_for, read,
    send, send_to, timed, topics,
};
use ringlog::{ConsumeError, FenceReason, RangeAssignor, Record, TopicConfig};
use std::time::Duration;

#[test]
fn a_member_that_stops_polling_is_expelled_and_may_join_again() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    let (mut a, mut b) = (subscribed(&broker, timed()), subscribed(&broker, timed()));
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    send(&mut producer, partitions(&a)[0], 2);
    assert_eq!(a.try_poll().unwrap().len(), 2);
    poll_for(&mut b, 1000);
    assert_eq!(partitions(&b).len(), 1, "a is not expelled yet");
    // The batch of a is uncommitted, as a has not polled since: b reads it.
    assert_eq!(poll_for(&mut b, 300).len(), 2);
    assert_eq!(partitions(&b), [0, 1]);
    assert!(is_fenced(a.commit(), FenceReason::MaxPollInterval));
    let here = (a.assignment()[0].clone(), 1);
    assert!(is_fenced(
        a.commit_offsets([here]),
        FenceReason::MaxPollInterval
    ));
    assert!(is_fenced(a.try_poll(), FenceReason::MaxPollInterval));
    assert_eq!(a.assignment(), []);
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    assert_eq!((partitions(&a).len(), partitions(&b).len()), (1, 1));
}

#[test]
fn with_an_interval_of_zero_no_member_is_expelled() {
    let (broker, _topic) = make(TopicConfig::new().partitions(2));
    let config = timed().max_poll_interval(Duration::ZERO);
    let (mut a, mut b) = (
        subscribed(&broker, config.clone()),
        subscribed(&broker, config),
    );
    read(&mut a);
    for _ in 0..10 {
        poll_for(&mut b, 5000);
    }
    assert_eq!(partitions(&b), [1]);
    assert!(a.try_poll().is_ok());
}

#[test]
fn an_expelled_member_holds_back_no_more_than_its_group() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, timed());
    send(&mut producer, 0, 8);
    assert_eq!(a.try_poll().unwrap().len(), 4);
    assert!(
        producer.try_send(Record::new(b"x")).is_err(),
        "nothing is committed"
    );
    let mut b = subscribed(&broker, timed());
    read(&mut b);
    // a never returns its partition.
    assert_eq!(poll_for(&mut b, 1300).len(), 8);
    send(&mut producer, 0, 4);
    assert_eq!(read(&mut b).len(), 4);
    assert!(is_fenced(a.try_poll(), FenceReason::MaxPollInterval));
}

#[test]
fn polls_of_a_replaced_member_do_not_count_for_its_successor() {
    let (broker, topics) = topics(&["a"]);
    let mut old = member(&broker, timed().instance_id("x"), &["a"]);
    assert_eq!(count_polled(&mut old), 0);
    let mut new = member(&broker, timed().instance_id("x"), &["a"]);
    assert_eq!(count_polled(&mut new), 0);
    let mut other = member(&broker, timed(), &["a"]);
    assert_eq!(count_polled(&mut other), 0);
    drop(new);

    send_to(&topics[0], 1);
    let mut found = 0;
    for _ in 0..100 {
        pass(50);
        assert!(old.try_poll().is_err());
        found += other.try_poll().unwrap().iter().count();
    }
    assert_eq!(found, 1);
}

#[test]
fn a_fenced_member_that_is_refused_keeps_its_subscription() {
    let (broker, _topics) = topics(&["a"]);
    let mut consumer = member(&broker, timed(), &["a"]);
    assert_eq!(count_polled(&mut consumer), 0);
    let mut other = member(&broker, timed(), &["a"]);
    for _ in 0..100 {
        pass(50);
        assert!(other.try_poll().unwrap().is_empty());
    }
    drop(other);
    let ranged = member(&broker, timed().assignor(RangeAssignor), &["a"]);

    let refused = consumer.subscribe(["a"]).unwrap_err();
    assert!(matches!(refused, ConsumeError::OtherAssignor { .. }));
    let fenced = consumer.try_poll().unwrap_err();
    assert!(matches!(fenced, ConsumeError::Fenced { .. }));
    assert_eq!(poll_errors(&mut consumer), vec![refused; 4]);
    drop(ranged);
    assert_eq!(count_polled(&mut consumer), 0);
    assert_eq!(owned_topics(&consumer), ["a"]);
}

/// Nor what it had committed before: the next owner may be further.
#[test]
fn an_expelled_member_commits_nothing() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let config = || timed().auto_commit(false);
    let (mut a, mut b) = (subscribed(&broker, config()), subscribed(&broker, config()));
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    send(&mut producer, 0, 3);
    assert_eq!(read(&mut a).len(), 3);
    a.commit_offsets([(at(0), 1)]).unwrap();
    assert_eq!(poll_for(&mut b, 1300).len(), 2);
    b.commit().unwrap();
    for offset in [2, 1, 3] {
        a.seek(at(0), offset).unwrap();
        for refused in [a.commit(), a.commit_offsets([(at(0), offset)])] {
            let expected = FenceReason::MaxPollInterval;
            assert!(is_fenced(refused, expected), "{offset}");
        }
        assert_eq!(b.committed(at(0)), Ok(Some(3)));
    }
}

#[test]
fn a_member_is_not_expelled_before_more_than_its_interval_has_passed() {
    let (broker, _topic) = make(TopicConfig::new().partitions(2));
    let (mut a, mut b) = (subscribed(&broker, timed()), subscribed(&broker, timed()));
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    // The first check finds that a has polled, the second that it has not.
    for _ in 0..2 {
        pass(1000);
        (0..64).for_each(|_| assert!(read(&mut b).is_empty()));
    }
    assert!(a.try_poll().is_ok(), "expelled at its interval");
}
