//! The reference of a consumer: its partitions, its positions, and what a poll must return.

use super::reference::{Partition, StoredRecord};
use super::run::TOPIC;
use ringlog::{ConsumeError, OffsetReset};
use std::rc::Rc;

/// A consumer's position in one partition, and what it holds back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) partition: usize,
    pub(crate) position: u64,
    /// `position` is the target of a seek: the next poll moves there.
    seeking: bool,
    /// The target was retained at the seek, so it counts as lost if it is overwritten.
    was_in_range: bool,
    /// It has no position yet (`OffsetReset::None`).
    unset: bool,
    pub(crate) paused: bool,
    /// The last position that was in range: it holds producers back.
    pub(crate) gate: u64,
    lost: u64,
}

/// What a poll must return.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The index of the cursor that it is read from.
    pub(crate) cursor: usize,
    pub(crate) partition: usize,
    pub(crate) records: Vec<(u64, StoredRecord)>,
    pub(crate) lost: u64,
}

#[derive(Debug)]
pub(crate) struct Reader {
    /// In the order in which they are polled.
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) reset: OffsetReset,
    /// The call that assigned its partitions, if it has any.
    pub(crate) assigned_by: Option<&'static str>,
    /// The last state of its topic, if that was deleted.
    pub(crate) deleted_log: Option<Rc<Vec<Partition>>>,
    next: usize,
    /// Added partitions, which its next poll takes in.
    pub(crate) added: Vec<Cursor>,
    /// A wakeup ends its next poll at once.
    pub(crate) woken: bool,
}

impl Reader {
    pub(crate) fn new(reset: OffsetReset) -> Reader {
        Reader {
            cursors: Vec::new(),
            reset,
            assigned_by: None,
            deleted_log: None,
            next: 0,
            added: Vec::new(),
            woken: false,
        }
    }

    /// Reads these partitions of `log` from now on, and keeps its positions in those it already
    /// reads.
    pub(crate) fn assign(&mut self, by: &'static str, partitions: &[usize], log: &[Partition]) {
        self.take_added(log);
        let mut old = std::mem::take(&mut self.cursors);
        if self.deleted_log.take().is_some() {
            old.clear();
        }
        for &partition in partitions {
            if self.cursor(partition).is_some() {
                continue; // named twice
            }
            let kept = old.iter().find(|cursor| cursor.partition == partition);
            let cursor = kept.copied().unwrap_or_else(|| {
                let log = &log[partition];
                Cursor::at(partition, self.reset, log.start(), log.end())
            });
            self.cursors.push(cursor);
        }
        self.assigned_by = (!self.cursors.is_empty()).then_some(by);
        self.next = 0;
    }

    /// A partition was added: a subscriber reads it from its start.
    pub(crate) fn added(&mut self, partition: usize, log: &[Partition]) {
        if self.assigned_by == Some("subscribe") && self.deleted_log.is_none() {
            let start = log[partition].start();
            let cursor = Cursor::at(partition, OffsetReset::Earliest, start, start);
            self.added.push(cursor);
        }
    }

    fn take_added(&mut self, log: &[Partition]) {
        if self.deleted_log.is_some() {
            self.added.clear();
        }
        for mut cursor in self.added.drain(..) {
            // Records deleted by now are not held back any more, and will count as lost.
            cursor.gate = cursor.gate.max(log[cursor.partition].start());
            self.cursors.push(cursor);
        }
    }

    pub(crate) fn cursor(&mut self, partition: usize) -> Option<&mut Cursor> {
        let mut cursors = self.cursors.iter_mut();
        cursors.find(|cursor| cursor.partition == partition)
    }

