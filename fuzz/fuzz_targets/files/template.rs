//! Files that the library has written, which the inputs change.

use crate::layout::{self, Repair, SEAL_AT, put_number};
use ringlog::{
    Broker, Destination, Flush, ManualClock, Record, Storage, Timestamps, Topic, TopicConfig,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long beside everything that is waited for.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// The id of the topic, whose directory is named by it.
pub(crate) const TOPIC_ID: [u8; 16] = [7; 16];
pub(crate) const TOPIC_DIR: &str = "topics/t-07070707070707070707070707070707";

/// The files of a storage with a topic of one partition.
#[derive(Clone)]
pub(crate) struct Files {
    /// The topic's record.
    pub(crate) topic: Option<Vec<u8>>,
    /// The files of its partition, by name.
    pub(crate) partition: BTreeMap<String, Vec<u8>>,
}

/// A directory of this process in memory, if the system has one.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let root = match memory.is_dir() {
        true => memory.to_owned(),
        false => std::env::temp_dir(),
    };
    root.join(format!("ringlog-fuzz-{}-{name}", std::process::id()))
}

impl Files {
    /// Some sealed files and an open one, of frames of all kinds, the same ones each time: ids and
    /// times are replaced.
    pub(crate) fn written() -> Files {
        let dir = scratch("template");
        let _ = std::fs::remove_dir_all(&dir);
        let config = Storage::dir(&dir).file_bytes(64 << 10).flush(Flush::Manual);
        let (broker, _) = Broker::open(config).unwrap();
        let config = TopicConfig::new()
            .segments(4)
            .segment_records(64)
            .segment_bytes(64 << 10)
            .timestamps(Timestamps::Given)
            .clock(ManualClock::new(5000));
        let topic = broker.create_topic("t", config).unwrap();
        for round in 0..30 {
            send(&topic, round);
            let end = topic.log_end_offset(0).unwrap();
            while topic.written_end(0).unwrap() < end {
                std::thread::yield_now();
            }
            if round % 3 != 1 {
                topic.flush(LONG).unwrap();
            }
        }
        drop((topic, broker));
        let files = Files::read(&dir);
        std::fs::remove_dir_all(&dir).unwrap();
        files
    }

    fn read(dir: &Path) -> Files {
        let topic = std::fs::read_dir(dir.join("topics")).unwrap().next();
        let topic = topic.unwrap().unwrap().path();
        let mut partition = BTreeMap::new();
        let entries = std::fs::read_dir(topic.join("p00000")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut bytes = std::fs::read(path).unwrap();
            // Room that was reserved.
            let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
            bytes.truncate(used.next_multiple_of(layout::PAGE));
            bytes[16..32].copy_from_slice(&TOPIC_ID);
            put_number(&mut bytes, 48, 8, 1_700_000_000_000);
            put_number(
                &mut bytes,
                56,
                8,
                0x0101_0101 * (partition.len() as u64 + 1),
            );
            if layout::is_sealed(&bytes) {
                put_number(&mut bytes, SEAL_AT + 40, 8, 1_700_000_000_000);
            }
            Repair::ALL.apply(&mut bytes);
            partition.insert(name, bytes);
        }
        let lines = std::fs::read_to_string(topic.join("topic")).unwrap();
        let mut out = String::new();
        for line in lines.lines().filter(|line| !line.starts_with("crc32c ")) {
            out += match line.starts_with("id ") {
                true => "id 07070707070707070707070707070707",
                false => line,
            };
            out += "\n";
        }
        Files {
            topic: Some(layout::checked_lines(&out)),
            partition,
        }
    }

    pub(crate) fn write(&self, dir: &Path) {
        let topic = dir.join(TOPIC_DIR);
        let partition = topic.join("p00000");
        std::fs::create_dir_all(&partition).unwrap();
        if let Some(bytes) = &self.topic {
            std::fs::write(topic.join("topic"), bytes).unwrap();
        }
        for (name, bytes) in &self.partition {
            std::fs::write(partition.join(name), bytes).unwrap();
        }
    }
}

/// Sends some records, which are published at once: so they are one chunk.
fn send(topic: &Topic, round: i64) {
    let (mut first, mut producer) = (topic.producer(), topic.producer());
    let time = 1000 + round * 10;
    let claim = first.claim(Destination::Partition(0), None, 11).unwrap();
    let text = round.to_string();
    match round % 5 {
        0 => {
            let record = Record::new(text.as_bytes()).key(b"key").timestamp(time);
            producer.send(record).unwrap();
            producer.send(Record::tombstone(b"key")).unwrap();
        }
        1 => {
            let numbers = [round as u64; 7];
            producer
                .send_values(Destination::Partition(0), &numbers)
                .unwrap();
        }
        2 => {
            let headers = [ringlog::Header::new("name", b"value")];
            let records = [
                Record::new(text.as_bytes()).headers(&headers),
                Record::new(b"").timestamp(time),
                Record::new(&[7; 33]).key(b""),
            ];
            producer.send_batch(&records).unwrap();
        }
        3 => {
            let large = vec![round as u8; 9000];
            producer.send(Record::new(&large).timestamp(time)).unwrap();
        }
        _ => {
            producer.send(Record::new(b"one")).unwrap();
        }
    }
    match round % 4 {
        0 => drop(claim),
        _ => {
            let mut claim = claim;
            claim.copy_from_slice(b"was claimed");
            claim.publish();
        }
    }
}
