//! Gathered records are in the log as they were sent: each once, whole, and in order.

use super::*;
use ringlog::{Destination, Header, OwnedRecord, ProducerMode};
use std::collections::BTreeMap;

/// Sends records of every shape in every way, and returns them by key in the order of the sends.
fn send_all_shapes<M: ProducerMode>(
    producer: &mut GatheringProducer<M>,
) -> BTreeMap<Vec<u8>, Vec<u32>> {
    let headers = [Header::new("trace", b"7f3a"), Header::new("empty", b"")];
    let mut sent: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for number in 0..2000u32 {
        let key = (number % 17).to_le_bytes();
        let mut value = number.to_le_bytes().to_vec();
        value.resize(4 + number as usize % 90, 0xee);
        if number % 41 == 0 {
            value.resize(900, 0xee); // too large to be gathered
        }
        let mut record = Record::new(&value).key(&key);
        if number % 3 == 0 {
            record = record.headers(&headers);
        }
        if number % 5 == 0 {
            record = record.timestamp(number.into());
        }
        match number % 97 {
            31 => drop(producer.send_now(record).unwrap()),
            32 => drop(producer.plain().unwrap().send(record).unwrap()),
            33 => drop(producer.send_with_ticket(record).unwrap()),
            34 => producer.flush().unwrap(),
            _ => producer.send(record).unwrap(),
        }
        if number % 97 != 34 {
            sent.entry(key.to_vec()).or_default().push(number);
        }
    }
    producer.flush().unwrap();
    sent
}

fn check(read: &[OwnedRecord], sent: &BTreeMap<Vec<u8>, Vec<u32>>) {
    let mut seen: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for record in read {
        let value = record.value_bytes();
        let number = u32::from_le_bytes(value[..4].try_into().unwrap());
        assert!(value[4..].iter().all(|&byte| byte == 0xee));
        assert_eq!(record.headers.len(), if number % 3 == 0 { 2 } else { 0 });
        if number % 5 == 0 {
            assert_eq!(record.timestamp, Some(number.into()));
        }
        let key = record.key.clone().unwrap();
        assert_eq!(key, (number % 17).to_le_bytes());
        seen.entry(key).or_default().push(number);
    }
    assert_eq!(&seen, sent);
}

fn read_all(consumer: &mut ringlog::Consumer, count: usize) -> Vec<OwnedRecord> {
    let mut read = Vec::new();
    while read.len() < count {
        let batch = consumer.try_poll().unwrap();
        read.extend(batch.iter().map(|record| record.to_owned()));
    }
    read
}

#[test]
fn records_of_a_key_keep_their_order_whatever_their_shape() {
    for exclusive in [false, true] {
        for partitions in [1, 3] {
            let config = TopicConfig::new().partitions(partitions).segments(64);
            let (broker, topic) = make(config.segment_bytes(64 * 1024));
            let mut consumer = subscribed(&broker, ConsumerConfig::new());
            let config = GatheringConfig::new().batch_records(7).batch_bytes(700);
            let sent = if exclusive {
                let producer = topic.exclusive_producer().unwrap();
                send_all_shapes(&mut producer.gathering(config))
            } else {
                send_all_shapes(&mut topic.producer().gathering(config))
            };
            let count = sent.values().map(Vec::len).sum();
            check(&read_all(&mut consumer, count), &sent);
            let end: u64 = (0..partitions)
                .map(|p| topic.log_end_offset(p).unwrap())
                .sum();
            assert_eq!(end, count as u64, "each once");
        }
    }
}

#[test]
fn a_record_that_goes_now_goes_after_those_of_its_partition() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    let (zero, one) = (Record::new("0").partition(0), Record::new("1").partition(1));
    producer.send(zero).unwrap();
    producer.send(one).unwrap();
    let sent = producer.send_now(Record::new("now").partition(0)).unwrap();
    assert_eq!((sent.partition, sent.offset), (0, 1));
    assert_eq!(
        (values(&mut consumer), producer.gathered()),
        (vec!["0".into(), "now".into()], 1)
    );

    let plain = producer.plain().unwrap();
    let sent = plain.send_values(Destination::Partition(1), b"2").unwrap();
    assert_eq!(sent.base_offset, 1);
    assert_eq!(values(&mut consumer), ["1", "2"]);
}

#[test]
fn records_for_partitions_that_are_added_are_gathered_too() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    let shared = topic.shared_producer().gathering(by_four());
    producer.send(Record::new("before").key("k")).unwrap();
    shared.send(Record::new("before").key("k")).unwrap();
    topic.add_partitions(4).unwrap();
    for number in 0..4 {
        let value = number.to_string();
        producer
            .send(Record::new(&value).partition(number))
            .unwrap();
        let value = (3 - number).to_string();
        shared
            .send(Record::new(&value).partition(3 - number))
            .unwrap();
    }
    assert_eq!((producer.gathered(), shared.gathered()), (5, 5));
    producer.flush().unwrap();
    shared.flush().unwrap();
    let read = drain(&mut consumer).into_iter();
    let mut read: Vec<_> = read
        .map(|(p, _, value)| (p, String::from_utf8(value).unwrap()))
        .collect();
    read.sort();
    let before = [(0, "before"), (0, "before")].map(|(p, value)| (p, value.to_owned()));
    let mut expected: Vec<_> = (0..4)
        .flat_map(|p| [(p, p.to_string()), (p, p.to_string())])
        .collect();
    expected.extend(before);
    expected.sort();
    assert_eq!(read, expected);
}

#[test]
fn a_record_that_goes_by_itself_is_routed_once() {
    let config = TopicConfig::new().partitions(3);
    let (_broker, topic) = make(config.partitioner(ringlog::RoundRobin));
    let mut producer = topic.producer().gathering(by_four());
    for partition in [0, 1, 2, 0] {
        let sent = producer.send_now(Record::new("x")).unwrap();
        assert_eq!(sent.partition, partition);
    }
    producer.send(Record::new("x")).unwrap();
    producer.flush().unwrap();
    assert_eq!(topic.log_end_offset(1), Ok(2));
}
