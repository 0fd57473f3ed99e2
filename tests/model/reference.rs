//! The reference of a partition: a `Vec` with the record of each offset, and the bounds of the
//! segments. It is written from the documentation and shares no code with the library.

use super::ops::{NearbyTime, Retention};
use super::run::UNKNOWN;
use std::collections::VecDeque;

/// A record as it is sent, and as it must be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentRecord {
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// The time given by the sender; the time that is read is in `StoredRecord`.
    pub(crate) time: Option<i64>,
}

impl SentRecord {
    pub(crate) fn plain(value: Vec<u8>) -> SentRecord {
        SentRecord {
            value: Some(value),
            key: None,
            headers: Vec::new(),
            time: None,
        }
    }

    fn is_plain(&self) -> bool {
        self.key.is_none() && self.headers.is_empty() && self.time.is_none() && self.value.is_some()
    }

    fn length(&self) -> usize {
        self.value.as_ref().map_or(0, Vec::len)
    }

    /// Bytes of the record's body, with or without a time.
    pub(crate) fn bytes(&self, timed: bool) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| 8 + name.len() + value.as_ref().map_or(0, Vec::len))
            .sum();
        body_bytes(self.length(), self.key.as_deref(), headers, timed)
    }
}

/// Bytes of a record's body: the value, the time, and the key and headers after them, if any.
pub(crate) fn body_bytes(value: usize, key: Option<&[u8]>, headers: usize, timed: bool) -> usize {
    let mut bytes = padded(value) + if timed { 8 } else { 0 };
    if key.is_some() || headers > 0 {
        bytes += 8 + padded(key.map_or(0, <[u8]>::len) + headers);
    }
    bytes
}

fn padded(bytes: usize) -> usize {
    bytes.div_ceil(8) * 8
}

