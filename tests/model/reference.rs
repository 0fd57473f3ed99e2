//! The reference: a partition is a `Vec` of what each offset holds, and where its segments
//! begin. Written from the documentation, with nothing shared with the library.

use ringlog::OffsetReset;
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
        let mut bytes = padded(self.length()) + if timed { 8 } else { 0 };
        if self.key.is_some() || !self.headers.is_empty() {
            let headers: usize = self
                .headers
                .iter()
                .map(|(name, value)| 8 + name.len() + value.as_ref().map_or(0, Vec::len))
                .sum();
            bytes += 8 + padded(self.key.as_ref().map_or(0, Vec::len) + headers);
        }
        bytes
    }
}

fn padded(bytes: usize) -> usize {
    bytes.div_ceil(8) * 8
}

/// Bytes of one partition's share of a batch: equal plain values lie back to back behind a
/// head of 16; anything else has a head of 8 and 8 for each record.
pub(crate) fn share_bytes(share: &[&Sent]) -> usize {
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
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: u64,
    pub(crate) bytes: usize,
    pub(crate) segments: usize,
}

/// What the reference says about one append.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Room {
    There,
    /// A consumer is in the oldest segment.
    Full,
    /// A consumer is exactly past the oldest segment's last record: whether it has left the
    /// segment already is the library's business.
    Either,
}

impl Partition {
    pub(crate) fn new(limits: Limits) -> Partition {
        let first = Segment {
            base: 0,
            records: 0,
            bytes: 0,
            sealed: false,
        };
        Partition {
            log: Vec::new(),
            segments: VecDeque::from([first]),
            limits,
        }
    }

    pub(crate) fn start(&self) -> u64 {
        self.segments[0].base
    }

    pub(crate) fn end(&self) -> u64 {
        self.log.len() as u64
    }

    fn fits(&self, records: u64, bytes: usize) -> bool {
        let active = &self.segments[self.segments.len() - 1];
        !active.sealed
            && active.records + records <= self.limits.records
            && active.bytes + bytes <= self.limits.bytes
    }

    /// Whether there is room, where the consumers that hold producers back are at `gates`.
    pub(crate) fn room(
        &self,
        records: u64,
        bytes: usize,
        gates: impl Iterator<Item = u64>,
    ) -> Room {
        if self.fits(records, bytes) || self.segments.len() < self.limits.segments {
            return Room::There;
        }
        let left = self.segments[1].base;
        match gates.min() {
            Some(gate) if gate < left => Room::Full,
            Some(gate) if gate == left => Room::Either,
            _ => Room::There,
        }
    }

    /// What a refusal leaves behind: the last segment takes nothing more, so that whoever
    /// waits for the next is not overtaken by smaller records.
    pub(crate) fn refused(&mut self) {
        if let Some(active) = self.segments.back_mut() {
            active.sealed = true;
        }
    }

    /// Appends a frame, and answers its base offset.
    pub(crate) fn append(&mut self, frame: Vec<Option<Stored>>, bytes: usize) -> u64 {
        let (base, records) = (self.end(), frame.len() as u64);
        if !self.fits(records, bytes) {
            if self.segments.len() == self.limits.segments {
                self.segments.pop_front();
            }
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

    /// The first offset from `from` on that holds a record, and where its segment ends.
    fn next_record(&self, from: u64) -> Option<(u64, u64)> {
        let offset = (from..self.end()).find(|&o| self.log[o as usize].is_some())?;
        let segment = self
            .segments
            .iter()
            .rfind(|segment| segment.base <= offset)?;
        Some((offset, segment.base + segment.records))
    }
}

/// One consumer's place in one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: u64,
    /// `position` was only asked for: the next poll goes there.
    pub(crate) seeking: bool,
    /// It was retained when it was asked for, so it counts as lost if it goes.
    pub(crate) known: bool,
    /// The last position that was really there: what holds producers back.
    pub(crate) gate: u64,
    pub(crate) lost: u64,
}

/// What a poll must give.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) partition: usize,
    pub(crate) records: Vec<(u64, Stored)>,
    pub(crate) lost: u64,
}

#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) places: Vec<Place>,
    pub(crate) reset: OffsetReset,
    next: usize,
}

impl Reader {
    pub(crate) fn new(partitions: &[Partition], reset: OffsetReset) -> Reader {
        let places = partitions.iter().map(|partition| {
            let position = match reset {
                OffsetReset::Latest => partition.end(),
                _ => partition.start(),
            };
            Place::at(position)
        });
        Reader {
            places: places.collect(),
            reset,
            next: 0,
        }
    }

    /// Partitions take turns: the first with records, from the one behind the last read.
    pub(crate) fn poll(&mut self, partitions: &[Partition], max: usize) -> Option<Expected> {
        for step in 0..partitions.len() {
            let i = (self.next + step) % partitions.len();
            let (log, place) = (&partitions[i], &mut self.places[i]);
            place.settle(log, self.reset);
            let Some((first, end)) = log.next_record(place.position) else {
                // Only offsets that hold nothing were left: they are behind it now.
                place.go(log.end());
                continue;
            };
            let records: Vec<_> = (first..end)
                .filter_map(|o| log.log[o as usize].clone().map(|stored| (o, stored)))
                .take(max)
                .collect();
            let last = records.last().map_or(first, |&(offset, _)| offset);
            place.go(if records.len() == max { last + 1 } else { end });
            self.next = (i + 1) % partitions.len();
            return Some(Expected {
                partition: i,
                records,
                lost: std::mem::take(&mut place.lost),
            });
        }
        None
    }
}

impl Place {
    fn at(position: u64) -> Place {
        Place {
            position,
            seeking: false,
            known: false,
            gate: position,
            lost: 0,
        }
    }

    pub(crate) fn go(&mut self, position: u64) {
        self.position = position;
        self.gate = position;
        self.seeking = false;
    }

    /// Is told to go there: what is retained from there on is held back from now.
    pub(crate) fn seek(&mut self, log: &Partition, position: u64) {
        self.position = position;
        self.seeking = true;
        self.known = (log.start()..=log.end()).contains(&position);
        self.gate = position.clamp(log.start(), log.end());
    }

    /// Before a poll: goes where it was told to, or on from the log start.
    fn settle(&mut self, log: &Partition, reset: OffsetReset) {
        if self.seeking && !(self.known && self.position < log.start()) {
            let retained = log.start()..=log.end();
            self.go(match reset {
                _ if retained.contains(&self.position) => self.position,
                OffsetReset::Latest => log.end(),
                _ => log.start(),
            });
        } else if self.position < log.start() {
            self.lost += log.start() - self.position;
            self.go(log.start());
        }
    }
}
