//! The contents of one file of a [`ModelDisk`](super::ModelDisk): as programs see them, and on the
//! disk.

use super::Random;
use std::collections::BTreeSet;

/// What a disk writes at once.
pub(super) const SECTOR: u64 = 512;

/// One version of a file's contents.
#[derive(Clone, Debug, Default)]
struct Version {
    len: u64,
    /// The bytes up to the last that may differ from zero. On the disk they may go past the length:
    /// data is written before it.
    bytes: Vec<u8>,
}

impl Version {
    fn sector(&self, number: u64) -> [u8; SECTOR as usize] {
        let mut sector = [0; SECTOR as usize];
        let at = self.bytes.len().min((number * SECTOR) as usize);
        let bytes = &self.bytes[at..self.bytes.len().min(at + SECTOR as usize)];
        sector[..bytes.len()].copy_from_slice(bytes);
        sector
    }

    fn set_sector(&mut self, number: u64, sector: &[u8; SECTOR as usize]) {
        let at = (number * SECTOR) as usize;
        if self.bytes.len() < at + SECTOR as usize {
            if sector.iter().all(|&byte| byte == 0) && self.bytes.len() <= at {
                return;
            }
            self.bytes.resize(at + SECTOR as usize, 0);
        }
        self.bytes[at..at + SECTOR as usize].copy_from_slice(sector);
    }
}

/// A file's contents.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// As programs see them.
    seen: Version,
    /// What is on the disk for certain.
    stored: Version,
    /// The sectors that were written and not synced.
    unsynced: BTreeSet<u64>,
    /// Bytes that take room.
    allocated: u64,
}

impl Contents {
    pub(super) fn durable(bytes: &[u8]) -> Contents {
        let version = Version {
            len: bytes.len() as u64,
            bytes: bytes.to_vec(),
        };
        Contents {
            seen: version.clone(),
            stored: version,
            unsynced: BTreeSet::new(),
            allocated: bytes.len() as u64,
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = self.seen.bytes.clone();
        bytes.resize(self.seen.len as usize, 0);
        bytes
    }

    pub(super) fn len(&self) -> u64 {
        self.seen.len
    }

    pub(super) fn allocated(&self) -> u64 {
        self.allocated
    }

    pub(super) fn set_allocated(&mut self, bytes: u64) {
        self.allocated = bytes;
    }

    pub(super) fn read(&self, out: &mut [u8], at: u64) -> usize {
        let len = self.seen.len.saturating_sub(at).min(out.len() as u64) as usize;
        let out = &mut out[..len];
        let at = self.seen.bytes.len().min(at as usize);
        let bytes = &self.seen.bytes[at..self.seen.bytes.len().min(at + len)];
        out[..bytes.len()].copy_from_slice(bytes);
        out[bytes.len()..].fill(0);
        len
    }

    fn change(&mut self, from: u64, to: u64) {
        if from < to {
            self.unsynced.extend(from / SECTOR..=(to - 1) / SECTOR);
        }
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (from, to) = (at as usize, at as usize + bytes.len());
        if self.seen.bytes.len() < to {
            self.seen.bytes.resize(to, 0);
        }
        self.seen.bytes[from..to].copy_from_slice(bytes);
        self.seen.len = self.seen.len.max(to as u64);
        self.change(from as u64, to as u64);
    }

    /// What is cut off reads as zeros if the file becomes longer again. A sector in which a file is cut,
    /// or from within which it becomes longer, is written, as by a system that fills its rest with
    /// zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.seen.len {
            let was = self.seen.bytes.len().max(self.stored.bytes.len()) as u64;
            self.change(len, was.max(len + u64::from(len % SECTOR != 0)));
            self.seen.bytes.truncate(len as usize);
        } else if len > self.seen.len && self.seen.len % SECTOR != 0 {
            self.change(self.seen.len, self.seen.len + 1);
        }
        self.seen.len = len;
    }

    /// All of it is on the disk.
    pub(super) fn sync(&mut self) {
        for sector in core::mem::take(&mut self.unsynced) {
            self.stored.set_sector(sector, &self.seen.sector(sector));
        }
        self.stored.len = self.seen.len;
    }

    /// Some of it is.
    pub(super) fn write_back(&mut self, random: &mut Random) {
        let (seen, stored) = (&self.seen, &mut self.stored);
        self.unsynced.retain(|&sector| {
            let keeps = random.coin();
            if !keeps {
                stored.set_sector(sector, &seen.sector(sector));
            }
            keeps
        });
        if random.coin() {
            stored.len = seen.len;
        }
    }

    /// Decides what is on the disk of what was not synced (D3).
    fn settle(&mut self, random: &mut Random) {
        for sector in core::mem::take(&mut self.unsynced) {
            let (mut old, new) = (self.stored.sector(sector), self.seen.sector(sector));
            match random.below(4) {
                0 => {}
                1 => old = new,
                2 => old.fill(0),
                _ => {
                    let at = random.below(SECTOR) as usize;
                    match random.coin() {
                        true => old[at..].copy_from_slice(&new[at..]),
                        false => old[..at].copy_from_slice(&new[..at]),
                    }
                }
            }
            self.stored.set_sector(sector, &old);
        }
        if random.coin() {
            self.stored.len = self.seen.len;
        }
    }

    /// What was not synced is decided, and what is on the disk is seen.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        self.settle(random);
        let len = self.stored.len as usize;
        self.stored.bytes.truncate(len);
        self.seen.clone_from(&self.stored);
    }

    /// What is held for synced is seen as it is on the disk.
    pub(super) fn reload(&mut self) {
        let mut seen = self.stored.clone();
        for &sector in &self.unsynced {
            seen.set_sector(sector, &self.seen.sector(sector));
        }
        seen.len = self.seen.len;
        seen.bytes.truncate(seen.len as usize);
        self.seen = seen;
    }

    /// What was not synced is decided, is held for synced, and is seen as before (D5).
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        self.settle(random);
    }
}
