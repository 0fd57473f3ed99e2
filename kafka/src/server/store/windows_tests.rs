use super::*;
use crate::server::sequences::Verdict;
use ringlog::{Flush, Record, Storage, TopicConfig};
use std::path::Path;

/// Batch number `number` of producer 7, of one record.
fn numbered(number: i32) -> Producer {
    Producer {
        id: 7,
        epoch: 0,
        base_sequence: number,
    }
}

/// A partition, and the producers that write to it.
struct Partition {
    window: Window,
    sequences: Sequences,
}

impl Partition {
    /// One in a new directory, where nothing is synced before that is asked for.
    fn new(dir: &Path, store: &Arc<Store>) -> Partition {
        let (broker, _) = Broker::open(Storage::dir(dir).flush(Flush::Manual)).unwrap();
        let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
        let id = Uuid::from_u128(1);
        let window = Window::new(store.clone(), broker, topic, id, 0);
        Partition {
            window,
            sequences: Sequences::default(),
        }
    }

    fn load(&mut self) {
        self.sequences = self.window.load().unwrap();
    }

    fn append(&mut self, numbers: std::ops::Range<i32>) {
        for number in numbers {
            let producer = numbered(number);
            let note = Note {
                producer,
                timestamp: -1,
                is_append_time: false,
            };
            let mut sends = self.window.topic.producer();
            let sent = sends.send_frame(0, &[Record::new("a")], &note.to_words());
            let appended = Appended {
                base_offset: sent.unwrap().base_offset,
                log_append_time: -1,
            };
            self.sequences.record(producer, 1, -1, appended);
        }
    }

    fn sync(&self) {
        self.window.topic.flush(SYNC_LIMIT).unwrap();
    }

    /// As the upkeep does. Returns whether all is stored.
    fn save(&mut self) -> bool {
        if self.window.save_seen().unwrap() {
            self.window.see(&mut self.sequences);
        }
        self.window.save_seen().unwrap()
    }

    fn check(&self, number: i32) -> Verdict {
        self.sequences.check(numbered(number), 1)
    }
}

#[test]
fn producers_are_stored_with_all_batches_before_where_the_log_is_read_again() {
    let (dir, cut, stored) = (tempdir(), tempdir(), tempdir());
    let store = Arc::new(Store::open(stored.path()).unwrap());
    let mut partition = Partition::new(dir.path(), &store);
    partition.load();
    partition.append(0..5);
    partition.sync();
    assert!(partition.save());
    // Five batches that are durable, and that are remembered no more when the producer is stored.
    partition.append(5..10);
    partition.sync();
    partition.append(10..15);
    assert!(!partition.save());

    // The log as a power cut leaves it: without the last five.
    let mut before = Partition::new(cut.path(), &store);
    before.append(0..10);
    before.load();
    assert_eq!(before.check(10), Verdict::Append);

    partition.sync();
    assert!(partition.save());
    partition.load();
    assert_eq!(partition.check(15), Verdict::Append);
    assert!(matches!(partition.check(11), Verdict::Duplicate(_)));
}

#[test]
fn offsets_that_were_given_up_at_the_end_of_the_log_are_passed() {
    let (dir, stored) = (tempdir(), tempdir());
    let store = Arc::new(Store::open(stored.path()).unwrap());
    let mut partition = Partition::new(dir.path(), &store);
    partition.load();
    partition.append(0..2);
    partition.sync();
    assert!(partition.save());
    let mut producer = partition.window.topic.producer();
    drop(producer.claim(ringlog::Destination::Any, None, 5).unwrap());
    partition.load();
    assert_eq!(partition.check(2), Verdict::Append);
    let expected = Verdict::OutOfOrder { expected: 2 };
    assert_eq!(partition.check(3), expected);
    // They are durable, too.
    partition.sync();
    assert!(partition.save());
}

fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
