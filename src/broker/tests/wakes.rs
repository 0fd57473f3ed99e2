//! What lets a reader go on that waits, besides records.

use super::lifetimes::block_on;
use super::*;
use crate::disk::model::Op;
use crate::topic::Topic;

/// A topic whose ring has the last of a hundred durable records.
fn filled(disk: &ModelDisk) -> (Broker, Topic) {
    let config = config(disk).on_write_error(OnWriteError::GoOn);
    let (broker, _) = Broker::open(config.flush(Flush::Manual)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    for _ in 0..100 {
        producer.send(Record::new(&[7; 100])).unwrap();
    }
    topic.flush(LONG).unwrap();
    (broker, topic)
}

/// Reads the first record, whose file cannot be opened for a moment.
fn read_when_it_can_be_opened(level: ReadUpTo, has_failed: bool, is_task: bool) {
    let disk = ModelDisk::new(1);
    let (broker, topic) = filled(&disk);
    if has_failed {
        disk.fail_next("write", std::io::ErrorKind::Other);
        topic.producer().send(Record::new("fails")).unwrap();
        topic.wait_written(0, 101, LONG).unwrap_err();
    }
    let config = ConsumerConfig::new().read_up_to(level);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    for _ in 0..10_000 {
        disk.fail_next(Op::Open, std::io::ErrorKind::TimedOut);
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // So that the reader waits by then, mostly.
            std::thread::sleep(Duration::from_millis(50));
            disk.heal();
        });
        let begin = Instant::now();
        let batch = match is_task {
            true => block_on(consumer.poll_async()),
            false => consumer.poll(LONG),
        };
        assert_eq!(batch.unwrap().first_offset(), Some(0));
        assert!(begin.elapsed() < LONG / 2, "it was not woken");
    });
}

#[test]
fn a_reader_whose_file_cannot_be_opened_for_a_moment_reads_on() {
    let levels = [ReadUpTo::Sent, ReadUpTo::Written, ReadUpTo::Durable];
    std::thread::scope(|scope| {
        for level in levels {
            for has_failed in [false, true] {
                scope.spawn(move || read_when_it_can_be_opened(level, has_failed, false));
                scope.spawn(move || read_when_it_can_be_opened(level, has_failed, true));
            }
        }
    });
}

#[test]
fn a_reader_of_durable_records_reads_on_when_retention_takes_those_it_waits_for() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk).flush(Flush::Manual)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    for _ in 0..100 {
        producer.send(Record::new(&[7; 100])).unwrap();
    }
    topic.wait_written(0, 100, LONG).unwrap();
    let config = ConsumerConfig::new().read_up_to(ReadUpTo::Durable);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let begin = Instant::now();
            assert!(!consumer.poll(LONG).unwrap().is_empty());
            begin.elapsed()
        });
        // So that the reader waits by then, mostly.
        std::thread::sleep(Duration::from_millis(20));
        topic.set_retention(Some(Duration::ZERO));
        topic.apply_retention();
        let waited = reading.join().unwrap();
        assert_eq!(topic.durable_end(0), Ok(100));
        assert!(waited < LONG / 2, "it was not woken");
    });
}

#[test]
fn a_reader_after_a_consumer_that_is_dropped_finds_that_in_a_topic_that_was_not_taken_in() {
    let broker = Broker::new();
    let mut upstream = broker.consumer(ConsumerConfig::new()).unwrap();
    let config = ConsumerConfig::new().read_after(&upstream.progress());
    let mut dependent = broker.consumer(config).unwrap();
    upstream.subscribe_pattern("t-.*").unwrap();
    dependent.subscribe_pattern("t-.*").unwrap();
    let topic = broker.create_topic("t-1", TopicConfig::new()).unwrap();
    topic.producer().send(Record::new("x")).unwrap();
    assert!(dependent.try_poll().unwrap().is_empty());
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let begin = Instant::now();
            let error = dependent.poll(LONG).unwrap_err();
            (error.to_string(), begin.elapsed())
        });
        // So that the reader waits by then, mostly.
        std::thread::sleep(Duration::from_millis(20));
        drop(upstream);
        let (error, waited) = reading.join().unwrap();
        assert!(error.contains("has stopped reading"), "{error}");
        assert!(waited < LONG / 2, "it was not woken");
    });
}
