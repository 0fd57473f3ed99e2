//! The cost of single operations on one thread. Each is checked before it is timed.
//!
//! Topics drop their oldest records, so a send never blocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, Murmur2, Overflow, PartitionChoice, Partitioner,
    Record, Topic, TopicConfig, Xxh3,
};
use std::hint::black_box;
use std::time::Duration;

const SIZES: [usize; 4] = [8, 64, 256, 1024];
const BATCH: usize = 256;
const TOPIC: &str = "bench";

fn topic(partitions: u32) -> (Broker, Topic) {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .partitions(partitions)
        .overflow(Overflow::DropOldest)
        .prefault(true);
    let topic = broker.create_topic(TOPIC, config).unwrap();
    (broker, topic)
}

fn consumer(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    consumer
}

/// Checks that every record has this value, and that the offsets of each partition are dense.
fn check_log(broker: &Broker, value: &[u8], records: u64) {
    let mut consumer = consumer(broker, ConsumerConfig::new());
    let mut next = [0; 3];
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            break;
        }
        let next = &mut next[batch.partition().unwrap() as usize];
        for record in &batch {
            assert_eq!((record.offset(), record.value_bytes()), (*next, value));
            *next += 1;
        }
    }
    assert_eq!(next.iter().sum::<u64>(), records);
}

fn append_single(c: &mut Criterion) {
    let mut group = c.benchmark_group("append-single");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let value = vec![7u8; size];

        let (broker, topic) = self::topic(1);
        let mut producer = topic.producer();
        assert_eq!(producer.send(Record::new(&value)).unwrap().offset, 0);
        check_log(&broker, &value, 1);
        group.bench_function(format!("shared/{size}"), |b| {
            b.iter(|| producer.send(Record::new(black_box(&value))).unwrap());
        });

        let (broker, topic) = self::topic(1);
        let mut producer = topic.exclusive_producer().unwrap();
        assert_eq!(producer.send(Record::new(&value)).unwrap().offset, 0);
        check_log(&broker, &value, 1);
        group.bench_function(format!("exclusive/{size}"), |b| {
            b.iter(|| producer.send(Record::new(black_box(&value))).unwrap());
        });
    }
    group.finish();
}

fn append_batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("append-batch");
    group.throughput(Throughput::Elements(BATCH as u64));
    let value = [7u8; 64];
    let keys: Vec<String> = (0..BATCH).map(|i| format!("user-{i:06}")).collect();
    let keyed: Vec<_> = keys.iter().map(|k| Record::new(&value).key(k)).collect();
    let keyless = vec![Record::new(&value); BATCH];
    let values = [value; BATCH];

    let (broker, topic) = self::topic(3);
    let mut producer = topic.producer();
    let sent = producer.send_batch(&keyed).unwrap();
    let mut counts = [0; 3];
    sent.iter().for_each(|m| counts[m.partition as usize] += 1);
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    check_log(&broker, &value, BATCH as u64);
    group.bench_function("send_batch-keyed-3-partitions/64", |b| {
        b.iter(|| producer.send_batch(black_box(&keyed)).unwrap().len());
    });

    let (broker, topic) = self::topic(1);
    let mut producer = topic.producer();
    assert_eq!(producer.send_batch(&keyless).unwrap().len(), BATCH);
    check_log(&broker, &value, BATCH as u64);
    group.bench_function("send_batch-keyless/64", |b| {
        b.iter(|| producer.send_batch(black_box(&keyless)).unwrap().len());
    });

    let (broker, topic) = self::topic(1);
    let mut producer = topic.producer();
    let sent = producer.send_values(Destination::Any, &values).unwrap();
    assert_eq!((sent.base_offset, sent.records), (0, BATCH as u64));
    check_log(&broker, &value, BATCH as u64);
    group.bench_function("send_values/64", |b| {
        b.iter(|| {
            producer
                .send_values(Destination::Any, black_box(&values))
                .unwrap()
        });
    });
    group.finish();
}

