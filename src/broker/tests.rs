//! Durable brokers on the model disk: what happens when the disk is full, or fails.
#![allow(clippy::unwrap_used, clippy::panic)]

mod ends;
mod lifetimes;
mod names;
mod retention;
mod sleeping;
mod waits;
mod wakes;

use super::Broker;
use crate::consumer::{ConsumerConfig, ReadUpTo};
use crate::disk::Disk;
use crate::disk::model::ModelDisk;
use crate::error::{SendError, StorageError};
use crate::log::overflow::Overflow;
use crate::producer::Producer;
use crate::record::Record;
use crate::storage::{DiskFull, Flush, OnWriteError, Storage, StorageConfig};
use crate::topic::TopicConfig;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

fn config(disk: &ModelDisk) -> StorageConfig {
    Storage::dir("/data")
        .disk(Arc::new(disk.clone()))
        .file_bytes(64 << 10)
}

fn small_ring() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(16)
        .segment_bytes(4096)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn on_a_full_disk_sends_wait_for_room_and_nothing_is_lost() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    disk.set_free(Some(20_000));
    let mut sent = 0u64;
    while producer.try_send(Record::new(&[7; 100])).is_ok() {
        sent += 1;
        assert!(sent < 10_000);
        if sent % 8 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    wait_until("the fault", || {
        !broker.storage().unwrap().faults().is_empty()
    });
    assert!(broker.storage().unwrap().faults()[0].is_full());
    assert!(matches!(
        producer.try_send(Record::new(&[7; 100])),
        Err(SendError::Full { .. })
    ));
    disk.set_free(None);
    producer.send(Record::new(&[7; 100])).unwrap();
    topic.flush(LONG).unwrap();
    assert_eq!(topic.durable_end(0).unwrap(), sent + 1);
    // Nor do the files miss any.
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut read = 0;
    while read < sent + 1 {
        let batch = consumer.poll(LONG).unwrap();
        assert_eq!(batch.lost(), 0);
        read += batch.len() as u64;
    }
}

#[test]
fn on_a_full_disk_the_oldest_file_is_given_up_if_so_configured() {
    let disk = ModelDisk::new(1);
    let config = config(&disk).disk_full(DiskFull::ForgetOldest);
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    let send_until = |producer: &mut Producer, end: u64| {
        while topic.log_end_offset(0).unwrap() < end {
            producer.send(Record::new(&[7; 100])).unwrap();
        }
        topic.flush(LONG).unwrap();
    };
    send_until(&mut producer, 5_000); // some files
    assert_eq!(topic.log_start_offset(0).unwrap(), 0);
    // Room for less than a file: with each file that is given up there is that much more.
    disk.set_free(Some(10_000));
    let mut room = std::thread::spawn({
        let disk = disk.clone();
        move || {
            std::thread::sleep(Duration::from_millis(300));
            disk.set_free(None);
        }
    });
    send_until(&mut producer, 6_000);
    assert!(topic.log_start_offset(0).unwrap() > 0);
    let _ = &mut room;
    room.join().unwrap();
}

#[test]
fn a_disk_that_is_full_in_any_write_loses_nothing() {
    for passed in 0..60 {
        let disk = ModelDisk::new(passed);
        let (broker, _) = Broker::open(config(&disk)).unwrap();
        let topic = broker.create_topic("t", small_ring()).unwrap();
        let mut producer = topic.producer();
        let full = std::io::ErrorKind::StorageFull;
        disk.fail_nth("write", passed, full);
        for sent in 1..1500 {
            producer.send(Record::new(&[7; 100])).unwrap();
            if sent % 500 == 0 {
                topic.flush(LONG).unwrap();
            }
        }
        topic.flush(LONG).unwrap();
        assert!(!topic.is_closed(), "write {passed}");
        drop((topic, producer, broker));
        let (_, report) = Broker::open(config(&disk)).unwrap();
        assert!(!report.has_damage());
        assert_eq!(report.records(), 1499, "write {passed}");
    }
}

