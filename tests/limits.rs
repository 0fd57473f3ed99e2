//! Limits that take years to reach: the last offsets and segment numbers, approached from close by;
//! and segments of unusual sizes.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::TOPIC;
use ringlog::{
    Broker, ConsumerConfig, Destination, Overflow, Record, SendError, Timestamps, TopicConfig,
};

/// Two records a segment, beginning at `segment` and `offset`.
fn config(segment: u64, offset: u64) -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(2)
        .overflow(Overflow::DropOldest)
        .begin_at(segment, offset)
}

/// Sends until a send is refused; returns the offsets, and the error that ended it.
fn send_all(config: TopicConfig) -> (Broker, Vec<u64>, SendError) {
    let broker = Broker::new();
    let mut producer = broker.create_topic(TOPIC, config).unwrap().producer();
    let mut offsets = Vec::new();
    loop {
        match producer.try_send(Record::new(&offsets.len().to_le_bytes())) {
            Ok(metadata) => offsets.push(metadata.offset),
            Err(end) => return (broker, offsets, end),
        }
        assert!(offsets.len() < 1000, "no end");
    }
}

fn read_all(broker: &Broker) -> Vec<u64> {
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    let mut offsets = Vec::new();
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return offsets;
        }
        offsets.extend(batch.iter().map(|record| record.offset()));
    }
}

#[test]
fn the_last_offsets_are_assigned_once_and_then_the_partition_is_exhausted() {
    let first = u64::MAX - 9;
    let (broker, offsets, end) = send_all(config(0, first));
    assert!(matches!(end, SendError::Exhausted { partition: 0, .. }));
    assert!(offsets.len() >= 6, "{offsets:?}");
    assert!(offsets.iter().zip(first..).all(|(&a, b)| a == b));
    let retained = read_all(&broker);
    assert_eq!(retained, offsets[offsets.len() - retained.len()..]);
    assert!(retained.len() >= 3);
}

#[test]
fn the_last_segment_numbers_are_used_once_and_then_the_partition_is_exhausted() {
    let last = (1 << 47) - 2;
    let (broker, offsets, end) = send_all(config(last - 3, 7));
    assert!(matches!(end, SendError::Exhausted { partition: 0, .. }));
    // Four segments of two records.
    assert_eq!(offsets, (7..15).collect::<Vec<_>>());
    assert_eq!(read_all(&broker), (11..15).collect::<Vec<_>>());
    assert!(end.to_string().contains("no offsets left"));
}

#[test]
fn seeks_and_bounds_are_right_at_the_last_offsets() {
    let first = u64::MAX - 9;
    let (broker, offsets, _) = send_all(config((1 << 47) - 20, first));
    let topic = broker.topic(TOPIC).unwrap();
    let end = offsets.last().unwrap() + 1;
    assert_eq!(topic.log_end_offset(0).unwrap(), end);
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    for offset in topic.log_start_offset(0).unwrap()..end {
        consumer.seek((TOPIC, 0), offset).unwrap();
        let batch = consumer.try_poll().unwrap();
        assert_eq!(batch.iter().next().unwrap().offset(), offset);
    }
    consumer.seek((TOPIC, 0), u64::MAX).unwrap();
    assert!(
        !consumer.try_poll().unwrap().is_empty(),
        "reset to the earliest"
    );
}

#[test]
fn a_reader_at_the_end_of_the_last_segment_waits_there() {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .segments(4)
        .segment_records(4)
        .begin_at(u64::MAX, 0);
    let mut producer = broker.create_topic(TOPIC, config).unwrap().producer();
    for _ in 0..4 {
        producer.try_send(Record::new(b"x")).unwrap();
    }
    let end = producer.try_send(Record::new(b"x")).unwrap_err();
    assert!(matches!(end, SendError::Exhausted { .. }));
    assert_eq!(read_all(&broker), [0, 1, 2, 3]);
}

#[test]
fn a_group_commits_the_last_offset_and_resumes_there() {
    let broker = Broker::new();
    let config = TopicConfig::new().segment_records(4).begin_at(0, u64::MAX);
    let mut producer = broker.create_topic(TOPIC, config).unwrap().producer();
    for _ in 0..4 {
        producer.try_send(Record::new(b"x")).unwrap();
    }
    let end = producer.try_send(Record::new(b"x")).unwrap_err();
    assert!(matches!(end, SendError::Exhausted { .. }));
    let read = || {
        let mut member = broker.consumer(ConsumerConfig::new().group("g")).unwrap();
        member.subscribe([TOPIC]).unwrap();
        let read = (0..2).map(|_| member.try_poll().unwrap().len());
        (read.sum::<usize>(), member.committed((TOPIC, 0)).unwrap())
    };
    let last = u64::MAX - 1;
    assert_eq!(read(), (4, Some(last)));
    assert_eq!(read(), (0, Some(last)));
}

#[test]
fn zero_sized_values_are_counted() {
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let sent = topic
        .producer()
        .send_values(Destination::Any, &[(); 3])
        .unwrap();
    assert_eq!((sent.base_offset, sent.records), (0, 3));
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.values::<()>().unwrap().count(), 3);
    assert!(batch.values::<u8>().is_err());
}

#[test]
fn segments_of_any_size_work_not_only_powers_of_two() {
    for segments in [2, 3, 5, 7] {
        for records in [1, 3, 6, 11] {
            let broker = Broker::new();
            let config = TopicConfig::new()
                .segments(segments)
                .segment_records(records)
                .segment_bytes(24 * records as usize + 8)
                .overflow(Overflow::DropOldest);
            let mut producer = broker.create_topic(TOPIC, config).unwrap().producer();
            for n in 0..200u64 {
                let sent = producer.send(Record::new(&n.to_le_bytes())).unwrap();
                assert_eq!(sent.offset, n);
            }
            let offsets = read_all(&broker);
            assert_eq!(*offsets.last().unwrap(), 199);
            assert!(offsets.windows(2).all(|w| w[0] + 1 == w[1]));
            assert!(offsets.len() as u32 > (segments - 1) * records);
            assert!(offsets.len() as u32 <= segments * records);
        }
    }
}

