//! The end of a topic whose files have failed, for readers of what is durable.

use super::*;
use crate::consumer::Consumer;
use crate::error::ConsumeError;
use crate::topic::Topic;

/// A topic of two partitions, with three durable records in the first; and a broker on a disk whose next
/// sync fails.
fn failing(disk: &ModelDisk, on_write_error: OnWriteError) -> (Broker, Topic) {
    let config = config(disk)
        .flush(Flush::Manual)
        .on_write_error(on_write_error);
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker
        .create_topic("t", small_ring().partitions(2))
        .unwrap();
    let mut producer = topic.producer();
    for _ in 0..3 {
        producer.send(Record::new("durable").partition(0)).unwrap();
    }
    topic.flush(LONG).unwrap();
    producer.send(Record::new("lost").partition(0)).unwrap();
    disk.fail_sync_once();
    (broker, topic)
}

fn consumer(broker: &Broker, config: ConsumerConfig, read_up_to: ReadUpTo) -> Consumer {
    let mut consumer = broker.consumer(config.read_up_to(read_up_to)).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

/// Polls until the topic is reported as closed; how many records came.
fn read_to_the_end(consumer: &mut Consumer) -> usize {
    let mut read = 0;
    loop {
        let start = Instant::now();
        let polled = consumer.poll(LONG);
        // Also of the last poll: one that waits in vain looks once more.
        assert!(start.elapsed() < LONG / 2, "it was not woken");
        match polled {
            Ok(batch) => read += batch.len(),
            Err(ConsumeError::Closed { .. }) => return read,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_reader_of_durable_records_gets_the_end_of_a_topic_whose_files_have_failed() {
    let disk = ModelDisk::new(1);
    let (broker, topic) = failing(&disk, OnWriteError::Close);
    let new = ConsumerConfig::new;
    let mut durable = consumer(&broker, new(), ReadUpTo::Durable);
    let mut sent = consumer(&broker, new(), ReadUpTo::Sent);
    let read = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_to_the_end(&mut durable));
        // So that the reader waits by then, mostly: the fault has to wake it.
        std::thread::sleep(Duration::from_millis(20));
        topic.flush(LONG).unwrap_err();
        reading.join().unwrap()
    });
    assert_eq!(read, 3);
    assert!(durable.is_finished());
    assert_eq!(read_to_the_end(&mut sent), 4);
}

#[test]
fn members_that_read_durable_records_get_that_end_also_without_partitions() {
    let disk = ModelDisk::new(1);
    let (broker, topic) = failing(&disk, OnWriteError::Close);
    let member = || {
        let config = ConsumerConfig::new().group("g");
        consumer(&broker, config, ReadUpTo::Durable)
    };
    let mut members = [member(), member(), member()];
    let read: usize = std::thread::scope(|scope| {
        let reading: Vec<_> = members
            .iter_mut()
            .map(|member| scope.spawn(|| read_to_the_end(member)))
            .collect();
        std::thread::sleep(Duration::from_millis(20));
        topic.flush(LONG).unwrap_err();
        reading.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(read, 3);
}

#[test]
fn a_topic_that_goes_on_in_memory_does_not_end_for_a_reader_of_durable_records() {
    let disk = ModelDisk::new(1);
    let (broker, topic) = failing(&disk, OnWriteError::GoOn);
    let mut durable = consumer(&broker, ConsumerConfig::new(), ReadUpTo::Durable);
    topic.flush(LONG).unwrap_err();
    assert_eq!(durable.poll(LONG).unwrap().len(), 3);
    assert!(durable.try_poll().unwrap().is_empty());
    assert!(!durable.is_finished());
    topic.close();
    assert_eq!(read_to_the_end(&mut durable), 0);
}

#[test]
fn a_sync_that_ends_after_the_files_have_failed_does_not_move_that_end() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk).flush(Flush::Manual)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut durable = consumer(&broker, ConsumerConfig::new(), ReadUpTo::Durable);
    let mut producer = topic.producer();
    producer.send(Record::new("is being synced")).unwrap();
    topic.wait_written(0, 1, LONG).unwrap();
    let of_partition = |path: &std::path::PathBuf| path.to_string_lossy().contains("/p00000/");
    let file = disk.paths().into_iter().find(of_partition).unwrap();
    disk.hold_syncs_of(file.parent());
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| topic.flush(LONG));
        wait_until("the sync", || disk.is_holding());
        disk.fail_next("write", std::io::ErrorKind::Other);
        producer.send(Record::new("fails")).unwrap();
        wait_until("the end", || topic.is_closed());
        let read = read_to_the_end(&mut durable) as u64;
        assert!(durable.is_finished());
        disk.hold_syncs_of(None);
        flushing.join().unwrap().unwrap_err();
        // It returns when the sync has ended.
        broker.storage().unwrap().close().unwrap_err();
        assert_eq!(topic.durable_end(0), Ok(read));
    });
}

#[test]
fn members_get_that_end_also_if_the_topic_was_closed_before() {
    for on_write_error in [OnWriteError::Close, OnWriteError::GoOn] {
        let disk = ModelDisk::new(1);
        let (broker, topic) = failing(&disk, on_write_error);
        let member = || {
            let config = ConsumerConfig::new().group("g");
            consumer(&broker, config, ReadUpTo::Durable)
        };
        let mut members = [member(), member(), member()];
        // Closing syncs, too.
        disk.heal();
        topic.close();
        disk.fail_sync_once();
        let read: usize = std::thread::scope(|scope| {
            let reading: Vec<_> = members
                .iter_mut()
                .map(|member| scope.spawn(|| read_to_the_end(member)))
                .collect();
            std::thread::sleep(Duration::from_millis(100));
            topic.flush(LONG).unwrap_err();
            reading.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(read, 3);
    }
}
