//! Static members: an instance id keeps its partitions while its member is away.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{is_fenced, partitions, poll_for, read, send, timed};
use ringlog::{FenceReason, TopicConfig};

#[test]
fn a_static_member_that_comes_back_gets_its_partitions_without_a_rebalance() {
    let (broker, topic) = make(TopicConfig::new().partitions(4));
    let mut producer = topic.producer();
    let named = |name: &str| timed().instance_id(name);
    let (mut a, mut b) = (
        subscribed(&broker, named("a")),
        subscribed(&broker, named("b")),
    );
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    let (of_a, of_b, generation) = (partitions(&a), partitions(&b), b.generation());
    drop(a);
    for p in 0..4 {
        send(&mut producer, p, 1);
    }
    assert_eq!(poll_for(&mut b, 900).len(), 2);
    let group = broker.describe_group("g").unwrap();
    assert_eq!(group.members.iter().filter(|m| m.is_live).count(), 1);
    let mut a = subscribed(&broker, named("a"));
    assert_eq!(read(&mut a).len(), 2);
    assert_eq!((partitions(&a), partitions(&b)), (of_a, of_b.clone()));
    assert_eq!((a.generation(), b.generation()), (generation, generation));
    // When it stays away, its partitions go to the other members.
    drop(a);
    poll_for(&mut b, 1000);
    assert_eq!(partitions(&b), of_b);
    poll_for(&mut b, 300);
    assert_eq!(partitions(&b), [0, 1, 2, 3]);
    // When it unsubscribes, they go at once.
    let mut a = subscribed(&broker, named("a"));
    for _ in 0..2 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    assert_eq!(partitions(&a).len(), 2);
    a.unsubscribe();
    read(&mut b);
    assert_eq!(partitions(&b), [0, 1, 2, 3]);
}

#[test]
fn of_two_members_with_one_instance_id_the_older_is_fenced_for_good() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let named = grouped().instance_id("a");
    let mut old = subscribed(&broker, named.clone());
    send(&mut producer, 0, 1);
    assert_eq!(read(&mut old), [(0, 0)]);
    let mut new = subscribed(&broker, named);
    send(&mut producer, 0, 1);
    assert_eq!(read(&mut new), [(0, 1)]);
    assert!(is_fenced(old.commit(), FenceReason::InstanceId));
    for _ in 0..3 {
        assert!(is_fenced(old.try_poll(), FenceReason::InstanceId));
        assert!(new.try_poll().is_ok());
    }
    // Unless it subscribes again.
    old.subscribe([TOPIC]).unwrap();
    assert!(is_fenced(new.try_poll(), FenceReason::InstanceId));
    assert!(old.try_poll().is_ok());
    assert_eq!(partitions(&old), [0]);
}
