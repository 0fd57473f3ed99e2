//! The usual poll loop: error arms, commits inside, and `close` when the topic is closed.

use ringlog::{Broker, ConsumeError, ConsumerConfig, Record, TopicConfig};
use std::time::Duration;

fn consume(broker: &Broker) -> Result<usize, ConsumeError> {
    let config = ConsumerConfig::new().group("g").auto_commit(false);
    let mut consumer = broker.consumer(config)?;
    consumer.subscribe(["t"])?;
    let mut read = 0;
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Ok(batch) if batch.is_empty() => continue,
            Ok(batch) => {
                read += batch.len();
                drop(batch);
                consumer.commit()?;
            }
            Err(ConsumeError::Closed { .. }) => {
                consumer.close();
                return Ok(read);
            }
            Err(ConsumeError::Fenced { .. }) => consumer.unsubscribe(),
            Err(other) => return Err(other),
        }
    }
}

fn main() {
    let broker = Broker::new();
    let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
    topic.producer().send(Record::new("x")).unwrap();
    topic.close();
    assert_eq!(consume(&broker), Ok(1));
    let group = broker.describe_group("g").unwrap();
    assert_eq!(group.partitions[0].committed, Some(1));
}