#[test]
fn a_failed_sync_closes_the_topic_and_is_reported() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let other = broker.create_topic("other", small_ring()).unwrap();
    let mut producer = topic.producer();
    producer.send(Record::new("first")).unwrap();
    topic.flush(LONG).unwrap();
    disk.fail_sync_once();
    producer.send(Record::new("second")).unwrap();
    let error = topic.flush(LONG).unwrap_err();
    assert!(
        matches!(
            &error,
            StorageError::Io {
                operation: "syncing",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(topic.durable_end(0).unwrap(), 1);
    wait_until("the topic is closed", || topic.is_closed());
    assert!(matches!(
        producer.send(Record::new("third")),
        Err(SendError::Closed { .. })
    ));
    assert_eq!(
        broker.storage().unwrap().faults(),
        std::slice::from_ref(&error)
    );
    // Consumers read on to the end; other topics go on.
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    assert_eq!(consumer.poll(LONG).unwrap().len(), 2);
    other.producer().send(Record::new("x")).unwrap();
    other.flush(LONG).unwrap();
    assert_eq!(broker.storage().unwrap().close(), Err(error));
}

#[test]
fn a_topic_may_go_on_in_memory_after_a_failed_write() {
    let disk = ModelDisk::new(1);
    let config = config(&disk).on_write_error(OnWriteError::GoOn);
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let mut producer = topic.producer();
    producer.send(Record::new("first")).unwrap();
    topic.flush(LONG).unwrap();
    disk.fail_next("write", std::io::ErrorKind::PermissionDenied);
    producer.send(Record::new("second")).unwrap();
    topic.flush(LONG).unwrap_err();
    for _ in 0..1000 {
        producer
            .send(Record::new("more than the ring holds"))
            .unwrap();
    }
    assert_eq!(topic.durable_end(0).unwrap(), 1);
    assert!(!topic.is_closed());
}

#[test]
fn a_power_cut_under_load_keeps_what_was_durable() {
    for seed in 0..20 {
        let disk = ModelDisk::new(seed);
        let (broker, _) = Broker::open(config(&disk)).unwrap();
        let overflow = [Overflow::Backpressure, Overflow::DropOldest][seed as usize % 2];
        let topic = broker
            .create_topic("t", small_ring().overflow(overflow))
            .unwrap();
        let mut producer = topic.producer();
        disk.stop_at(disk.operations() + 20 + seed * 7);
        let mut sent = 0u64;
        while !disk.is_stopped() {
            if producer.try_send(Record::new(&sent.to_le_bytes())).is_ok() {
                sent += 1;
            }
        }
        let durable = topic.durable_end(0).unwrap();
        drop((topic, producer, broker));
        disk.restart();
        let (broker, report) = Broker::open(config(&disk)).unwrap();
        assert!(!report.has_damage(), "{report:?}");
        let Ok(topic) = broker.topic("t") else {
            panic!("seed {seed}: it was created durably")
        };
        let end = topic.log_end_offset(0).unwrap();
        assert!(
            (durable..=sent).contains(&end),
            "seed {seed}: {durable} {end} {sent}"
        );
        let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        // What follows the last record may be a gap: the position passes it.
        while consumer.position(("t", 0)).unwrap() < end {
            let batch = consumer.try_poll().unwrap();
            assert!(batch.lost() == 0 || overflow == Overflow::DropOldest);
            for record in &batch {
                assert_eq!(record.value_bytes(), record.offset().to_le_bytes());
            }
        }
    }
}

#[test]
fn a_reader_of_durable_records_gets_no_others() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk).flush(Flush::Manual)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let durable = ConsumerConfig::new().read_up_to(ReadUpTo::Durable);
    let mut consumer = broker.consumer(durable).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut producer = topic.producer();
    for round in 1..4u64 {
        producer.send(Record::new("x")).unwrap();
        wait_until("it is written", || topic.written_end(0).unwrap() == round);
        assert!(consumer.try_poll().unwrap().is_empty());
        let waiting = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let start = Instant::now();
                let read = consumer.poll(LONG).unwrap().len();
                assert!(start.elapsed() < LONG / 2, "it was not woken");
                read
            });
            // So that the reader is asleep by then, mostly: the sync has to wake it.
            std::thread::sleep(Duration::from_millis(20));
            topic.flush(LONG).unwrap();
            waiting.join().unwrap()
        });
        assert_eq!(waiting, 1);
    }
}

#[test]
fn a_reader_of_written_records_gets_no_others_until_nothing_more_is_written() {
    let disk = ModelDisk::new(1);
    let config = config(&disk).on_write_error(OnWriteError::GoOn);
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    let written = ConsumerConfig::new().read_up_to(ReadUpTo::Written);
    let mut consumer = broker.consumer(written).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut producer = topic.producer();
    disk.set_free(Some(0)); // the first file is not made
    producer.send(Record::new("x")).unwrap();
    wait_until("the fault", || {
        !broker.storage().unwrap().faults().is_empty()
    });
    assert!(consumer.try_poll().unwrap().is_empty());
    assert_eq!(topic.write_error(0), Ok(None));
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.poll(LONG).unwrap().len());
        disk.set_free(None);
        waiting.join().unwrap()
    });
    assert_eq!((waiting, topic.written_end(0)), (1, Ok(1)));

    disk.fail_sync_once();
    producer.send(Record::new("y")).unwrap();
    assert!(topic.flush(LONG).is_err());
    assert!(matches!(topic.write_error(0), Ok(Some(_))));
    producer.send(Record::new("z")).unwrap();
    let mut read = 0;
    while read < 2 {
        read += consumer.poll(LONG).unwrap().len();
    }
}