/// The largest record count that a state word and a descriptor can hold.
#[test]
fn a_segment_of_the_maximum_record_count_fills_completely() {
    let max = (1 << 21) - 1;
    let broker = Broker::new();
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(max)
        .segment_bytes(64);
    let topic = broker.create_topic(TOPIC, config).unwrap();
    let config = ConsumerConfig::new().max_poll_records(u32::MAX);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    let mut producer = topic.producer();
    let nothing = vec![(); max as usize];
    // All but one in one frame, then the last slot, then the next segment.
    let all_but_one = &nothing[1..];
    let sent = producer.send_values(Destination::Any, all_but_one).unwrap();
    assert_eq!((sent.base_offset, sent.records), (0, u64::from(max) - 1));
    for offset in [u64::from(max) - 1, max.into()] {
        let sent = producer.send(Record::new(&offset.to_ne_bytes())).unwrap();
        assert_eq!(sent.offset, offset);
    }
    for (first, expected) in [(0, max as usize), (u64::from(max), 1)] {
        let batch = consumer.try_poll().unwrap();
        assert_eq!(batch.len(), expected);
        assert_eq!(batch.iter().next().unwrap().offset(), first);
    }
    for offset in [u64::from(max) - 2, u64::from(max) - 1, max.into()] {
        consumer.seek((TOPIC, 0), offset).unwrap();
        let batch = consumer.try_poll().unwrap();
        assert_eq!(batch.iter().next().unwrap().offset(), offset);
    }
    // Then a whole segment in one frame.
    let sent = producer.send_values(Destination::Any, &nothing).unwrap();
    assert_eq!(
        (sent.base_offset, sent.records),
        (u64::from(max) + 1, max.into())
    );
    assert_eq!(consumer.try_poll().unwrap().len(), max as usize);
}

/// The last byte position that a state word and a descriptor can hold. Nearly all of the segment is
/// claimed without being touched, so that it takes no memory.
#[test]
fn a_segment_of_the_maximum_size_fills_completely() {
    let max = 256 * 1024 * 1024 - 8;
    let broker = Broker::new();
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(3)
        .segment_bytes(max)
        .timestamps(Timestamps::Given);
    let topic = broker.create_topic(TOPIC, config).unwrap();
    let mut producer = topic.producer();
    let mut claim = producer.claim(Destination::Any, None, max - 16).unwrap();
    claim[0] = 1;
    claim[max - 17] = 2;
    claim.publish();
    // Two units are left; then one record fills the next segment.
    for n in 1..3u64 {
        assert_eq!(
            producer.send(Record::new(&n.to_ne_bytes())).unwrap().offset,
            n
        );
    }
    let mut claim = producer.claim(Destination::Any, None, max).unwrap();
    claim[max - 1] = 3;
    assert_eq!(claim.publish().offset, 3);
    let too_large = producer.claim(Destination::Any, None, max + 1).unwrap_err();
    assert!(matches!(too_large, SendError::RecordTooLarge { .. }));
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    {
        let batch = consumer.try_poll().unwrap();
        let values: Vec<_> = batch.iter().map(|record| record.value_bytes()).collect();
        assert_eq!(values.len(), 3);
        assert_eq!(
            (values[0].len(), values[0][0], values[0][max - 17]),
            (max - 16, 1, 2)
        );
        assert_eq!(values[1..], [1u64.to_ne_bytes(), 2u64.to_ne_bytes()]);
    }
    let batch = consumer.try_poll().unwrap();
    let value = batch.iter().next().unwrap().value_bytes();
    assert_eq!((value.len(), value[max - 1]), (max, 3));
}

/// Four producers reach the last offset, or the last segment, at the same time.
#[test]
fn concurrent_producers_get_the_last_offsets_once() {
    for (segment, offset) in [(0, u64::MAX - 2_000), ((1 << 47) - 1_000, 5)] {
        let broker = Broker::new();
        let topic = broker.create_topic(TOPIC, config(segment, offset)).unwrap();
        let producers: Vec<_> = (0..4)
            .map(|_| {
                let mut producer = topic.producer();
                std::thread::spawn(move || {
                    let mut offsets = Vec::new();
                    loop {
                        match producer.send(Record::new(b"x")) {
                            Ok(sent) => offsets.push(sent.offset),
                            Err(SendError::Exhausted { .. }) => return offsets,
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
        consumer.subscribe([TOPIC]).unwrap();
        let (mut seen, mut lost) = (0, 0);
        let mut read = || {
            let batch = consumer.try_poll().unwrap();
            seen += batch.len() as u64;
            lost += batch.lost();
            !batch.is_empty()
        };
        while producers.iter().any(|p| !p.is_finished()) {
            read();
        }
        while read() {}
        let mut offsets: Vec<_> = producers
            .into_iter()
            .flat_map(|p| p.join().unwrap())
            .collect();
        offsets.sort_unstable();
        assert!(offsets.len() > 1_900, "{}", offsets.len());
        let first = consumer.position((TOPIC, 0)).unwrap() - seen - lost;
        assert!(
            offsets
                .iter()
                .copied()
                .eq(offset..offset + offsets.len() as u64)
        );
        assert!(first >= offset && seen + lost <= offsets.len() as u64);
        assert_eq!(
            consumer.position((TOPIC, 0)).unwrap(),
            offsets.last().unwrap() + 1
        );
    }
}
