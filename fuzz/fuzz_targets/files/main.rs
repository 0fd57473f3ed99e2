//! Fuzz target: a storage whose files are wrong in any way is opened, read, written to and opened
//! again.
//!
//! ```sh
//! cargo +nightly fuzz run files -- -detect_leaks=0 -max_len=256 -max_total_time=600
//! ```
//!
//! An input is a few changes of files that the library wrote when the target was started: bits,
//! fields, lengths, names, parts of other files. After them some checksums are made right again, as
//! the input says: without that, next to nothing would come past them.
//!
//! Opening succeeds, or says that a file has a newer format. What is read has ascending offsets. It is
//! the same by a seek, after records were appended, and after the storage was opened again.
#![no_main]
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod edits;
mod layout;
mod template;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use ringlog::{
    Broker, Consumer, ConsumerConfig, Flush, OffsetReset, OwnedRecord, Record, RecoveryReport,
    Storage, StorageError, Topic, TopicConfig, TopicError,
};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;
use template::{Files, LONG, scratch};

/// A ring does not begin after this offset, which leaves room for its segments before the last of all.
const LAST_OFFSET: u64 = u64::MAX - (1 << 12);

/// Offsets past this one are not appended to: a partition may be exhausted there.
const MOST_OFFSET: u64 = 1 << 40;

fuzz_target!(|data: &[u8]| {
    static WRITTEN: OnceLock<Files> = OnceLock::new();
    let written = WRITTEN.get_or_init(Files::written);
    let mut u = Unstructured::new(data);
    let Ok((files, looks)) = input(written, &mut u) else {
        return;
    };
    let dir = scratch("files");
    let _ = std::fs::remove_dir_all(&dir);
    files.write(&dir);
    run(&dir, &looks);
    std::fs::remove_dir_all(&dir).unwrap();
});

/// The files, and offsets and times to look for.
fn input(written: &Files, u: &mut Unstructured<'_>) -> Result<(Files, [u8; 4])> {
    Ok((edits::files(written, u)?, u.arbitrary()?))
}

fn open(dir: &Path) -> std::result::Result<(Broker, RecoveryReport), TopicError> {
    let config = Storage::dir(dir).file_bytes(64 << 10).flush(Flush::Manual);
    Broker::open_with(config, |_, _| {
        // A ring of a few records.
        TopicConfig::new()
            .segments(2)
            .segment_records(16)
            .segment_bytes(4096)
    })
}

fn run(dir: &Path, looks: &[u8; 4]) {
    let (broker, report) = match open(dir) {
        Ok(opened) => opened,
        Err(TopicError::Storage(StorageError::NewerFormat { .. })) => return,
        Err(error) => panic!("it cannot be opened: {error}"),
    };
    let Some(found) = report.topics.first() else {
        return;
    };
    let (start, end) = (found.partitions[0].log_start, found.partitions[0].log_end);
    if end > LAST_OFFSET {
        return;
    }
    let topic = broker.topic(&found.name).unwrap();
    assert_eq!(bounds(&topic), (start, end), "{report:?}");
    let mut before = read(&broker, &topic);
    look(&broker, &topic, &before, looks);
    if end < MOST_OFFSET {
        append(&topic, end);
        let appended = read(&broker, &topic);
        let (same, new) = appended.split_at(before.len());
        assert_eq!(same, before);
        assert!(new.iter().map(|record| record.offset).eq(end..end + 5));
        before = appended;
    }
    let bounds_before = bounds(&topic);
    drop((topic, broker));

    let (broker, report) = open(dir).unwrap();
    let found = &report.topics[0];
    assert_eq!(found.partitions[0].set_aside.len(), 0, "{report:?}");
    let topic = broker.topic(&found.name).unwrap();
    assert_eq!(bounds(&topic), bounds_before);
    assert_eq!(read(&broker, &topic), before);
}

fn bounds(topic: &Topic) -> (u64, u64) {
    (
        topic.log_start_offset(0).unwrap(),
        topic.log_end_offset(0).unwrap(),
    )
}

fn consumer(broker: &Broker, topic: &Topic) -> Consumer {
    let config = ConsumerConfig::new().offset_reset(OffsetReset::Earliest);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.assign([(topic.name(), 0)]).unwrap();
    consumer
}

/// All records, whose offsets ascend, with what is lost between them.
fn read(broker: &Broker, topic: &Topic) -> Vec<OwnedRecord> {
    let mut consumer = consumer(broker, topic);
    let (start, end) = bounds(topic);
    let (mut all, mut lost) = (Vec::<OwnedRecord>::new(), 0);
    let since = Instant::now();
    let mut position = start;
    while position < end {
        let batch = consumer.try_poll().unwrap();
        lost += batch.lost();
        all.extend(batch.iter().map(|record| record.to_owned()));
        position = consumer.position((topic.name(), 0)).unwrap();
        assert!(since.elapsed() < LONG, "at {position} of {start}..{end}");
    }
    assert_eq!(position, end);
    let offsets = || all.iter().map(|record| record.offset);
    assert!(offsets().is_sorted_by(|a, b| a < b));
    assert!(offsets().all(|offset| (start..end).contains(&offset)));
    assert!(lost + all.len() as u64 <= end - start);
    all
}

/// Seeks, and looks times up.
fn look(broker: &Broker, topic: &Topic, all: &[OwnedRecord], looks: &[u8; 4]) {
    let (start, end) = bounds(topic);
    let mut consumer = consumer(broker, topic);
    for &look in looks {
        let offset = start.saturating_add((end - start) / 256 * u64::from(look) + u64::from(look));
        if offset >= end {
            continue;
        }
        consumer.seek((topic.name(), 0), offset).unwrap();
        let since = Instant::now();
        let found = loop {
            let batch = consumer.try_poll().unwrap();
            if let Some(record) = batch.iter().next() {
                break Some(record.to_owned());
            }
            if consumer.position((topic.name(), 0)).unwrap() >= end {
                break None;
            }
            assert!(since.elapsed() < LONG, "after a seek to {offset}");
        };
        let expected = all.iter().find(|record| record.offset >= offset);
        assert_eq!(found.as_ref(), expected, "after a seek to {offset}");
        let time = 1000 + i64::from(look) * 2;
        if let Some(found) = topic.offset_for_time(0, time).unwrap() {
            assert!(found.timestamp >= time);
            let record = all.iter().find(|record| record.offset == found.offset);
            assert_eq!(record.unwrap().timestamp, Some(found.timestamp));
        }
    }
}

fn append(topic: &Topic, end: u64) {
    let mut producer = topic.producer();
    for number in 0..5 {
        let value = [number as u8; 20];
        let sent = producer.send(Record::new(&value).key(b"new")).unwrap();
        assert_eq!(sent.offset, end + number);
    }
    topic.flush(LONG).unwrap();
    assert_eq!(topic.durable_end(0).unwrap(), end + 5);
}
