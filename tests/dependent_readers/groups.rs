//! Consumers that read after a group: only what it has committed.

use super::common::{TOPIC, grouped, make, subscribed};
use super::{NOTHING, partition, read, read_all, send};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, OffsetReset, Record, TopicConfig, UpstreamError,
};

fn after_group(broker: &Broker) -> Consumer {
    subscribed(broker, ConsumerConfig::new().read_after_group("g"))
}

#[test]
fn what_each_poll_of_a_member_commits_counts_as_read() {
    let (broker, topic) = make(TopicConfig::new());
    let mut member = subscribed(&broker, grouped().max_poll_records(2));
    let mut matcher = after_group(&broker);
    send(&mut topic.producer(), 5);
    assert_eq!(read(&mut member), [0, 1]);
    assert_eq!(read(&mut matcher), NOTHING);
    assert_eq!(read(&mut member), [2, 3]);
    assert_eq!(read(&mut matcher), [0, 1]);
    assert_eq!(read(&mut member), [4]);
    read(&mut member);
    assert_eq!(read(&mut matcher), [2, 3, 4]);
    // A progress of a member is that of its group.
    let config = ConsumerConfig::new().read_after(&member.progress());
    assert_eq!(read(&mut subscribed(&broker, config)), [0, 1, 2, 3, 4]);
}

#[test]
fn each_way_to_commit_counts_and_a_lower_commit_takes_nothing_back() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut member = subscribed(&broker, grouped().auto_commit(false));
    let mut matcher = after_group(&broker);
    send(&mut topic.producer(), 10);
    let mut producer = topic.producer();
    (0..3).for_each(|_| _ = producer.send(Record::new("x").partition(1)).unwrap());
    assert_eq!(read_all(&mut member).len(), 13);
    assert_eq!(read_all(&mut matcher), NOTHING);
    member.commit_offsets([(partition(0), 4)]).unwrap();
    assert_eq!(read_all(&mut matcher), [0, 1, 2, 3]);
    member.commit_offsets([(partition(0), 2)]).unwrap();
    assert_eq!(read_all(&mut matcher), NOTHING);
    member
        .commit_offsets([(partition(0), 5), (partition(1), 1)])
        .unwrap();
    assert_eq!(read_all(&mut matcher).len(), 2);
    member.commit().unwrap();
    assert_eq!(read_all(&mut matcher).len(), 7);
    send(&mut topic.producer(), 2);
    let batch = member.try_poll().unwrap();
    batch.commit_through(&batch.iter().next().unwrap()).unwrap();
    assert_eq!(read_all(&mut matcher), [10]);
    drop(member);
    // Without members, a consumer that is none commits.
    let mut assigned = broker.consumer(grouped()).unwrap();
    assigned.assign([partition(0)]).unwrap();
    assert_eq!(read_all(&mut assigned), [11]);
    assert_eq!(read_all(&mut matcher), NOTHING);
    assigned.commit().unwrap();
    assert_eq!(read_all(&mut matcher), [11]);
}

#[test]
fn what_was_committed_before_the_dependent_came_counts() {
    let (broker, topic) = make(TopicConfig::new());
    let mut member = subscribed(&broker, grouped());
    send(&mut topic.producer(), 3);
    read_all(&mut member);
    assert_eq!(read(&mut after_group(&broker)), [0, 1, 2]);
    drop(member);
    assert_eq!(read(&mut after_group(&broker)), [0, 1, 2]);
    // A group that begins later has left out what was before.
    let latest = || {
        ConsumerConfig::new()
            .group("late")
            .offset_reset(OffsetReset::Latest)
    };
    let config = || ConsumerConfig::new().read_after_group("late");
    let mut early = subscribed(&broker, config());
    assert_eq!(read(&mut early), NOTHING);
    let mut late = subscribed(&broker, latest().auto_commit(false));
    read(&mut late);
    assert_eq!(read(&mut early), [0, 1, 2]);
    assert_eq!(read(&mut subscribed(&broker, config())), [0, 1, 2]);
}

