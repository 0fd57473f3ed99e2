//! Helpers of several test targets.
#![allow(dead_code)]

pub(crate) mod conditions;

use ringlog::{Broker, Consumer, ConsumerConfig, Topic, TopicConfig};

/// The name of the topic, where there is only one.
pub(crate) const TOPIC: &str = "t";

pub(crate) fn make(config: TopicConfig) -> (Broker, Topic) {
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, config).unwrap();
    (broker, topic)
}

pub(crate) fn subscribed(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    consumer
}

/// The configuration of a member of the group `g`.
pub(crate) fn grouped() -> ConsumerConfig {
    ConsumerConfig::new().group("g")
}

/// Polls until a batch is empty; returns partition, offset and value of each record.
pub(crate) fn drain(consumer: &mut Consumer) -> Vec<(u32, u64, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let batch = consumer.try_poll().unwrap();
        let Some(partition) = batch.partition() else {
            return all;
        };
        all.extend(
            batch
                .iter()
                .map(|r| (partition, r.offset(), r.value_bytes().to_vec())),
        );
    }
}
