//! kill -9: a child process that sends, and is killed at any moment.
//!
//! The child writes what was acknowledged to it into a file of its own: for each producer, the
//! offset before which everything was written, or durable. The parent opens the directory again and
//! finds all of that, in order and whole. `RINGLOG_KILLS` says how many rounds are run.

use super::*;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

/// Rounds that take a few seconds.
const KILLS: u64 = 40;

const PARTITIONS: u32 = 3;

/// The environment variable by which the child knows what to do.
const CHILD: &str = "RINGLOG_CRASH_CHILD";

/// What a record of a partition at an offset holds.
fn value(partition: u32, offset: u64) -> Vec<u8> {
    let length = (offset * 13 + u64::from(partition)) % 90;
    let byte = |i| (offset * 31 + i * 7 + u64::from(partition)) as u8;
    (0..length).map(byte).collect()
}

fn config() -> TopicConfig {
    TopicConfig::new()
        .partitions(PARTITIONS)
        .segments(3)
        .segment_records(64)
        .segment_bytes(8192)
}

/// The child: a producer for each partition, until it is killed.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else {
        return; // not a child
    };
    let dir = Path::new(&dir);
    let (broker, _) = open_small(&dir.join("data"));
    let topic = broker.get_or_create_topic("t", config()).unwrap();
    let acknowledged = OpenOptions::new()
        .write(true)
        .open(dir.join("acknowledged"));
    let acknowledged = acknowledged.unwrap();
    std::thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let (topic, acknowledged) = (&topic, &acknowledged);
            scope.spawn(move || produce(topic, partition, acknowledged));
        }
    });
}

fn produce(topic: &Topic, partition: u32, acknowledged: &File) {
    let mut producer = topic.producer();
    let at = u64::from(partition) * 16;
    loop {
        let offset = topic.log_end_offset(partition).unwrap();
        let value = value(partition, offset);
        let sent = producer
            .send(Record::new(&value).partition(partition))
            .unwrap();
        assert_eq!(sent.offset, offset);
        // What is written survives this kill; what is durable would survive a power cut too.
        let written = topic.written_end(partition).unwrap();
        acknowledged.write_at(&written.to_le_bytes(), at).unwrap();
        if offset % 97 == 0 {
            topic.wait_durable(partition, offset + 1, LONG).unwrap();
            let durable = topic.durable_end(partition).unwrap();
            acknowledged
                .write_at(&durable.to_le_bytes(), at + 8)
                .unwrap();
        }
    }
}

fn acknowledged(file: &File, at: u64) -> u64 {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, at).unwrap();
    u64::from_le_bytes(word)
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let kills = std::env::var("RINGLOG_KILLS")
        .ok()
        .and_then(|n| n.parse().ok());
    let dir = dir();
    let path = dir.path().join("acknowledged");
    File::create(&path)
        .unwrap()
        .write_all(&[0; 16 * PARTITIONS as usize])
        .unwrap();
    let mut random = 1u64;
    for round in 0..kills.unwrap_or(KILLS) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::child", "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_micros((random >> 33) % 30_000));
        child.kill().unwrap();
        child.wait().unwrap();

        let acknowledged_file = File::open(&path).unwrap();
        let (broker, report) = open_small(&dir.path().join("data"));
        assert!(!report.has_damage(), "round {round}: {report:?}");
        let Ok(topic) = broker.topic("t") else {
            continue; // killed before it had made the topic
        };
        let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
        for partition in 0..PARTITIONS {
            let end = topic.log_end_offset(partition).unwrap();
            for at in [0, 8] {
                let wanted = acknowledged(&acknowledged_file, u64::from(partition) * 16 + at);
                assert!(
                    end >= wanted,
                    "round {round}: {end} of {wanted} acknowledged"
                );
            }
            // All of it, whole: the last records at least of each round.
            consumer.assign([("t", partition)]).unwrap();
            let start = if round % 10 == 0 {
                0
            } else {
                end.saturating_sub(2000)
            };
            consumer.seek(("t", partition), start).unwrap();
            let mut next = start;
            while next < end {
                let batch = consumer.poll(LONG).unwrap();
                assert_eq!(batch.lost(), 0);
                for record in &batch {
                    assert_eq!(record.offset(), next);
                    assert_eq!(record.value_bytes(), value(partition, next));
                    next += 1;
                }
            }
        }
    }
}