    /// Polls partitions in turn: the first one with records, starting after the last one read.
    pub(crate) fn poll(
        &mut self,
        log: &[Partition],
        max: usize,
    ) -> Result<Option<Expected>, ConsumeError> {
        if self.cursors.is_empty() {
            return Err(ConsumeError::NotSubscribed);
        }
        if std::mem::take(&mut self.woken) {
            return Err(ConsumeError::Wakeup);
        }
        if self.deleted_log.is_none() {
            self.take_added(log);
        }
        if self.deleted_log.is_some() {
            return Err(ConsumeError::Closed {
                topic: TOPIC.into(),
            });
        }
        // Deleted records are not held back any more.
        for cursor in &mut self.cursors {
            let start = log[cursor.partition].start();
            if cursor.position < start {
                cursor.gate = cursor.gate.max(start);
            }
        }
        let count = self.cursors.len();
        for step in 0..count {
            let i = (self.next + step) % count;
            let cursor = &mut self.cursors[i];
            if cursor.paused {
                continue;
            }
            let log = &log[cursor.partition];
            cursor.resolve(log, self.reset)?;
            let Some((records, next)) = log.read(cursor.position, max) else {
                // Only offsets without a record were left: it moves past them.
                cursor.move_to(log.end());
                continue;
            };
            cursor.move_to(next);
            self.next = (i + 1) % count;
            return Ok(Some(Expected {
                cursor: i,
                partition: cursor.partition,
                records,
                lost: std::mem::take(&mut cursor.lost),
            }));
        }
        Ok(None)
    }

    /// Whether a partition has more to read, paused or not.
    pub(crate) fn is_behind(&self, log: &[Partition]) -> bool {
        let mut cursors = self.cursors.iter();
        cursors.any(|cursor| {
            let log = &log[cursor.partition];
            cursor.position.max(log.start()) < log.end()
        })
    }

    /// While a batch is held, its segment is held as well.
    pub(crate) fn hold(&mut self, batch: &Expected) {
        if let Some(&(first, _)) = batch.records.first() {
            self.cursors[batch.cursor].gate = first;
        }
    }

    pub(crate) fn release(&mut self, batch: &Expected) {
        let cursor = &mut self.cursors[batch.cursor];
        cursor.gate = cursor.position;
    }
}

impl Cursor {
    fn at(partition: usize, reset: OffsetReset, start: u64, end: u64) -> Cursor {
        let position = match reset {
            OffsetReset::Latest => end,
            _ => start,
        };
        Cursor {
            partition,
            position,
            seeking: false,
            was_in_range: false,
            unset: reset == OffsetReset::None,
            paused: false,
            gate: position,
            lost: 0,
        }
    }

    pub(crate) fn move_to(&mut self, position: u64) {
        self.position = position;
        self.gate = position;
        self.seeking = false;
        self.unset = false;
    }

    /// A seek: retained records from there on are held back from now on.
    pub(crate) fn seek(&mut self, log: &Partition, position: u64) {
        self.position = position;
        self.seeking = true;
        self.unset = false;
        self.was_in_range = (log.start()..=log.end()).contains(&position);
        self.gate = position.clamp(log.start(), log.end());
    }

    /// Before a poll: moves to the target of a seek, or to the log start after being overtaken.
    fn resolve(&mut self, log: &Partition, reset: OffsetReset) -> Result<(), ConsumeError> {
        let partition = self.partition as u32;
        if self.unset {
            return Err(ConsumeError::NoPosition {
                topic: TOPIC.into(),
                partition,
            });
        }
        let retained = log.start()..=log.end();
        if retained.contains(&self.position) {
            if self.seeking {
                self.move_to(self.position);
            }
        } else if reset == OffsetReset::None {
            // It stays where it is, and holds back from the nearest retained offset.
            self.gate = self.position.clamp(log.start(), log.end());
            return Err(ConsumeError::OffsetOutOfRange {
                topic: TOPIC.into(),
                partition,
                position: self.position,
                log_start: log.start(),
                log_end: log.end(),
            });
        } else if self.seeking && !(self.was_in_range && self.position < log.start()) {
            self.move_to(match reset {
                OffsetReset::Latest => log.end(),
                _ => log.start(),
            });
        } else {
            self.lost += log.start() - self.position;
            self.move_to(log.start());
        }
        Ok(())
    }
}