/// Makes a topic and stores a value, on a disk where the process was killed before in operation
/// `killed_in`. Returns whether the process got past that operation.
fn survives_a_power_cut(seed: u64, killed_in: Option<u64>) -> bool {
    let disk = ModelDisk::new(seed);
    let open = || Broker::open(config(&disk));
    if let Some(operation) = killed_in {
        disk.stop_at(operation);
        let made = open().and_then(|(broker, _)| broker.create_topic("t", small_ring()));
        if made.is_ok() && !disk.is_stopped() {
            return true;
        }
        disk.kill();
    }
    let (broker, _) = open().unwrap();
    let topic = broker.get_or_create_topic("t", small_ring()).unwrap();
    topic.producer().send(Record::new("first")).unwrap();
    topic.flush(LONG).unwrap();
    let storage = broker.storage().unwrap().clone();
    storage.put_value("v", b"x").unwrap();
    drop((storage, topic, broker));
    disk.restart();
    let (broker, _) = open().unwrap();
    let what = format!("seed {seed}, killed in {killed_in:?}");
    let topic = broker
        .topic("t")
        .unwrap_or_else(|_| panic!("{what}: no topic"));
    assert_eq!(topic.log_end_offset(0).unwrap(), 1, "{what}");
    let value = broker.storage().unwrap().value("v").unwrap();
    assert_eq!(value.as_deref(), Some(&b"x"[..]), "{what}");
    false
}

#[test]
fn what_was_made_by_a_process_that_was_killed_is_durable_in_the_next() {
    for seed in 0..10 {
        survives_a_power_cut(seed, None);
        let mut operations = 1..100;
        assert!(operations.any(|operation| survives_a_power_cut(seed, Some(operation))));
    }
}

#[test]
fn what_was_sent_before_a_storage_was_closed_is_durable() {
    for seed in 0..10 {
        let disk = ModelDisk::new(seed);
        let (broker, _) = Broker::open(config(&disk).flush(Flush::Manual)).unwrap();
        let topic = broker.create_topic("t", small_ring()).unwrap();
        for _ in 0..10 {
            topic.producer().send(Record::new("x")).unwrap();
        }
        broker.storage().unwrap().close().unwrap();
        assert_eq!(topic.durable_end(0).unwrap(), 10);
        drop((topic, broker));
        disk.restart();
        let (_, report) = Broker::open(config(&disk)).unwrap();
        assert_eq!(report.records(), 10, "seed {seed}");
    }
}

#[test]
fn a_commit_outside_of_its_log_is_set_to_its_bounds() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    for _ in 0..10 {
        topic.producer().send(Record::new("x")).unwrap();
    }
    topic.flush(LONG).unwrap();
    topic.delete_records(0, 4).unwrap();
    drop((topic, broker));
    for (stored, expected) in [(2, 4), (7, 7), (99, 10)] {
        let lines = format!("ringlog-groups 1\ngroup g\noffset 0 {stored} t\n");
        let crc = crc32c::crc32c(lines.as_bytes());
        let lines = format!("{lines}crc32c {crc:08x}\n");
        disk.put(Path::new("/data/groups"), lines.as_bytes());
        let (broker, report) = Broker::open(config(&disk)).unwrap();
        assert_eq!(report.groups, 1);
        let member = ConsumerConfig::new().group("g");
        let mut member = broker.consumer(member).unwrap();
        member.subscribe(["t"]).unwrap();
        let _ = member.try_poll().unwrap();
        let committed = member.committed(("t", 0)).unwrap();
        assert_eq!(committed, Some(expected), "{stored}");
    }
}

#[test]
fn a_damaged_record_of_a_topic_and_a_damaged_value_are_found() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    topic.producer().send(Record::new("x")).unwrap();
    topic.flush(LONG).unwrap();
    broker.storage().unwrap().put_value("v", b"value").unwrap();
    drop((topic, broker));
    let paths = disk.paths().into_iter();
    for path in paths.filter(|path| path.ends_with("topic") || path.ends_with("v")) {
        let middle = disk.bytes(&path).len() as u64 / 2;
        disk.corrupt(&path, middle, 1);
    }
    let (broker, report) = Broker::open(config(&disk)).unwrap();
    assert!(report.topics[0].settings_lost);
    assert_eq!(broker.topic("t").unwrap().log_end_offset(0).unwrap(), 1);
    let value = broker.storage().unwrap().value("v");
    assert!(matches!(value, Err(StorageError::Damaged { .. })));
}

#[test]
fn a_topic_whose_record_was_lost_is_not_lost_with_its_files() {
    let disk = ModelDisk::new(1);
    let (broker, _) = Broker::open(config(&disk)).unwrap();
    let topic = broker.create_topic("t", small_ring()).unwrap();
    topic.producer().send(Record::new("x")).unwrap();
    topic.flush(LONG).unwrap();
    drop((topic, broker));
    let of = |end: &'static str| {
        let is_one = move |path: &std::path::PathBuf| path.to_string_lossy().ends_with(end);
        disk.paths().into_iter().filter(is_one)
    };
    of("/topic").for_each(|path| disk.remove(&path));
    // Its only file is another partition's now, and is set aside.
    for path in of(".rl") {
        let mut bytes = disk.bytes(&path);
        bytes[32] = 9;
        let crc = crc32c::crc32c(&bytes[..508]);
        bytes[508..512].copy_from_slice(&crc.to_le_bytes());
        disk.put(&path, &bytes);
    }
    for _ in 0..2 {
        let (broker, _) = Broker::open(config(&disk)).unwrap();
        assert!(broker.topic("t").is_ok());
    }
}
