//! Handles that lost their right to the topic: beside an exclusive producer, or after a deletion.

use super::common::{TOPIC, drain, make, subscribed};
use super::small;
use ringlog::{ConsumeError, ConsumerConfig, Destination, Overflow, Record, SendError, TopicError};
use std::time::Duration;

#[test]
fn an_exclusive_producer_excludes_all_others() {
    let (_broker, topic) = make(small().overflow(Overflow::DropOldest));
    let exist = |shared, exclusive| TopicError::ProducersExist {
        topic: TOPIC.into(),
        shared,
        exclusive,
    };
    let shared = topic.producer();
    let second = shared.clone();
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(2, 0));
    drop((shared, second));

    let mut exclusive = topic.exclusive_producer().unwrap();
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(0, 1));
    let mut shared = topic.producer();
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(1, 1));
    let refused = SendError::ExclusiveProducer {
        topic: TOPIC.into(),
    };
    assert_eq!(shared.send(Record::new("x")), Err(refused.clone()));
    assert_eq!(shared.try_send(Record::new("x")), Err(refused.clone()));
    assert_eq!(
        shared.claim(Destination::Any, None, 1).unwrap_err(),
        refused
    );
    assert_eq!(
        shared.send_values(Destination::Any, &[1u8]),
        Err(refused.clone())
    );
    let batch = shared.send_batch(&[Record::new("x")]).unwrap_err();
    assert_eq!((batch.cause, batch.refused), (refused, vec![0]));
    assert_eq!(exclusive.send(Record::new("x")).unwrap().offset, 0);

    drop(exclusive);
    assert_eq!(shared.send(Record::new("x")).unwrap().offset, 1);
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(1, 0));
    drop(shared);
    let mut exclusive = topic.exclusive_producer().unwrap();
    assert_eq!(exclusive.send(Record::new("x")).unwrap().offset, 2);
}

#[test]
fn handles_of_a_deleted_topic_report_closed_and_a_held_batch_stays_readable() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, topic) = make(small().overflow(overflow));
        let mut producer = topic.producer();
        producer.send(Record::new("held")).unwrap();
        let mut holder = subscribed(&broker, ConsumerConfig::new());
        let mut other = subscribed(&broker, ConsumerConfig::new());
        let batch = holder.try_poll().unwrap();

        broker.delete_topic(TOPIC).unwrap();
        let closed = SendError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(producer.send(Record::new("x")), Err(closed.clone()));
        assert_eq!(
            producer.claim(Destination::Any, None, 1).unwrap_err(),
            closed
        );
        assert_eq!(
            producer.send_values(Destination::Any, &[1u8]),
            Err(closed.clone())
        );
        let refused = producer.send_batch(&[Record::new("x")]).unwrap_err();
        assert_eq!(refused.cause, closed);
        assert_eq!(topic.producer().send(Record::new("x")), Err(closed));
        let closed = ConsumeError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(other.try_poll().unwrap_err(), closed);
        assert_eq!(other.poll(Duration::from_secs(60)).unwrap_err(), closed);
        drop(producer);
        let closed_topic = TopicError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(topic.exclusive_producer().unwrap_err(), closed_topic);
        assert!(broker.topic(TOPIC).is_err());

        // The name is free, and the new topic is another one.
        let again = broker.create_topic(TOPIC, small()).unwrap();
        assert_eq!(again.log_end_offset(0), Ok(0));
        drop((topic, other));
        assert_eq!(batch.iter().next().unwrap().value_bytes(), b"held");
        assert_eq!(holder.try_poll().unwrap_err(), closed);
        // After subscribing again by name, it reads the new topic.
        holder.subscribe([TOPIC]).unwrap();
        again.producer().send(Record::new("new")).unwrap();
        assert_eq!(drain(&mut holder), [(0, 0, b"new".to_vec())]);
    }
}
