//! The reference: a partition is a `Vec` of what each offset holds, and where its segments
//! begin. Written from the documentation, with nothing shared with the library.

use super::ops::{Kept, Time};
use super::run::UNKNOWN;
use std::collections::VecDeque;

/// What is sent, and what must come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// As it was given; what comes back is in `Stored`.
    pub(crate) time: Option<i64>,
}

impl Sent {
    pub(crate) fn plain(value: Vec<u8>) -> Sent {
        Sent {
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

    /// Bytes of its body, with or without a time.
    pub(crate) fn bytes(&self, timed: bool) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| 8 + name.len() + value.as_ref().map_or(0, Vec::len))
            .sum();
        body_bytes(self.length(), self.key.as_deref(), headers, timed)
    }
}

/// Bytes of a record's body: the value, the time, and what lies behind them if there is any.
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

/// Bytes of one partition's share of a batch: equal plain values lie back to back behind a
/// head of 16; anything else has a head of 8 and 8 for each record.
pub(crate) fn share_bytes(share: &[&Sent]) -> usize {
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
pub(crate) struct Stored {
    pub(crate) sent: Sent,
    pub(crate) time: i64,
}

#[derive(Debug)]
struct Segment {
    base: u64,
    records: u64,
    bytes: usize,
    /// A frame was refused for want of a next segment: nothing goes in here any more.
    sealed: bool,
}

#[derive(Debug)]
pub(crate) struct Partition {
    /// Of every offset ever given out; `None` is a claim that was dropped.
    log: Vec<Option<Stored>>,
    segments: VecDeque<Segment>,
    /// Segments that it has begun.
    begun: u64,
    /// What is before was deleted.
    deleted: u64,
    /// The library may have so many segments more, before the first.
    unsure: usize,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: u64,
    pub(crate) bytes: usize,
    pub(crate) segments: usize,
    pub(crate) kept: Option<Kept>,
    /// The offset that it begins at, and the last one that a segment may begin at.
    pub(crate) first: u64,
    pub(crate) last_base: u64,
    /// Segments that it may begin in all its life.
    pub(crate) lives: u64,
}

/// The offset and time of a record that was looked for, or the end of the search.
type Found = Result<(u64, i64), u64>;

/// What the reference says about one append.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    There,
    /// A consumer is in the oldest segment.
    Full,
    /// A consumer is exactly past the oldest segment's last record: whether it has left the
    /// segment already is the library's business.
    Either,
    /// It has no next segment any more.
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
            unsure: 0,
            limits,
        }
    }

    /// Where the oldest segment begins.
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

    /// What an offset that was given out holds.
    fn at(&self, offset: u64) -> Option<&Stored> {
        self.log[(offset - self.limits.first) as usize].as_ref()
    }

    /// A time to look up, and the first record of that time or later, or else the end. `None`
    /// where a time is not known.
    pub(crate) fn time(&self, time: Time) -> Option<(i64, Found)> {
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

    /// Whether there is room, where the consumers that hold producers back are at `gates`: each at
    /// the first of two offsets, or the second, or between.
    pub(crate) fn room(
        &self,
        records: u64,
        bytes: usize,
        gates: impl Iterator<Item = (u64, u64)>,
    ) -> Room {
        if self.fits(records, bytes) {
            return Room::There;
        }
        if self.begun == self.limits.lives || self.end() > self.limits.last_base {
            return Room::Exhausted;
        }
        if self.segments.len() < self.limits.segments {
            let full = self.segments.len() + self.unsure >= self.limits.segments;
            return if full { Room::Either } else { Room::There };
        }
        let left = self.segments[1].base;
        let mut room = Room::There;
        for (low, high) in gates {
            if high < left {
                return Room::Full;
            }
            if low <= left {
                room = Room::Either;
            }
        }
        room
    }

    /// What a refusal leaves behind: the last segment takes nothing more, so that whoever
    /// waits for the next is not overtaken by smaller records.
    pub(crate) fn refused(&mut self) {
        if let Some(active) = self.segments.back_mut() {
            active.sealed = true;
        }
    }

    /// Whether the oldest segment is kept no longer.
    fn outlived(&self) -> bool {
        let rest: usize = self.segments.iter().skip(1).map(|s| s.bytes).sum();
        self.segments.len() > 1
            && match self.limits.kept {
                None | Some(Kept::ForAnHour) => false,
                Some(Kept::ForNoTime) => true,
                Some(Kept::Bytes(bytes)) => rest as u64 >= bytes,
            }
    }

    /// Gives up what is kept no longer, up to the lowest `gate`. Whether a consumer exactly past
    /// a segment's last record has left it, or a gate that may be there is, is told by where the
    /// library starts.
    pub(crate) fn apply_retention(&mut self, gate: Option<(u64, u64)>, start: u64) {
        if gate.is_none_or(|(low, _)| low > self.oldest()) {
            self.unsure = 0;
        }
        while self.outlived() {
            let left = self.segments[1].base;
            let may_be_in = gate.is_some_and(|(low, _)| low <= left);
            if gate.is_some_and(|(_, high)| high < left) || may_be_in && start < left {
                return;
            }
            // Where records were deleted, the start does not tell.
            if may_be_in && self.deleted >= left {
                self.unsure += 1;
            }
            self.segments.pop_front();
        }
    }

    /// Whether nothing from this offset on was overwritten, but for what was deleted.
    pub(crate) fn is_kept_from(&self, offset: u64) -> bool {
        self.oldest() <= offset.max(self.deleted)
    }

    /// The first offset from there on that holds a record.
    pub(crate) fn first_from(&self, from: u64) -> Option<u64> {
        (from..self.end()).find(|&offset| self.at(offset).is_some())
    }

    /// Appends a frame, and answers its base offset. See
    /// [`apply_retention`](Self::apply_retention) for `gate` and `start`.
    pub(crate) fn append(
        &mut self,
        frame: Vec<Option<Stored>>,
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

    /// The first records from `from` on, `max` at most and all of one segment, and the
    /// position past them: where the segment ends, unless `max` came before.
    pub(crate) fn read(&self, from: u64, max: usize) -> Option<(Vec<(u64, Stored)>, u64)> {
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
