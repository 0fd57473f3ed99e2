//! A disk in memory that can lose power, fill up, and fail: for tests and models.
//!
//! It keeps two versions of everything: what programs see, and what is on the disk. A sync copies
//! the first to the second. [`ModelDisk::restart`] is a power cut: it makes of the two what D3 of
//! [`disk`](crate::disk) allows, chosen by a seed. Between syncs the system may write back what it
//! likes, so the model does that too.
//!
//! The same seed and the same operations give the same disk.
#![allow(clippy::unwrap_used, clippy::panic)]

mod contents;
mod names;
mod operations;
#[cfg(test)]
mod tests;

use super::Entry;
use crate::sync::lock_std;
use contents::Contents;
use names::Names;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// Random numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Create,
    Open,
    List,
    CreateDir,
    Rename,
    RemoveFile,
    RemoveDir,
    SyncDir,
    Lock,
    Write,
    Read,
    Len,
    SetLen,
    Allocate,
    Sync,
}

impl Op {
    pub(crate) const ALL: [Op; 15] = [
        Op::Create,
        Op::Open,
        Op::List,
        Op::CreateDir,
        Op::Rename,
        Op::RemoveFile,
        Op::RemoveDir,
        Op::SyncDir,
        Op::Lock,
        Op::Write,
        Op::Read,
        Op::Len,
        Op::SetLen,
        Op::Allocate,
        Op::Sync,
    ];

    /// Whether it may change what is on the disk.
    pub(crate) fn changes(self) -> bool {
        !matches!(self, Op::Open | Op::List | Op::Read | Op::Len)
    }
}

/// By the name of the call.
impl From<&str> for Op {
    fn from(name: &str) -> Op {
        match name {
            "create" => Op::Create,
            "open" => Op::Open,
            "list" => Op::List,
            "create_dir" => Op::CreateDir,
            "rename" => Op::Rename,
            "remove" => Op::RemoveFile,
            "remove_dir" => Op::RemoveDir,
            "sync_dir" => Op::SyncDir,
            "lock" => Op::Lock,
            "write" => Op::Write,
            "read" => Op::Read,
            "len" => Op::Len,
            "set_len" => Op::SetLen,
            "allocate" => Op::Allocate,
            "sync" => Op::Sync,
            _ => panic!("no operation is named {name}"),
        }
    }
}

/// What becomes of an operation.
enum Outcome {
    Done,
    /// It fails with this error, and may be done in part.
    Fails(io::Error),
}

/// Stands for the room of a file that was removed.
const REMOVED: u64 = u64::MAX;

/// A disk in memory. A clone is the same disk; [`fork`](Self::fork) makes another.
#[derive(Clone, Debug)]
pub(crate) struct ModelDisk(Arc<Mutex<State>>);

#[derive(Clone, Debug)]
struct State {
    random: Random,
    names: Names,
    files: Vec<Contents>,
    /// Counts restarts: handles of an earlier life are dead.
    life: u64,
    /// Nodes of the files that are locked.
    locked: Vec<usize>,
    is_stopped: bool,
    /// Changing operations so far.
    operations: u64,
    /// The machine stops in the one with this number.
    stop_at: Option<u64>,
    /// Operations to fail: how many of the kind to let pass first, and the error.
    failures: Vec<(Op, u64, io::ErrorKind)>,
    fails_next_sync: bool,
    /// The kinds of operations that were made to fail since the power came.
    failed: Vec<Op>,
    /// Operations of each kind so far, in the order of [`Op::ALL`].
    counts: [u64; Op::ALL.len()],
    /// Bytes that are free; `None` for no end of them.
    free: Option<u64>,
    /// The directory whose syncs are held back, and whether one is.
    slow_dir: Option<PathBuf>,
    is_holding: bool,
}

