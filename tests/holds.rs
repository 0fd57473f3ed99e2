//! Hazard pointers: what a consumer holds, and what it must not hold back.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod common;

use common::TOPIC;
use ringlog::{
    Broker, Consumer, ConsumerConfig, OffsetReset, Overflow, Producer, Record, Topic, TopicConfig,
};

fn setup(config: TopicConfig) -> (Broker, Topic, Producer) {
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, config).unwrap();
    let producer = topic.producer();
    (broker, topic, producer)
}

fn consumer(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    consumer
}

#[test]
fn a_consumer_overtaken_in_all_partitions_holds_nothing_back() {
    const PARTITIONS: u32 = 8;
    let (broker, _topic, mut producer) = setup(
        TopicConfig::new()
            .partitions(PARTITIONS)
            .segments(2)
            .segment_records(4)
            .overflow(Overflow::DropOldest),
    );
    let strict = ConsumerConfig::new()
        .offset_reset(OffsetReset::None)
        .max_poll_records(1);
    let mut consumers = [
        consumer(&broker, strict.clone()),
        consumer(&broker, strict.clone()),
        consumer(&broker, strict),
    ];
    let mut send = |partition, times| {
        for _ in 0..times {
            let record = Record::new(b"x").partition(partition);
            producer.try_send(record).unwrap();
        }
    };
    for partition in 0..PARTITIONS {
        send(partition, 4);
    }
    for consumer in &mut consumers {
        for partition in 0..PARTITIONS {
            consumer.seek_to_beginning((TOPIC, partition)).unwrap();
            consumer.pause((TOPIC, partition)).unwrap();
        }
        for partition in 0..PARTITIONS {
            let next = (partition + 1) % PARTITIONS;
            consumer.seek_to_beginning((TOPIC, partition)).unwrap();
            consumer.resume((TOPIC, partition)).unwrap();
            assert_eq!(consumer.try_poll().unwrap().len(), 1); // holds a segment of this partition
            send(partition, 9); // retires that segment
            consumer.pause((TOPIC, partition)).unwrap();
            consumer.seek_to_beginning((TOPIC, next)).unwrap(); // holds one of the next instead
            consumer.resume((TOPIC, partition)).unwrap();
            assert!(consumer.try_poll().is_err(), "overtaken");
            consumer.pause((TOPIC, partition)).unwrap();
        }
    }
}

#[test]
fn what_is_retained_at_a_seek_is_read_under_backpressure() {
    let (broker, topic, mut producer) = setup(TopicConfig::new().segments(3).segment_records(4));
    for reset in [
        OffsetReset::Earliest,
        OffsetReset::Latest,
        OffsetReset::None,
    ] {
        let mut consumer = consumer(&broker, ConsumerConfig::new().offset_reset(reset));
        consumer.seek_to_end((TOPIC, 0)).unwrap();
        let first = topic.log_end_offset(0).unwrap();
        for _ in 0..6 {
            producer.try_send(Record::new(b"x")).unwrap();
        }
        while !consumer.try_poll().unwrap().is_empty() {}
        consumer.seek((TOPIC, 0), first + 1).unwrap();
        while producer.try_send(Record::new(b"x")).is_ok() {}
        let mut next = first + 1;
        loop {
            let batch = consumer.try_poll().unwrap();
            if batch.is_empty() {
                break;
            }
            assert_eq!(batch.lost(), 0);
            for record in &batch {
                assert_eq!(record.offset(), next);
                next += 1;
            }
        }
        assert_eq!(next, topic.log_end_offset(0).unwrap());
    }
}

#[test]
fn records_overwritten_between_a_seek_and_the_poll_count_as_lost() {
    let (broker, topic, mut producer) = setup(
        TopicConfig::new()
            .segments(2)
            .segment_records(4)
            .overflow(Overflow::DropOldest),
    );
    for reset in [OffsetReset::Earliest, OffsetReset::Latest] {
        let mut consumer = consumer(&broker, ConsumerConfig::new().offset_reset(reset));
        for _ in 0..8 {
            producer.try_send(Record::new(b"x")).unwrap();
        }
        let sought = topic.log_end_offset(0).unwrap() - 2;
        consumer.seek((TOPIC, 0), sought).unwrap();
        for _ in 0..40 {
            producer.try_send(Record::new(b"x")).unwrap();
        }
        let batch = consumer.try_poll().unwrap();
        let first = batch.iter().next().unwrap().offset();
        assert_eq!(first, topic.log_start_offset(0).unwrap());
        assert_eq!(batch.lost(), first - sought);
    }
}

#[test]
fn subscribing_again_takes_no_more_memory() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, topic, _producer) = setup(TopicConfig::new().overflow(overflow));
        let mut consumer = consumer(&broker, ConsumerConfig::new());
        let before = topic.memory_bytes();
        for _ in 0..10 {
            consumer.subscribe([TOPIC]).unwrap();
        }
        assert_eq!(topic.memory_bytes(), before);
    }
}

#[test]
fn a_consumer_adds_the_same_memory_however_it_gets_its_partitions() {
    let memory = |reads: fn(&mut Consumer)| {
        let (broker, topic, mut producer) = setup(TopicConfig::new());
        producer.send(Record::new("x")).unwrap();
        let before = topic.memory_bytes();
        let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
        reads(&mut consumer);
        assert_eq!(consumer.try_poll().unwrap().len(), 1);
        topic.memory_bytes() - before
    };
    let subscribed = memory(|consumer| consumer.subscribe([TOPIC]).unwrap());
    assert!(subscribed > 0, "a spare segment");
    let assigned = memory(|consumer| consumer.assign([(TOPIC, 0)]).unwrap());
    assert_eq!(assigned, subscribed);
}

#[test]
fn a_segment_that_was_read_has_room_again_when_the_next_poll_begins() {
    let config = TopicConfig::new().partitions(2).segments(2);
    let (broker, _topic, mut producer) = setup(config.segment_records(2));
    let mut consumer = consumer(&broker, ConsumerConfig::new());
    producer.send(Record::new("x").partition(1)).unwrap();
    let record = Record::new("x").partition(0);
    while producer.try_send(record).is_ok() {}
    let first = consumer.try_poll().unwrap();
    assert_eq!((first.partition(), first.len()), (Some(0), 2));
    assert!(producer.try_send(record).is_err());
    // It reads the other partition.
    assert_eq!(consumer.try_poll().unwrap().partition(), Some(1));
    assert!(producer.try_send(record).is_ok());
}