#[test]
fn a_commit_of_a_member_that_was_fenced_off_does_not_count() {
    let (broker, topic) = make(TopicConfig::new());
    let config = || grouped().instance_id("i").max_poll_records(2);
    let mut old = subscribed(&broker, config());
    let mut matcher = after_group(&broker);
    send(&mut topic.producer(), 6);
    read(&mut old);
    read(&mut old);
    assert_eq!(read(&mut matcher), [0, 1]);
    let mut new = subscribed(&broker, config());
    assert!(matches!(old.commit(), Err(ConsumeError::Fenced { .. })));
    assert_eq!(read(&mut matcher), NOTHING);
    assert!(matches!(old.try_poll(), Err(ConsumeError::Fenced { .. })));
    assert_eq!(read(&mut matcher), NOTHING);
    assert_eq!(read(&mut new), [2, 3], "what the old one has not committed");
    read(&mut new);
    assert_eq!(read(&mut matcher), [2, 3]);
}

#[test]
fn a_dependent_follows_its_group_through_rebalances() {
    let (broker, topic) = make(TopicConfig::new().partitions(3));
    let mut matcher = after_group(&broker);
    let mut producer = topic.producer();
    let mut members: Vec<Consumer> = Vec::new();
    let (mut sent, mut read) = (0, 0);
    for round in 0..40 {
        match round % 5 {
            0 | 1 => members.push(subscribed(&broker, grouped())),
            2 => drop(members.pop()),
            3 => members.remove(0).close(),
            _ => {}
        }
        for to in 0..3 {
            producer.send(Record::new("x").partition(to)).unwrap();
            sent += 1;
        }
        for _ in 0..6 {
            members.iter_mut().for_each(|member| _ = member.try_poll());
        }
        read += read_all(&mut matcher).len();
        let group = broker.describe_group("g").unwrap();
        let committed = group.partitions.iter().filter_map(|p| p.committed);
        assert_eq!(read as u64, committed.sum::<u64>(), "round {round}");
    }
    assert!(read > sent / 2, "{read} of {sent}");
}

#[test]
fn members_read_after_a_consumer() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut journal = subscribed(&broker, ConsumerConfig::new());
    let config = grouped().read_after(&journal.progress());
    let mut members = [0, 1].map(|_| subscribed(&broker, config.clone()));
    for to in 0..2 {
        topic
            .producer()
            .send(Record::new("x").partition(to))
            .unwrap();
    }
    let mut read = || {
        let polls = (0..8).map(|i| super::read(&mut members[i % 2]).len());
        polls.sum::<usize>()
    };
    assert_eq!(read(), 0);
    read_all(&mut journal);
    assert_eq!(read(), 2);
}

#[test]
fn after_a_deleted_group_there_is_an_error_until_there_is_another() {
    let (broker, topic) = make(TopicConfig::new());
    let mut member = subscribed(&broker, grouped());
    let mut matcher = after_group(&broker);
    send(&mut topic.producer(), 2);
    read_all(&mut member);
    send(&mut topic.producer(), 2);
    member.close();
    broker.delete_group("g").unwrap();
    assert_eq!(read(&mut matcher), [0, 1]);
    let expected = UpstreamError::Ended {
        upstream: "group \"g\"".to_owned(),
        topic: TOPIC.into(),
        partition: 0,
        position: 2,
    };
    assert_eq!(
        matcher.try_poll().unwrap_err(),
        ConsumeError::Upstream(expected)
    );
    let mut member = subscribed(&broker, grouped());
    assert_eq!(read_all(&mut member), [0, 1, 2, 3]);
    assert_eq!(read_all(&mut matcher), [2, 3]);
    // Offsets that are deleted with a topic's subscription.
    drop(member);
    broker.delete_group_offsets("g", TOPIC).unwrap();
    send(&mut topic.producer(), 1);
    assert_eq!(read_all(&mut matcher), NOTHING);
    read_all(&mut subscribed(&broker, grouped()));
    assert_eq!(read_all(&mut matcher), [4]);
}

#[test]
fn commits_count_for_a_dependent_that_comes_after_the_owner() {
    let (broker, topic) = make(TopicConfig::new());
    let mut member = subscribed(&broker, grouped().auto_commit(false));
    send(&mut topic.producer(), 3);
    assert_eq!(read(&mut member), [0, 1, 2]);
    let mut matcher = after_group(&broker);
    assert_eq!(read_all(&mut matcher), NOTHING);
    member.commit().unwrap();
    assert_eq!(read_all(&mut matcher), [0, 1, 2]);
}
