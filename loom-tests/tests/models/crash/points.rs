//! Crash points: what a crash would leave, found and checked before each step of each thread.
//!
//! What a crash leaves changes only with the disk's operations, each of which is a step. Loom runs
//! steps that do not depend on each other in one order only. So of a producer's step and an operation
//! of the disk it may try one order. That is enough for what is left, which depends only on the steps
//! that come before the operation in every order. Where what a producer has done is compared with the
//! files, it first takes a step that depends on the disk's operations ([`Files::step`]).

use crate::common::*;
use ringlog_loom::modelled_storage::{Copier, Files, ModelledStorage, Recovered};
use ringlog_loom::ordering_sites::{Step, When, report_each};
use ringlog_loom::{
    Broker, Destination, Overflow, Producer, Record, SendError, Topic, TopicConfig,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// Power cuts that are tried where the disk has changed. What one leaves of what was not synced is
/// chosen by its seed.
const CUTS: u64 = 2;

/// A durable topic of one partition, whose threads are watched. A clone is the same topic.
#[derive(Clone)]
pub(super) struct Watched(Rc<RefCell<State>>);

/// What one execution has done so far.
struct State {
    files: Files,
    overflow: Overflow,
    /// Records of a segment. The ring has two.
    per_segment: u64,
    /// The records of the sends that have begun.
    begun: u64,
    /// The numbers that are published.
    published: BTreeSet<u64>,
    /// The offsets of claims that were given up.
    aborted: BTreeSet<u64>,
    /// The number at each offset, by the sends that have returned.
    sent: BTreeMap<u64, u64>,
    /// The same, by what crashes have left.
    found: BTreeMap<u64, u64>,
    /// The disk's operations when these two were found.
    operations: u64,
    /// The end after a crash of the process.
    killed: u64,
    /// The lowest end after a power cut.
    cut: u64,
    points: Outcomes<Point>,
    last: Option<Point>,
}

/// What a crash leaves at one moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Point {
    /// How many records were published.
    pub(super) published: u64,
    /// How many offsets survive a crash of the process.
    pub(super) killed: u64,
    /// How many survive any power cut that was tried.
    pub(super) cut: u64,
}

/// Describes a crash point.
pub(super) fn point((published, killed, cut): (u64, u64, u64)) -> Point {
    Point {
        published,
        killed,
        cut,
    }
}

/// The topic "t" of a storage, and its copier.
pub(super) struct Durable {
    _broker: Broker,
    pub(super) topic: Topic,
    pub(super) copier: Copier,
    pub(super) files: Files,
    pub(super) watched: Watched,
}

impl Durable {
    /// `config` has two segments of `per_segment` records; files are full after about
    /// `file_bytes`. The record 0 has been sent and is durable.
    pub(super) fn new(
        config: TopicConfig,
        overflow: Overflow,
        per_segment: u64,
        file_bytes: u64,
        points: &Outcomes<Point>,
    ) -> Durable {
        let modelled = ModelledStorage::new(file_bytes);
        let (broker, topic) = topic(config.overflow(overflow).storage(modelled.storage()));
        let (copier, files) = modelled.copier();
        let watched = Watched(Rc::new(RefCell::new(State {
            files: files.clone(),
            overflow,
            per_segment,
            begun: 0,
            published: BTreeSet::new(),
            aborted: BTreeSet::new(),
            sent: BTreeMap::new(),
            found: BTreeMap::new(),
            operations: u64::MAX,
            killed: 0,
            cut: 0,
            points: points.clone(),
            last: None,
        })));
        let mut durable = Durable {
            _broker: broker,
            topic,
            copier,
            files,
            watched,
        };
        let mut first = durable.producer();
        assert!(durable.watched.send_unwatched(&mut first, 0));
        durable.copy_all();
        durable
    }

    /// A producer, as [`producer`](crate::common::producer).
    pub(super) fn producer(&self) -> Producer {
        producer(&self.topic)
    }

    /// Copies and syncs what is left, when no other thread runs any more. Returns the records, and
    /// the gaps: all else that was sent is there.
    pub(super) fn finish(mut self) -> (Vec<(u64, u64)>, Vec<Range<u64>>) {
        self.copy_all();
        self.watched.clone().0.borrow_mut().finished()
    }

    /// Copies and syncs all that is published, without crash points.
    pub(super) fn copy_all(&mut self) {
        while self.copier.copy() != Some(0) {}
        self.copier.begin_sync().map(|sync| sync.run());
    }
}