/// Bytes of one partition's share of a batch. Plain values of one size lie back to back after a
/// header of 16 bytes; other shares have a header of 8 bytes, and 8 bytes for each record.
pub(crate) fn share_bytes(share: &[&SentRecord]) -> usize {
    if share.is_empty() {
        return 0;
    }
    let uniform = share
        .iter()
        .all(|r| r.is_plain() && r.length() == share[0].length());
    if uniform {
        16 + padded(share.iter().map(|r| r.length()).sum())
    } else {
        8 + share
            .iter()
            .map(|r| 8 + r.bytes(r.time.is_some()))
            .sum::<usize>()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRecord {
    pub(crate) sent: SentRecord,
    pub(crate) time: i64,
}

#[derive(Debug)]
struct Segment {
    base: u64,
    records: u64,
    bytes: usize,
    /// A frame was refused for lack of a next segment: this one takes no more records.
    sealed: bool,
}

#[derive(Debug)]
pub(crate) struct Partition {
    /// One for every offset ever assigned; `None` is an aborted claim.
    log: Vec<Option<StoredRecord>>,
    segments: VecDeque<Segment>,
    /// The number of segments begun so far.
    begun: u64,
    /// Records before this offset were deleted.
    deleted: u64,
    /// The library may retain up to this many segments more, before the first.
    undetermined: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: u64,
    pub(crate) bytes: usize,
    pub(crate) segments: usize,
    pub(crate) retention: Option<Retention>,
    /// The first offset, and the last one at which a segment may begin.
    pub(crate) first: u64,
    pub(crate) last_base: u64,
    /// The number of segments that it may ever begin.
    pub(crate) max_segments: u64,
}

/// The offset and time of the record that was looked up, or the offset at which the lookup ended.
type Found = Result<(u64, i64), u64>;

/// Whether there is room for one append.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// A consumer is in the oldest segment.
    Full,
    /// A consumer is exactly past the oldest segment's last record. The documentation leaves open
    /// whether it has left the segment.
    Undetermined,
    /// There is no next segment any more.
    Exhausted,
}

impl Partition {
    pub(crate) fn new(limits: Limits) -> Partition {
        let first = Segment {
            base: limits.first,
            records: 0,
            bytes: 0,
            sealed: false,
        };
        Partition {
            log: Vec::new(),
            segments: VecDeque::from([first]),
            begun: 1,
            deleted: 0,
            undetermined: 0,
            limits,
        }
    }

    /// The base offset of the oldest segment.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments[0].base
    }

    pub(crate) fn start(&self) -> u64 {
        self.oldest().max(self.deleted)
    }

    pub(crate) fn delete(&mut self, before: u64) {
        self.deleted = self.deleted.max(before);
    }

    pub(crate) fn end(&self) -> u64 {
        self.limits.first + self.log.len() as u64
    }

    /// The record at an offset that was assigned.
    fn at(&self, offset: u64) -> Option<&StoredRecord> {
        self.log[(offset - self.limits.first) as usize].as_ref()
    }

    /// A time to look up, and the first record of that time or later, or else the end. `None` if a
    /// record's time is unknown.
    pub(crate) fn time(&self, time: NearbyTime) -> Option<(i64, Found)> {
        let stored = |offset| Some((offset, self.at(offset)?.time));
        let times: Vec<_> = (self.start()..self.end()).filter_map(stored).collect();
        if times.iter().any(|&(_, time)| time == UNKNOWN) {
            return None;
        }
        let near = times.get(times.len() * usize::from(time.0) / 256);
        let wanted = near
            .map_or(0, |&(_, time)| time)
            .saturating_add(time.1.into());
        let wanted = wanted.max(0);
        let found = times.into_iter().find(|&(_, time)| time >= wanted);
        Some((wanted, found.ok_or(self.end())))
    }

    fn fits(&self, records: u64, bytes: usize) -> bool {
        let active = &self.segments[self.segments.len() - 1];
        !active.sealed
            && active.records + records <= self.limits.records
            && active.bytes + bytes <= self.limits.bytes
    }

    /// Whether there is room while consumers hold producers back at `gates`. Each gate is a lower
    /// and an upper bound.
    pub(crate) fn room(
        &self,
        records: u64,
        bytes: usize,
        gates: impl Iterator<Item = (u64, u64)>,
    ) -> Room {
        if self.fits(records, bytes) {
            return Room::Free;
        }
        if self.begun == self.limits.max_segments || self.end() > self.limits.last_base {
            return Room::Exhausted;
        }
        if self.segments.len() < self.limits.segments {
            let full = self.segments.len() + self.undetermined >= self.limits.segments;
            return if full { Room::Undetermined } else { Room::Free };
        }
        let left = self.segments[1].base;
        let mut room = Room::Free;
        for (low, high) in gates {
            if high < left {
                return Room::Full;
            }
            if low <= left {
                room = Room::Undetermined;
            }
        }
        room
    }

    /// After a refusal, the active segment takes no more records, so that smaller records do not
    /// overtake a producer that waits for the next segment.
    pub(crate) fn refused(&mut self) {
        if let Some(active) = self.segments.back_mut() {
            active.sealed = true;
        }
    }

    /// Whether retention no longer keeps the oldest segment.
    fn is_expired(&self) -> bool {
        let rest: usize = self.segments.iter().skip(1).map(|s| s.bytes).sum();
        self.segments.len() > 1
            && match self.limits.retention {
                None | Some(Retention::ForAnHour) => false,
                Some(Retention::ForNoTime) => true,
                Some(Retention::Bytes(bytes)) => rest as u64 >= bytes,
            }
    }

    /// Retires segments that retention no longer keeps, up to the lowest `gate`. The log start of
    /// the library shows whether a consumer exactly past a segment's last record, or a gate with
    /// bounds on both sides, has left it.
    pub(crate) fn apply_retention(&mut self, gate: Option<(u64, u64)>, start: u64) {
        if gate.is_none_or(|(low, _)| low > self.oldest()) {
            self.undetermined = 0;
        }
        while self.is_expired() {
            let left = self.segments[1].base;
            let may_be_in = gate.is_some_and(|(low, _)| low <= left);
            if gate.is_some_and(|(_, high)| high < left) || may_be_in && start < left {
                return;
            }
            // Where records were deleted, the log start does not show it.
            if may_be_in && self.deleted >= left {
                self.undetermined += 1;
            }
            self.segments.pop_front();
        }
    }

    /// Whether no record from this offset on was overwritten, except deleted ones.
    pub(crate) fn is_kept_from(&self, offset: u64) -> bool {
        self.oldest() <= offset.max(self.deleted)
    }

    /// The first offset at or after `from` that holds a record.
    pub(crate) fn first_from(&self, from: u64) -> Option<u64> {
        (from..self.end()).find(|&offset| self.at(offset).is_some())
    }

    /// Appends a frame, and returns its base offset. See
    /// [`apply_retention`](Self::apply_retention) for `gate` and `start`.
    pub(crate) fn append(
        &mut self,
        frame: Vec<Option<StoredRecord>>,
        bytes: usize,
        gate: Option<(u64, u64)>,
        start: u64,
    ) -> u64 {
        let (base, records) = (self.end(), frame.len() as u64);
        if !self.fits(records, bytes) {
            self.apply_retention(gate, start);
            if self.segments.len() == self.limits.segments {
                self.segments.pop_front();
            }
            self.begun += 1;
            self.segments.push_back(Segment {
                base,
                records: 0,
                bytes: 0,
                sealed: false,
            });
        }
        if let Some(active) = self.segments.back_mut() {
            active.records += records;
            active.bytes += bytes;
        }
        self.log.extend(frame);
        base
    }

    /// At most `max` records from `from` on, all of one segment, and the position past them: the
    /// end of the segment, unless `max` was reached before.
    pub(crate) fn read(&self, from: u64, max: usize) -> Option<(Vec<(u64, StoredRecord)>, u64)> {
        let first = self.first_from(from)?;
        let mut segments = self.segments.iter();
        let segment = segments.rfind(|segment| segment.base <= first)?;
        let end = segment.base + segment.records;
        let records: Vec<_> = (first..end)
            .filter_map(|offset| Some((offset, self.at(offset)?.clone())))
            .take(max)
            .collect();
        let next = match records.last() {
            Some(&(last, _)) if records.len() == max => last + 1,
            _ => end,
        };
        Some((records, next))
    }
}