impl ModelDisk {
    pub(crate) fn new(seed: u64) -> ModelDisk {
        ModelDisk(Arc::new(Mutex::new(State {
            random: Random::new(seed),
            names: Names::new(),
            files: Vec::new(),
            life: 0,
            locked: Vec::new(),
            is_stopped: false,
            operations: 0,
            stop_at: None,
            failures: Vec::new(),
            fails_next_sync: false,
            failed: Vec::new(),
            counts: [0; Op::ALL.len()],
            free: None,
            slow_dir: None,
            is_holding: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock_std(&self.0)
    }

    /// Another disk with the same contents. Without a [`reseed`](Self::reseed) it makes the same
    /// choices.
    pub(crate) fn fork(&self) -> ModelDisk {
        ModelDisk(Arc::new(Mutex::new(self.state().clone())))
    }

    /// From now on its choices are those of another seed.
    pub(crate) fn reseed(&self, seed: u64) {
        self.state().random = Random::new(seed);
    }

    // ---- faults -------------------------------------------------------------------------

    /// Stops the machine in the changing operation with this [number](Self::operations), counted
    /// from 1: it is done in part or not at all. All operations fail from then on, until the next
    /// [`restart`](Self::restart) or [`kill`](Self::kill).
    pub(crate) fn stop_at(&self, operation: u64) {
        self.state().stop_at = Some(operation);
    }

    /// Stops the machine after this many changing operations, as [`stop_at`](Self::stop_at).
    pub(crate) fn stop_after(&self, operations: u64) {
        let mut state = self.state();
        state.stop_at = Some(state.operations + operations + 1);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    /// A power cut, and a start: what was not synced is as D3 says.
    pub(crate) fn restart(&self) {
        let state = &mut *self.state();
        for file in &mut state.files {
            file.lose_power(&mut state.random);
        }
        state.names.lose_power(&mut state.random);
        state.failed.clear();
        state.begin_life();
    }

    /// The process dies, and another one starts: nothing is lost (D4).
    pub(crate) fn kill(&self) {
        self.state().begin_life();
    }

    /// Fails the next sync, of a file or a directory (D5).
    pub(crate) fn fail_sync_once(&self) {
        self.state().fails_next_sync = true;
    }

    /// Fails the next operation of this kind. A write or a sync may be done in part (D5).
    pub(crate) fn fail_next(&self, op: impl Into<Op>, error: io::ErrorKind) {
        self.fail_nth(op, 0, error);
    }

    /// Fails one operation of this kind, after `passed` others.
    pub(crate) fn fail_nth(&self, op: impl Into<Op>, passed: u64, error: io::ErrorKind) {
        self.state().failures.push((op.into(), passed, error));
    }

    /// Nothing fails any more that was to.
    pub(crate) fn heal(&self) {
        self.state().heal();
    }

    /// Leaves room for this many bytes more; for all, without a number.
    pub(crate) fn set_free(&self, bytes: Option<u64>) {
        self.state().free = bytes;
    }

    /// Holds back the syncs of this directory until the next call; of none, without one.
    #[cfg(test)]
    pub(crate) fn hold_syncs_of(&self, dir: Option<&Path>) {
        self.state().slow_dir = dir.map(Path::to_owned);
    }

    /// Whether a sync is held back, or was.
    #[cfg(test)]
    pub(crate) fn is_holding(&self) -> bool {
        self.state().is_holding
    }

    // ---- for the tests ------------------------------------------------------------------

    /// Whether an operation of this kind was made to fail since the power came.
    pub(crate) fn has_failed(&self, op: Op) -> bool {
        self.state().failed.contains(&op)
    }

    /// Operations of this kind so far.
    pub(crate) fn count(&self, op: Op) -> u64 {
        self.state().counts[op as usize]
    }

    /// Changing operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The paths of all files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.state().names.paths()
    }

    /// All of a file, as programs see it.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        let file = state.names.file(path).unwrap();
        state.files[file].to_vec()
    }

    /// Changes a byte, also of what is on the disk.
    pub(crate) fn corrupt(&self, path: &Path, at: u64, xor: u8) {
        let mut bytes = self.bytes(path);
        bytes[at as usize] ^= xor;
        self.put(path, &bytes);
    }

    /// Replaces the contents of a file, which is created if it is missing: durably.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let state = &mut *self.state();
        let file = match state.names.file(path) {
            Ok(file) => file,
            Err(_) => {
                let file = state.new_file();
                let change = state.names.adding(path, file).unwrap();
                state.names.change(change);
                state.names.sync(path.parent().unwrap()).unwrap();
                file
            }
        };
        state.files[file] = Contents::durable(bytes);
    }

    /// Removes a file, durably.
    pub(crate) fn remove(&self, path: &Path) {
        let state = &mut *self.state();
        let change = state.names.removing(path).unwrap();
        state.names.change(change);
        state.names.sync(path.parent().unwrap()).unwrap();
    }

    /// The names in a directory.
    pub(crate) fn names(&self, dir: &Path) -> Vec<String> {
        let entries = self.state().names.list(dir).unwrap();
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

impl State {
    fn begin_life(&mut self) {
        self.life += 1;
        self.locked.clear();
        self.is_stopped = false;
        self.stop_at = None;
        self.heal();
    }

    fn heal(&mut self) {
        self.failures.clear();
        self.fails_next_sync = false;
    }

    fn new_file(&mut self) -> usize {
        self.files.push(Contents::default());
        self.files.len() - 1
    }

    /// Every operation begins here.
    fn begin(&mut self, op: Op, life: u64) -> io::Result<Outcome> {
        if self.is_stopped {
            return Err(io::Error::other("the machine has stopped"));
        }
        if life != self.life {
            return Err(io::Error::other("a handle of a process that has ended"));
        }
        self.counts[op as usize] += 1;
        if op.changes() {
            self.operations += 1;
            if self.stop_at == Some(self.operations) {
                self.is_stopped = true;
                return Ok(Outcome::Fails(io::Error::other("the machine stops")));
            }
            self.write_back();
        }
        if matches!(op, Op::Sync | Op::SyncDir) && core::mem::take(&mut self.fails_next_sync) {
            self.failed.push(op);
            return Ok(Outcome::Fails(io::Error::other("a sync that fails")));
        }
        let mut failing = None;
        self.failures.retain_mut(|(of, passed, error)| {
            if *of != op || failing.is_some() {
                return true;
            }
            if *passed == 0 {
                failing = Some(*error);
                return false;
            }
            *passed -= 1;
            true
        });
        match failing {
            None => Ok(Outcome::Done),
            Some(error) => {
                self.failed.push(op);
                Ok(Outcome::Fails(error.into()))
            }
        }
    }

    /// As [`begin`](Self::begin), for an operation that is done wholly or not at all. Returns the
    /// error to return after it was done: it may be done although it fails.
    fn begin_whole(&mut self, op: Op, life: u64) -> io::Result<io::Result<()>> {
        match self.begin(op, life)? {
            Outcome::Done => Ok(Ok(())),
            // An operation that reports an error was not done; one during which the machine stops
            // may have been.
            Outcome::Fails(error) if !(self.is_stopped && op.changes()) => Err(error),
            Outcome::Fails(error) if self.random.coin() => Ok(Err(error)),
            Outcome::Fails(error) => Err(error),
        }
    }

    /// The system may write back what it likes, at any time.
    fn write_back(&mut self) {
        if self.random.below(8) == 0 && !self.files.is_empty() {
            // The last files are the ones that change.
            let back = self.random.below(self.files.len().min(3) as u64) as usize;
            let file = self.files.len() - 1 - back;
            self.files[file].write_back(&mut self.random);
        }
    }

    /// Takes room for a file up to byte `end`. Returns up to where there was room.
    fn take_room(&mut self, file: usize, end: u64) -> u64 {
        let allocated = self.files[file].allocated();
        let more = end.saturating_sub(allocated);
        let got = self.free.map_or(more, |free| free.min(more));
        self.free = self.free.map(|free| free - got);
        self.files[file].set_allocated(allocated + got);
        end - (more - got)
    }

    /// Gives the room of a removed file back: at once, and not when its last handle is closed. What
    /// is still written to it takes none.
    fn give_all_room(&mut self, file: usize) {
        self.give_room(file, 0);
        self.files[file].set_allocated(REMOVED);
    }

    /// Gives the room of a file from byte `end` on back.
    fn give_room(&mut self, file: usize, end: u64) {
        let allocated = self.files[file].allocated();
        if allocated > end && allocated != REMOVED {
            self.files[file].set_allocated(end);
            self.free = self.free.map(|free| free + (allocated - end));
        }
    }
}
