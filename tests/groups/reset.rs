//! Where `OffsetReset::Latest` begins: alone, and in a group.

use super::common::{grouped, make, subscribed};
use super::support::{read, send};
use ringlog::{ConsumerConfig, OffsetReset, TopicConfig};

#[test]
fn latest_begins_at_the_subscription_of_a_consumer_alone() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    send(&mut producer, 0, 1);
    let mut alone = subscribed(
        &broker,
        ConsumerConfig::new().offset_reset(OffsetReset::Latest),
    );
    send(&mut producer, 0, 1);
    assert_eq!(read(&mut alone), [(0, 1)]);
}

#[test]
fn latest_begins_at_the_first_poll_of_a_group_that_is_granted_the_partition() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let config = || grouped().offset_reset(OffsetReset::Latest);
    let mut first = subscribed(&broker, config());
    send(&mut producer, 0, 1);
    assert_eq!(
        read(&mut first),
        [],
        "its first poll comes after the record"
    );
    drop(first);
    // The group has committed nothing, and keeps where it began all the same.
    send(&mut producer, 0, 2);
    let mut second = subscribed(&broker, config());
    assert_eq!(read(&mut second), [(0, 1), (0, 2)]);
}
