//! The reference of a consumer: its partitions, its place in each, and what a poll must give.

use super::reference::{Partition, Stored};
use super::run::TOPIC;
use ringlog::{ConsumeError, OffsetReset};
use std::rc::Rc;

/// A consumer's place in one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) partition: usize,
    pub(crate) position: u64,
    /// `position` was only asked for: the next poll goes there.
    seeking: bool,
    /// It was retained when it was asked for, so it counts as lost if it goes.
    known: bool,
    /// Nobody has said yet where to begin (`OffsetReset::None`).
    nowhere: bool,
    pub(crate) paused: bool,
    /// The last position that was really there: what holds producers back.
    pub(crate) gate: u64,
    lost: u64,
}

/// What a poll must give.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Which of the reader's places it is from.
    pub(crate) place: usize,
    pub(crate) partition: usize,
    pub(crate) records: Vec<(u64, Stored)>,
    pub(crate) lost: u64,
}

#[derive(Debug)]
pub(crate) struct Reader {
    /// In the order in which they take turns.
    pub(crate) places: Vec<Place>,
    pub(crate) reset: OffsetReset,
    /// By which call it was given its partitions, if it has any.
    pub(crate) given: Option<&'static str>,
    /// Its topic was deleted, and was this at the end.
    pub(crate) gone: Option<Rc<Vec<Partition>>>,
    next: usize,
    /// Partitions that it has still to take in, at its next poll.
    pub(crate) added: Vec<Place>,
    /// Its next poll ends at once.
    pub(crate) woken: bool,
}

impl Reader {
    pub(crate) fn new(reset: OffsetReset) -> Reader {
        Reader {
            places: Vec::new(),
            reset,
            given: None,
            gone: None,
            next: 0,
            added: Vec::new(),
            woken: false,
        }
    }

    /// Reads these partitions of `log` from now on: where it was in those that it had.
    pub(crate) fn give(&mut self, given: &'static str, partitions: &[usize], log: &[Partition]) {
        self.take_added(log);
        let mut old = std::mem::take(&mut self.places);
        if self.gone.take().is_some() {
            old.clear();
        }
        for &partition in partitions {
            if self.place(partition).is_some() {
                continue; // named twice
            }
            let kept = old.iter().find(|place| place.partition == partition);
            let place = kept.copied().unwrap_or_else(|| {
                let log = &log[partition];
                Place::at(partition, self.reset, log.start(), log.end())
            });
            self.places.push(place);
        }
        self.given = (!self.places.is_empty()).then_some(given);
        self.next = 0;
    }

    /// A partition that is new: a subscriber reads it from its start.
    pub(crate) fn added(&mut self, partition: usize, log: &[Partition]) {
        if self.given == Some("subscribe") && self.gone.is_none() {
            let start = log[partition].start();
            let place = Place::at(partition, OffsetReset::Earliest, start, start);
            self.added.push(place);
        }
    }

    fn take_added(&mut self, log: &[Partition]) {
        if self.gone.is_some() {
            self.added.clear();
        }
        for mut place in self.added.drain(..) {
            // What was deleted by now is not held back any more, and will count as lost.
            place.gate = place.gate.max(log[place.partition].start());
            self.places.push(place);
        }
    }

    pub(crate) fn place(&mut self, partition: usize) -> Option<&mut Place> {
        let mut places = self.places.iter_mut();
        places.find(|place| place.partition == partition)
    }

    /// Partitions take turns: the first with records, from the one behind the last read.
    pub(crate) fn poll(
        &mut self,
        log: &[Partition],
        max: usize,
    ) -> Result<Option<Expected>, ConsumeError> {
        if self.places.is_empty() {
            return Err(ConsumeError::NotSubscribed);
        }
        if std::mem::take(&mut self.woken) {
            return Err(ConsumeError::Wakeup);
        }
        if self.gone.is_none() {
            self.take_added(log);
        }
        if self.gone.is_some() {
            return Err(ConsumeError::Closed {
                topic: TOPIC.into(),
            });
        }
        // Where its records were deleted, it holds back nothing any more.
        for place in &mut self.places {
            let start = log[place.partition].start();
            if place.position < start {
                place.gate = place.gate.max(start);
            }
        }
        let count = self.places.len();
        for step in 0..count {
            let i = (self.next + step) % count;
            let place = &mut self.places[i];
            if place.paused {
                continue;
            }
            let log = &log[place.partition];
            place.settle(log, self.reset)?;
            let Some((records, next)) = log.read(place.position, max) else {
                // Only offsets that hold nothing were left: they are behind it now.
                place.go(log.end());
                continue;
            };
            place.go(next);
            self.next = (i + 1) % count;
            return Ok(Some(Expected {
                place: i,
                partition: place.partition,
                records,
                lost: std::mem::take(&mut place.lost),
            }));
        }
        Ok(None)
    }

    /// While a batch is held, so is the segment that it is in.
    pub(crate) fn hold(&mut self, batch: &Expected) {
        if let Some(&(first, _)) = batch.records.first() {
            self.places[batch.place].gate = first;
        }
    }

    pub(crate) fn let_go(&mut self, batch: &Expected) {
        let place = &mut self.places[batch.place];
        place.gate = place.position;
    }
}

impl Place {
    fn at(partition: usize, reset: OffsetReset, start: u64, end: u64) -> Place {
        let position = match reset {
            OffsetReset::Latest => end,
            _ => start,
        };
        Place {
            partition,
            position,
            seeking: false,
            known: false,
            nowhere: reset == OffsetReset::None,
            paused: false,
            gate: position,
            lost: 0,
        }
    }

    pub(crate) fn go(&mut self, position: u64) {
        self.position = position;
        self.gate = position;
        self.seeking = false;
        self.nowhere = false;
    }

    /// Is told to go there: what is retained from there on is held back from now.
    pub(crate) fn seek(&mut self, log: &Partition, position: u64) {
        self.position = position;
        self.seeking = true;
        self.nowhere = false;
        self.known = (log.start()..=log.end()).contains(&position);
        self.gate = position.clamp(log.start(), log.end());
    }

    /// Before a poll: goes where it was told to, or on from the log start.
    fn settle(&mut self, log: &Partition, reset: OffsetReset) -> Result<(), ConsumeError> {
        let partition = self.partition as u32;
        if self.nowhere {
            return Err(ConsumeError::NoPosition {
                topic: TOPIC.into(),
                partition,
            });
        }
        let retained = log.start()..=log.end();
        if retained.contains(&self.position) {
            if self.seeking {
                self.go(self.position);
            }
        } else if reset == OffsetReset::None {
            // It stays where it is, and holds back what is nearest.
            self.gate = self.position.clamp(log.start(), log.end());
            return Err(ConsumeError::OffsetOutOfRange {
                topic: TOPIC.into(),
                partition,
                position: self.position,
                log_start: log.start(),
                log_end: log.end(),
            });
        } else if self.seeking && !(self.known && self.position < log.start()) {
            self.go(match reset {
                OffsetReset::Latest => log.end(),
                _ => log.start(),
            });
        } else {
            self.lost += log.start() - self.position;
            self.go(log.start());
        }
        Ok(())
    }
}