impl Watched {
    /// Runs a part of a thread's work. Before each of its steps the crash points are checked.
    pub(super) fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        let state = self.0.clone();
        let result = report_each(move |_, _| state.borrow_mut().check(), work);
        self.0.borrow_mut().check();
        result
    }

    /// Before what was sent is compared with the files.
    fn step(&self) {
        let files = self.0.borrow().files.clone();
        files.step();
    }

    /// The same for a send of these numbers as one frame.
    fn publish<R>(&self, numbers: Range<u64>, work: impl FnOnce() -> R) -> R {
        self.0.borrow_mut().begun += numbers.end - numbers.start;
        let state = self.0.clone();
        let each = move |step: &Step, when| {
            let mut state = state.borrow_mut();
            if when == When::Stored && step.site == Some("segment.publish") {
                state.published.extend(numbers.clone());
            }
            state.check();
        };
        let result = report_each(each, work);
        self.0.borrow_mut().check();
        result
    }

    /// Tries to send a number as a record. `false` if the ring is full.
    pub(super) fn send(&self, producer: &mut Producer, n: u64) -> bool {
        let sent = self.publish(n..n + 1, || producer.try_send(Record::new(&value(n))));
        self.step();
        self.sent(n..n + 1, sent.map(|sent| sent.offset))
    }

    /// Tries to send these numbers as one batch, which is one frame.
    pub(super) fn send_batch(&self, producer: &mut Producer, numbers: Range<u64>) -> bool {
        let values: Vec<_> = numbers.clone().map(value).collect();
        let sent = self.publish(numbers.clone(), || {
            producer.try_send_values(Destination::Any, &values)
        });
        self.step();
        self.sent(numbers, sent.map(|sent| sent.base_offset))
    }

    /// The same as [`send`](Self::send), without crash points: for a thread that is stopped.
    pub(super) fn send_unwatched(&self, producer: &mut Producer, n: u64) -> bool {
        {
            let mut state = self.0.borrow_mut();
            state.begun += 1;
            state.published.insert(n);
        }
        let sent = producer.try_send(Record::new(&value(n)));
        self.sent(n..n + 1, sent.map(|sent| sent.offset))
    }

    fn sent(&self, numbers: Range<u64>, first: Result<u64, SendError>) -> bool {
        let state = &mut *self.0.borrow_mut();
        match first {
            Ok(first) => {
                for (offset, n) in (first..).zip(numbers) {
                    let before = state.sent.insert(offset, n);
                    assert_eq!(before, None, "an offset was given out twice");
                    state.assert_copied_before_overwritten(offset);
                }
                true
            }
            Err(SendError::Full { .. }) => {
                state.begun -= numbers.end - numbers.start;
                false
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Copies what is published. `None` if the disk is full.
    pub(super) fn copy(&self, copier: &mut Copier) -> Option<usize> {
        self.run(|| copier.copy())
    }

    /// Syncs what was appended. Returns the durable end, if there was something.
    pub(super) fn sync(&self, copier: &Copier) -> Option<u64> {
        self.run(|| copier.begin_sync().map(|sync| sync.run()))
    }

    /// A claim at this offset was given up, or is about to be.
    pub(super) fn aborted(&self, offset: u64) {
        let mut state = self.0.borrow_mut();
        state.begun += 1;
        state.aborted.insert(offset);
    }

    /// The offset after the last record of a send that has returned, when only one has not.
    pub(super) fn sent_end(&self) -> u64 {
        let state = self.0.borrow();
        state.sent.last_key_value().map_or(0, |(last, _)| last + 1)
    }
}

impl State {
    /// Stops all threads at this moment: what is recovered then?
    fn check(&mut self) {
        let operations = self.files.operations();
        if self.operations != operations {
            self.operations = operations;
            let killed = self.files.after_kill();
            self.judge(&killed);
            self.killed = killed.end;
            self.cut = killed.end;
            for seed in 0..CUTS {
                let cut = self.files.after_power_cut(operations * CUTS + seed);
                self.judge(&cut);
                self.cut = self.cut.min(cut.end);
            }
        }
        // Any thread may have seen these ends.
        let (written, durable) = (self.files.written_end(), self.files.durable_end());
        assert!(self.killed >= written, "{} of {written}", self.killed);
        assert!(self.cut >= durable, "{} of {durable}", self.cut);
        let point = point((self.published.len() as u64, self.killed, self.cut));
        if self.last != Some(point) {
            self.last = Some(point);
            self.points.add(point);
        }
    }

    /// Nothing was left that was not published, and nothing is missing between.
    fn judge(&mut self, left: &Recovered) {
        let in_gap = |offset: &u64| left.gaps.iter().any(|gap| gap.contains(offset));
        let mut records = left.records.iter();
        let is_left = |offset: &u64| !in_gap(offset) && !self.aborted.contains(offset);
        for offset in (0..left.end).filter(is_left) {
            let record = records.next();
            assert_eq!(record.map(|record| record.0), Some(offset), "{left:?}");
        }
        assert_eq!(records.next(), None, "{left:?}");
        for (offset, value) in &left.records {
            let n = number(value);
            assert!(self.published.contains(&n), "{n} was not published");
            let before = *self.found.entry(*offset).or_insert(n);
            assert_eq!(before, n, "offset {offset} has changed");
            let sent = self.sent.get(offset);
            assert!(
                sent.is_none_or(|&sent| sent == n),
                "{n} instead of {sent:?}"
            );
        }
        for gap in &left.gaps {
            assert_eq!(self.overflow, Overflow::DropOldest, "{left:?}");
            // The last of its segments was retired: a segment follows it, and another is claimed.
            assert!(self.begun > gap.end + self.per_segment, "{left:?}");
        }
    }

    /// Under `Backpressure` a claim at `offset` was made only after what it overwrites was written.
    fn assert_copied_before_overwritten(&self, offset: u64) {
        if self.overflow == Overflow::Backpressure {
            let overwritten = (offset / self.per_segment).saturating_sub(1) * self.per_segment;
            let written = self.files.written_end();
            assert!(written >= overwritten, "{written} of {overwritten}");
        }
    }

    fn finished(&mut self) -> (Vec<(u64, u64)>, Vec<Range<u64>>) {
        self.check();
        let left = self.files.after_power_cut(0);
        let numbers = left.records.iter();
        let records: Vec<_> = numbers.map(|(offset, v)| (*offset, number(v))).collect();
        let in_gap = |offset: &u64| left.gaps.iter().any(|gap| gap.contains(offset));
        let sent = self.sent.iter().map(|(&offset, &n)| (offset, n));
        let sent: Vec<_> = sent.filter(|(offset, _)| !in_gap(offset)).collect();
        assert_eq!(records, sent);
        let ends = [left.end, self.killed, self.cut, self.files.durable_end()];
        assert_eq!(ends, [self.begun; 4]);
        (records, left.gaps)
    }
}
