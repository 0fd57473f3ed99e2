//! The threads that are not stopped: two producers and a reader, run by one thread in turn.

use crate::common::*;
use ringlog_loom::ordering_sites::trace;
use ringlog_loom::{Broker, Consumer, Producer, Record, SendError, Topic};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Five laps of a ring of two segments of two records.
pub(super) const SENDS: u64 = 20;

/// The other threads take fewer steps than this, unless one of them waits.
pub(super) const MOST_STEPS: usize = 10_000;

/// All handles but the stopped thread's, and what their threads know of the log.
pub(super) struct Others {
    /// None beside an exclusive producer.
    producers: Vec<Producer>,
    reader: Consumer,
    topic: Topic,
    pub(super) log: Rc<RefCell<Log>>,
}

/// What was sent, by all threads.
#[derive(Default)]
pub(super) struct Log {
    /// The number sent to each offset.
    pub(super) sent: BTreeMap<u64, u64>,
    next: u64,
    /// The offsets that the stopped thread claimed.
    pub(super) claimed: BTreeSet<u64>,
}

impl Log {
    /// A number that was not used yet.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What the other threads achieved while one was stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    /// The successful sends of [`SENDS`]. The rest found the ring full.
    pub(super) sent: u64,
    /// Whether the reader reached the end of the log.
    pub(super) read_all: bool,
    /// The first offset that was claimed and not published.
    pub(super) gap: Option<u64>,
    /// Records that the reader counted as lost.
    pub(super) lost: u64,
}

impl Others {
    pub(super) fn new(
        broker: &Broker,
        topic: &Topic,
        producers: usize,
        log: &Rc<RefCell<Log>>,
    ) -> Others {
        Others {
            producers: (0..producers).map(|_| producer(topic)).collect(),
            reader: reader(broker),
            topic: topic.clone(),
            log: log.clone(),
        }
    }

    /// Tries to send one record, and returns whether there was room.
    pub(super) fn send(&mut self, turn: u64) -> bool {
        let n = self.log.borrow_mut().number();
        let producers = self.producers.len();
        let producer = &mut self.producers[turn as usize % producers];
        match producer.try_send(Record::new(&value(n))) {
            Ok(sent) => {
                let before = self.log.borrow_mut().sent.insert(sent.offset, n);
                assert_eq!(before, None, "an offset was given out twice");
                true
            }
            Err(SendError::Full { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    /// Reads all available records, and asserts that each is the one sent. Returns how many were
    /// lost.
    pub(super) fn read(&mut self) -> u64 {
        let mut next = self.reader.position(("t", 0)).unwrap();
        let mut all_lost = 0;
        loop {
            let batch = self.reader.try_poll().unwrap();
            if batch.is_empty() {
                return all_lost;
            }
            // A reader that keeps up loses only records that follow an unpublished claim.
            assert!(batch.lost() == 0 || !self.log.borrow().sent.contains_key(&next));
            next += batch.lost();
            all_lost += batch.lost();
            for record in &batch {
                // Only an aborted claim leaves an offset without a record.
                let missing =
                    (next..record.offset()).filter(|o| self.log.borrow().sent.contains_key(o));
                assert_eq!(missing.count(), 0);
                if let Some(&n) = self.log.borrow().sent.get(&record.offset()) {
                    assert_eq!(number(record.value_bytes()), n);
                }
                next = record.offset() + 1;
            }
        }
    }

    fn sends(&self) -> u64 {
        if self.producers.is_empty() { 0 } else { SENDS }
    }

    /// Sends and reads for five laps of the ring.
    pub(super) fn proceed(&mut self) -> Outcome {
        let (outcome, _) = trace(MOST_STEPS, || {
            let (mut sent, mut lost) = (0, self.read());
            for turn in 0..self.sends() {
                sent += u64::from(self.send(turn));
                lost += self.read();
            }
            let position = self.reader.position(("t", 0)).unwrap();
            let end = self.topic.log_end_offset(0).unwrap();
            Outcome {
                sent,
                read_all: position == end,
                gap: (position < end).then_some(position),
                lost,
            }
        });
        outcome
    }

    /// Asserts that all threads proceed for five laps after the stopped one has finished, and that
    /// no segment is lost.
    pub(super) fn assert_all_proceed(&mut self) {
        self.read();
        let outcome = self.proceed();
        assert_eq!(
            (outcome.sent, outcome.read_all, outcome.lost),
            (self.sends(), true, 0)
        );
        self.topic.assert_no_segment_is_lost();
    }
}
