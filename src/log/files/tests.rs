//! Tests of a partition's files over the model disk: round trips, damage, crashes, power cuts.

mod chunks;
mod crafted;
mod damage;
mod failures;
mod golden;
mod hazards;
mod power;
mod removal;
mod system;
mod writing;

use super::*;
use crate::disk::model::ModelDisk;
use crate::log::segment::RecordRun;
use crate::log::segment::StoredRecords;
use core::ops::Range;
use std::path::Path;

const DIR: &str = "/t/p00000";

fn name() -> PartitionName {
    PartitionName {
        topic: "orders".into(),
        topic_id: [7; 16],
        partition: 3,
    }
}

fn options(file_bytes: u64) -> FileOptions {
    FileOptions {
        file_bytes,
        faults: Arc::default(),
    }
}

fn create(disk: &ModelDisk, file_bytes: u64) -> Arc<PartitionFiles> {
    // The topic's directory is durable before.
    disk.create_dir(Path::new("/t")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let disk = Arc::new(disk.clone());
    let files = PartitionFiles::create(disk, DIR.into(), name(), options(file_bytes), 0);
    Arc::new(files.unwrap())
}

fn recover(disk: &ModelDisk, file_bytes: u64) -> (Arc<PartitionFiles>, Recovery) {
    try_recover(disk, file_bytes).unwrap()
}

fn try_recover(
    disk: &ModelDisk,
    file_bytes: u64,
) -> Result<(Arc<PartitionFiles>, Recovery), StorageError> {
    let disk = Arc::new(disk.clone());
    let recovered = PartitionFiles::recover(disk, DIR.into(), name(), options(file_bytes))?;
    Ok((Arc::new(recovered.0), recovered.1))
}

/// The value of the record at `offset`: its length and its bytes depend on the offset, and on
/// `life`, so that a record of another life is recognised.
fn value(offset: u64, life: u64) -> Vec<u8> {
    let length = (offset * 7 + life) % 50;
    (0..length)
        .map(|i| (offset + i + life * 31) as u8)
        .collect()
}

/// A descriptor of a record of `length` bytes with a time, at byte `at`.
fn descriptor(at: usize, length: usize) -> u64 {
    8 << 60 | (length as u64) << 28 | at as u64
}

/// Fills in a chunk of the records `offsets`; the time of each is its offset.
fn fill_with(buffer: &mut ChunkBuffer, offsets: Range<u64>, value: impl Fn(u64) -> Vec<u8>) {
    let (mut words, mut bytes) = (Vec::new(), Vec::new());
    for offset in offsets.clone() {
        let value = value(offset);
        words.push(descriptor(bytes.len(), value.len()));
        bytes.extend_from_slice(&value);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(&(offset as i64).to_le_bytes());
    }
    let slots = (offsets.end - offsets.start) as u32;
    let (descriptors, data) = buffer.begin(offsets.start, slots, bytes.len());
    descriptors.copy_from_slice(&words);
    data.copy_from_slice(&bytes);
    buffer.set_latest_time(offsets.end as i64 - 1);
}

fn fill(buffer: &mut ChunkBuffer, offsets: Range<u64>, life: u64) {
    fill_with(buffer, offsets, |offset| value(offset, life));
}

/// Appends the next `count` records as one chunk.
fn append(files: &PartitionFiles, count: u64, life: u64) -> Result<(), StorageError> {
    let mut buffer = ChunkBuffer::new();
    let first = files.written_end();
    fill(&mut buffer, first..first + count, life);
    files.append(&mut buffer)
}

fn sync(files: &Arc<PartitionFiles>) -> Result<(), StorageError> {
    match files.begin_sync() {
        Some(job) => job.run().map(|_| ()),
        None => Ok(()),
    }
}

/// The records of a chunk: offsets, times and values.
fn records(chunk: &Chunk) -> Vec<(u64, i64, Vec<u8>)> {
    let segment = chunk.segment();
    let run = RecordRun {
        base: chunk.first_offset(),
        records: segment.shape().records,
        singles: true,
        ..RecordRun::default()
    };
    let records = StoredRecords::new(&run, &segment);
    let copy = records.map(|record| {
        let value = record.value_bytes().to_vec();
        (record.offset, record.timestamp().unwrap(), value)
    });
    copy.collect()
}

/// What is read from the files' start to their end.
#[derive(Debug, Default, PartialEq)]
struct ReadBack {
    records: Vec<(u64, Vec<u8>)>,
    gaps: Vec<Range<u64>>,
    damaged: Vec<Range<u64>>,
}

fn read_all(files: &PartitionFiles) -> ReadBack {
    let mut back = ReadBack::default();
    let mut at = files.start();
    while at < files.written_end() {
        match files.read(at) {
            Found::Chunk(chunk) => {
                assert!((chunk.first_offset()..chunk.end()).contains(&at));
                let all = records(&chunk).into_iter();
                for (offset, time, value) in all.filter(|&(offset, ..)| offset >= at) {
                    assert_eq!(time, offset as i64);
                    back.records.push((offset, value));
                }
                at = chunk.end();
            }
            Found::Gap { next } => {
                assert!(next > at);
                back.gaps.push(at..next);
                at = next;
            }
            Found::Damaged { next, fault } => {
                if std::env::var("RINGLOG_SEED").is_ok() {
                    eprintln!("{fault}");
                }
                assert!(next > at);
                back.damaged.push(at..next);
                at = next;
            }
            Found::Unreadable { fault } => panic!("offset {at}: {fault}"),
            Found::Outside => panic!("offset {at} is outside"),
        }
    }
    back
}

/// Asserts that the files have the records `offsets` of this life, and nothing else.
#[track_caller]
fn assert_has(files: &PartitionFiles, offsets: Range<u64>, life: u64) {
    let expected = offsets.clone().map(|offset| (offset, value(offset, life)));
    let back = read_all(files);
    assert_eq!(
        (files.start(), files.written_end()),
        (offsets.start, offsets.end)
    );
    assert_eq!(back.records, expected.collect::<Vec<_>>());
    assert_eq!((back.gaps, back.damaged), (vec![], vec![]));
}

fn files_in(disk: &ModelDisk) -> Vec<PathBuf> {
    let paths = disk.paths().into_iter();
    let is_file = |path: &PathBuf| path.extension().is_some_and(|e| e == "rl");
    paths
        .filter(|path| path.starts_with(Path::new(DIR)) && is_file(path))
        .collect()
}
