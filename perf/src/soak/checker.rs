//! The rules that every record read has to keep, whoever reads it.
//!
//! # What is exact
//!
//! A reader knows the next offset of each partition. Without loss, the offsets up to the one
//! that comes are all claims that were given up, one by one. With loss, `lost()` counts the
//! claims among the lost ones as well, and does not say which offsets it means: so what is
//! left of the gap is *at most* the claims given up in it. It says how many were stepped over.
//! At the end, read + lost + stepped over is the log's end, exactly.

use super::identity::{Id, Kind, LARGEST, PRODUCERS};
use super::ledger::{Ledger, Share, Wrong, weight};
use super::parts::Parts;
use ringlog::Batch;
use std::sync::Arc;

/// Checks what one thread reads of one topic.
pub(crate) struct Checker {
    pub(crate) ledger: Arc<Ledger>,
    partitions: Vec<Seen>,
    /// Of a reader that goes back: which record it found where.
    recall: Vec<(u64, Option<Id>)>,
    pub(crate) bytes: u64,
    batches: u64,
}

/// Where one partition's reading is, and what it has come to.
pub(crate) struct Seen {
    place: Option<Place>,
    pub(crate) read: Share,
    pub(crate) lost: u64,
    pub(crate) stepped: u64,
}

struct Place {
    /// The next offset.
    next: u64,
    /// The first record is the first one from `next` on that is retained. Otherwise it may be
    /// any from there on: the reader was sent to an offset that may have gone by then.
    exact: bool,
    paused: bool,
    /// Of each producer, the sequence that has to be exceeded, plus one.
    last: [u64; PRODUCERS],
}

/// Records that a reader remembers, by offset: the last of every so many.
const RECALL: usize = 1 << 14;

/// One batch of so many is looked at through `values()` as well: it costs another walk.
const VALUES_OF: u64 = 8;

impl Checker {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Checker {
        let seen = |_| Seen {
            place: None,
            read: Share::default(),
            lost: 0,
            stepped: 0,
        };
        Checker {
            partitions: (0..ledger.plan.partitions).map(seen).collect(),
            recall: Vec::new(),
            bytes: 0,
            batches: 0,
            ledger,
        }
    }

    /// Remembers what it reads, so that reading it again has to give the same.
    pub(crate) fn with_recall(mut self) -> Checker {
        let partitions = self.partitions.len();
        self.recall.resize(partitions * RECALL, (0, None));
        self
    }

    // ---- where the reader is ---------------------------------------------------------------

    /// The reader goes on at `offset` of this partition, or, if not `exact`, anywhere after.
    pub(crate) fn begin(&mut self, partition: u32, offset: u64, exact: bool) {
        let paused = self.place(partition).is_some_and(|place| place.paused);
        self.partitions[partition as usize].place = Some(Place {
            next: offset,
            exact,
            paused,
            last: [0; PRODUCERS],
        });
    }

    /// The reader has left this partition.
    pub(crate) fn leave(&mut self, partition: u32) {
        self.partitions[partition as usize].place = None;
    }

    pub(crate) fn pause(&mut self, partition: u32, paused: bool) {
        if let Some(place) = &mut self.partitions[partition as usize].place {
            place.paused = paused;
        }
    }

    fn place(&self, partition: u32) -> Option<&Place> {
        self.partitions.get(partition as usize)?.place.as_ref()
    }

    /// The next offset, if it is known.
    pub(crate) fn next(&self, partition: u32) -> Option<u64> {
        let place = self.place(partition)?;
        place.exact.then_some(place.next)
    }

    pub(crate) fn reads(&self, partition: u32) -> bool {
        self.place(partition).is_some()
    }

    pub(crate) fn seen(&self) -> &[Seen] {
        &self.partitions
    }

    // ---- what it reads ---------------------------------------------------------------------

    /// Checks a batch, every byte of it.
    pub(crate) fn batch(&mut self, batch: &Batch<'_>) -> Result<(), Wrong> {
        let partition = batch.partition();
        let mut lost = batch.lost();
        let mut records = 0;
        for record in batch {
            self.record(partition, lost, &Parts::of(&record))?;
            lost = 0;
            records += 1;
        }
        if records != batch.len() {
            let length = batch.len();
            return Err(format!(
                "a batch of {length} records, of which {records} came"
            ));
        }
        self.batches += 1;
        if batch.is_empty() || self.batches % VALUES_OF != 0 {
            return Ok(());
        }
        match self.ledger.plan.width {
            2 => self.values::<2>(batch),
            3 => self.values::<3>(batch),
            _ => self.values::<6>(batch),
        }
    }

    /// Where all values of a batch are of one size, they are the same values in place.
    fn values<const W: usize>(&self, batch: &Batch<'_>) -> Result<(), Wrong> {
        let Ok(values) = batch.values::<[u64; W]>() else {
            return match batch.iter().all(|record| record.value().len() == 8 * W) {
                true => Err(format!("values() refuses values of {} bytes", 8 * W)),
                false => Ok(()),
            };
        };
        let mut records = batch.iter();
        for value in values {
            let same = |at: &[u8]| at.as_ptr().cast() == value.as_ptr() && at.len() == 8 * W;
            if !records.next().is_some_and(|record| same(record.value())) {
                return Err("values() gives other values than the records".to_owned());
            }
        }
        match records.next() {
            None => Ok(()),
            Some(record) => Err(format!("values() ends before offset {}", record.offset())),
        }
    }