/// Reads from the log start to its end; returns the number of records, and a checksum.
fn read_all(consumer: &mut Consumer) -> (u64, u64) {
    consumer.seek_to_beginning((TOPIC, 0)).unwrap();
    let (mut records, mut sum) = (0, 0u64);
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return (records, sum);
        }
        for record in &batch {
            let value = record.value_bytes();
            sum = sum.wrapping_add(record.offset() + value.len() as u64 + u64::from(value[0]));
        }
        records += batch.len() as u64;
    }
}

/// Fills a partition until it has dropped records; returns the number of retained records, and the
/// checksum that [`read_all`] must return.
fn fill(topic: &Topic, mut send: impl FnMut()) -> (u64, u64) {
    while topic.log_start_offset(0).unwrap() == 0 {
        send();
    }
    let (start, end) = (
        topic.log_start_offset(0).unwrap(),
        topic.log_end_offset(0).unwrap(),
    );
    let sum = (start..end).map(|offset| offset + 64 + 7).sum();
    (end - start, sum)
}

fn poll(c: &mut Criterion) {
    let mut group = c.benchmark_group("poll-full-log");
    let value = [7u8; 64];
    let batch = vec![Record::new(&value); BATCH];
    let values = [value; BATCH];
    for way in ["send", "send_batch", "send_values"] {
        let (broker, topic) = self::topic(1);
        let mut producer = topic.producer();
        let (records, sum) = fill(&topic, || match way {
            "send" => drop(producer.send(batch[0]).unwrap()),
            "send_batch" => drop(producer.send_batch(&batch).unwrap()),
            _ => drop(producer.send_values(Destination::Any, &values).unwrap()),
        });
        let mut consumer = consumer(&broker, ConsumerConfig::new());
        assert_eq!(read_all(&mut consumer), (records, sum));
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("sent-by-{way}/64"), |b| {
            b.iter(|| read_all(&mut consumer));
        });
    }
    group.finish();
}

fn partitioners(c: &mut Criterion) {
    let mut group = c.benchmark_group("partitioner");
    group.throughput(Throughput::Elements(1));
    let key = b"user-000042";
    assert_eq!(key.len(), 11);
    // Kafka's own test vector: murmur2("21") = -973932308.
    let expected = (-973_932_308i32 as u32 & 0x7fff_ffff) % 3;
    assert_eq!(
        Murmur2.choose(Some(b"21"), 3),
        PartitionChoice::Partition(expected)
    );
    assert!(matches!(
        Xxh3.choose(Some(key), 3),
        PartitionChoice::Partition(0..3)
    ));
    let all: [(&str, &dyn Partitioner); 2] = [("xxh3", &Xxh3), ("murmur2", &Murmur2)];
    for (name, partitioner) in all {
        group.bench_function(format!("{name}/11"), |b| {
            b.iter(|| black_box(partitioner).choose(Some(black_box(key)), 3));
        });
    }
    group.finish();
}

/// A seek is lazy, so it is timed together with the poll that finds the record.
fn seek(c: &mut Criterion) {
    let mut group = c.benchmark_group("seek-and-poll");
    group.throughput(Throughput::Elements(1));
    let value = [7u8; 64];
    let values = [value; BATCH];
    for way in ["send", "send_values"] {
        let (broker, topic) = self::topic(1);
        let mut producer = topic.producer();
        let (records, _) = fill(&topic, || match way {
            "send" => drop(producer.send(Record::new(&value)).unwrap()),
            _ => drop(producer.send_values(Destination::Any, &values).unwrap()),
        });
        let start = topic.log_start_offset(0).unwrap();
        let mut consumer = consumer(&broker, ConsumerConfig::new().max_poll_records(1));
        let mut seek = |offset: u64| {
            consumer.seek((TOPIC, 0), offset).unwrap();
            let batch = consumer.poll(Duration::ZERO).unwrap();
            batch.iter().next().map(|record| record.offset())
        };
        let mut offset = 0;
        let mut next = || {
            offset = (offset + 7919) % records;
            start + offset
        };
        for _ in 0..1000 {
            let wanted = next();
            assert_eq!(seek(wanted), Some(wanted));
        }
        group.bench_function(format!("sent-by-{way}/64"), |b| {
            b.iter(|| seek(next()));
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    append_single,
    append_batch,
    poll,
    partitioners,
    seek
);
criterion_main!(benches);
