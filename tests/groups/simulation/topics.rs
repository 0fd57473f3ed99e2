//! What happens to topics: records, added partitions, deletion, the end.

use super::{MAX_PARTITIONS, Simulation};
use ringlog::{Assignor, Record, SendError};

/// The timestamp of the record at this offset.
pub(super) fn time_of(offset: u64) -> i64 {
    2 * offset as i64
}

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(super) fn send(&mut self, at: u8, records: u8) {
        let count = self.topics.len();
        let (topic, producer) = &mut self.topics[usize::from(at) % count];
        let partition = u32::from(at) / 2 % topic.partitions();
        for _ in 0..records {
            let end = topic.log_end_offset(partition).unwrap();
            let value = end.to_ne_bytes();
            let record = Record::new(&value).partition(partition);
            match producer.try_send(record.timestamp(time_of(end))) {
                Ok(sent) => assert_eq!(sent.offset, end),
                Err(SendError::Full { .. }) => return,
                Err(SendError::Closed { .. }) => return assert!(topic.is_closed()),
                Err(other) => panic!("{other}"),
            }
            assert!(!topic.is_closed());
        }
    }

    pub(super) fn delete_records(&mut self, at: u8, to: u8) {
        let topic = &self.topics[usize::from(at) % self.topics.len()].0;
        let partition = u32::from(at) / 2 % topic.partitions();
        let at = (topic.name().to_owned(), partition);
        let (start, end) = self.bounds(&at);
        let to = start + u64::from(to) % (end - start + 1);
        assert_eq!(self.topic(&at.0).delete_records(partition, to), Ok(to));
        self.deleted.insert(at, to);
        self.disturbances += 1;
    }

    pub(super) fn add_partition(&mut self, topic: usize) {
        let topic = &self.topics[topic % self.topics.len()].0;
        let total = topic.partitions() + 1;
        if total <= MAX_PARTITIONS {
            let answer = topic.add_partitions(total);
            assert_eq!(answer.is_ok(), !topic.is_closed(), "{answer:?}");
            self.last_assignment.lock().unwrap().settled = false;
        }
    }

    pub(super) fn close(&mut self, topic: usize) {
        self.topics[topic % self.topics.len()].0.close();
    }
}