    /// Checks a record: itself, and beside what came before it. `lost`: of the batch, with its
    /// first record.
    #[inline]
    pub(crate) fn record(
        &mut self,
        partition: u32,
        lost: u64,
        parts: &Parts<'_>,
    ) -> Result<(), Wrong> {
        match self.check(partition, lost, parts) {
            Ok(()) => Ok(()),
            Err(wrong) => Err(self.at(partition, parts, &wrong)),
        }
    }

    #[inline]
    fn check(&mut self, partition: u32, lost: u64, parts: &Parts<'_>) -> Result<(), Wrong> {
        let ledger = &*self.ledger;
        let (id, digest) = parts.identify(ledger)?;
        let offset = parts.offset;
        let Some(seen) = self.partitions.get_mut(partition as usize) else {
            return Err("there is no such partition".to_owned());
        };
        let Some(place) = &mut seen.place else {
            return Err("this consumer does not read the partition".to_owned());
        };
        if offset != place.next || lost > 0 || !place.exact || place.paused {
            let (lost, stepped) = place.gap(ledger, partition, offset, lost)?;
            seen.lost += lost;
            seen.stepped += stepped;
        }
        place.next = offset + 1;
        let last = &mut place.last[id.producer()];
        if *last > id.sequence() {
            return Err(format!("{id:?} comes after the producer's {}", *last - 1));
        }
        *last = id.sequence() + 1;
        if id.key() > 0 {
            ledger.check_home(id.key(), partition)?;
        }
        if !self.recall.is_empty() {
            let known = &mut self.recall[partition as usize * RECALL + offset as usize % RECALL];
            match *known {
                (at, Some(other)) if at == offset && other != id => {
                    return Err(format!("{id:?} is where {other:?} was read before"));
                }
                _ => *known = (offset, Some(id)),
            }
        }
        seen.read.records += 1;
        seen.read.digest = seen.read.digest.wrapping_add(weight(id, digest, offset));
        self.bytes += parts.value.len() as u64;
        Ok(())
    }

    #[cold]
    fn at(&self, partition: u32, parts: &Parts<'_>, wrong: &str) -> Wrong {
        let bounds = self.ledger.bounds();
        let topic = &self.ledger.plan.name;
        let (offset, length) = (parts.offset, parts.value.len());
        format!(
            "{topic}, partition {partition}, offset {offset}, {length} bytes: {wrong} ({bounds})"
        )
    }
}

impl Place {
    /// Accounts for the offsets from `next` to `offset`: how many of them were lost, and how
    /// many stepped over.
    #[cold]
    fn gap(
        &mut self,
        ledger: &Ledger,
        partition: u32,
        offset: u64,
        lost: u64,
    ) -> Result<(u64, u64), Wrong> {
        if self.paused {
            return Err("the partition is paused".to_owned());
        }
        if lost > 0 && ledger.plan.gated() {
            return Err(format!("{lost} records lost under Backpressure"));
        }
        let next = self.next;
        let Some(gap) = offset.checked_sub(next) else {
            return Err(format!("{next} should be next: offsets go back"));
        };
        if !self.exact {
            self.exact = true;
            return Ok((0, 0));
        }
        let aborted = ledger.aborted_in(partition, next..offset);
        let Some(stepped) = gap.checked_sub(lost) else {
            return Err(format!("{next} should be next, and more were lost: {lost}"));
        };
        if stepped > aborted || (lost == 0 && stepped < aborted) {
            return Err(format!(
                "{next} should be next; {lost} were lost, and {aborted} claims given up"
            ));
        }
        if lost > 0 {
            // It goes on where the log started at some moment up to now: what is retained even
            // now should not have been lost.
            let from = ledger.log_start(partition)?.clamp(next, offset);
            if ledger.aborted_in(partition, from..offset) != offset - from {
                return Err(format!(
                    "{lost} were lost up to here, and {from} is still retained"
                ));
            }
        }
        Ok((lost, stepped))
    }
}

impl Parts<'_> {
    /// Whose record it is, if all its parts agree on that.
    #[inline]
    fn identify(&self, ledger: &Ledger) -> Result<(Id, u64), Wrong> {
        let timed = Id::from_time(self.time);
        let inside = timed.is_none();
        let Some(id) = timed.or_else(|| Id::from_value(self.value)) else {
            return Err(format!("no identity: time {}", self.time));
        };
        let digest = id.digest(ledger.plan.salt);
        if let Err(at) = id.check(digest, inside, self.value) {
            return Err(format!(
                "{id:?}: the value's bytes from {at} on are not its own"
            ));
        }
        let length = match id.length() {
            LARGEST => ledger.plan.largest() as u64,
            length => length,
        };
        if self.value.len() as u64 != length {
            return Err(format!("{id:?}: the value's length is not its own"));
        }
        let kind = match id.kind() {
            Kind::Single => !inside,
            Kind::Batch => true,
            Kind::Values | Kind::Claim => inside,
        };
        if !kind {
            return Err(format!("{id:?} has the time {}", self.time));
        }
        if inside {
            ledger.check_time(self.time)?;
        }
        self.check_rest(id, digest)?;
        Ok((id, digest))
    }
}
