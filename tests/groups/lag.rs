//! Lag and lead, by whatever call: `log_end - max(position, log_start)` and the like.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{at, send};
use ringlog::{Broker, Consumer, Overflow, TopicConfig};

/// Lag and lead of the consumer's position, by each call that has them.
fn of_position(broker: &Broker, consumer: &Consumer) -> Vec<(u64, u64)> {
    let own = &consumer.stats().partitions[0];
    let all = broker.snapshot();
    let seen = &all.consumers[0].partitions[0];
    vec![
        (consumer.lag(at(0)).unwrap(), consumer.lead(at(0)).unwrap()),
        (own.lag, own.lead),
        (seen.lag, seen.lead),
    ]
}

/// The lag of the group's committed offset, by each call that has it.
fn of_group(broker: &Broker) -> Vec<Option<u64>> {
    let group = broker.describe_group("g").unwrap();
    assert_eq!(group.partitions[0].topic_partition, at(0));
    vec![
        group.partitions[0].lag(),
        broker.snapshot().groups[0].partitions[0].lag,
    ]
}

#[test]
fn deleted_records_are_no_lag() {
    let (broker, topic) = make(TopicConfig::new());
    send(&mut topic.producer(), 0, 10);
    let config = grouped().auto_commit(false).max_poll_records(3);
    let mut a = subscribed(&broker, config);
    assert_eq!(a.try_poll().unwrap().len(), 3);
    a.commit().unwrap();
    a.stats(); // brings the position that others see up to date
    assert_eq!(of_position(&broker, &a), [(7, 3); 3]);
    assert_eq!(of_group(&broker), [Some(7); 2]);
    for (before, lag) in [(2, 7), (3, 7), (5, 5), (10, 0)] {
        topic.delete_records(0, before).unwrap();
        let lead = 3u64.saturating_sub(before);
        assert_eq!(of_position(&broker, &a), [(lag, lead); 3], "{before}");
        assert_eq!(of_group(&broker), [Some(lag); 2], "{before}");
    }
    let partition = &broker.describe_group("g").unwrap().partitions[0];
    assert_eq!((partition.log_start, partition.log_end), (10, 10));
}

#[test]
fn evicted_records_are_no_lag() {
    let config = TopicConfig::new().segments(2).segment_records(4);
    let (broker, topic) = make(config.overflow(Overflow::DropOldest));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped().auto_commit(false));
    assert!(a.try_poll().unwrap().is_empty());
    send(&mut producer, 0, 2);
    assert_eq!(a.try_poll().unwrap().len(), 2);
    a.commit().unwrap();
    for sent in [4, 8, 9, 20, 41] {
        send(&mut producer, 0, sent - topic.log_end_offset(0).unwrap());
        let (start, end) = (topic.log_start_offset(0).unwrap(), sent);
        let lag = end - start.max(2);
        assert!(lag <= 8);
        a.stats();
        let lead = 2u64.saturating_sub(start);
        assert_eq!(of_position(&broker, &a), [(lag, lead); 3], "{sent}");
        assert_eq!(of_group(&broker), [Some(lag); 2], "{sent}");
    }
    let mut position_past_the_end = a;
    position_past_the_end.seek((TOPIC, 0), 100).unwrap();
    assert_eq!(position_past_the_end.lag(at(0)), Ok(0));
}
