//! A disk in memory that can lose power, for tests. Its promises are D1 to D5 of [`disk`](super),
//! and it breaks what they do not promise, by seed.

use super::{Disk, DiskFile, Entry};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the disk writes as a whole, mostly.
const SECTOR: usize = 512;

/// A small random number generator (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// One file: what is on the platters, and what the system has in memory.
#[derive(Clone, Debug, Default)]
struct Contents {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// Sectors that were written since they were synced.
    dirty: BTreeSet<usize>,
    /// The length differs from the durable one.
    len_dirty: bool,
}

/// A change of the names in a directory that is not durable yet.
#[derive(Clone, Debug)]
enum NameChange {
    Create(PathBuf, u64),
    Remove(PathBuf, u64),
    /// From one name to another, of this file.
    Rename(PathBuf, PathBuf, u64),
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            NameChange::Create(path, _) | NameChange::Remove(path, _) => path.parent() == Some(dir),
            NameChange::Rename(from, to, _) => {
                from.parent() == Some(dir) || to.parent() == Some(dir)
            }
        }
    }
}

#[derive(Clone, Debug)]
struct State {
    random: Random,
    /// Counts restarts: handles of an earlier life are dead.
    life: u64,
    files: BTreeMap<u64, Contents>,
    next_file: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    /// Operations that change something, so far.
    operations: u64,
    stop_at: Option<u64>,
    is_stopped: bool,
    fail_sync: bool,
    /// Bytes that may still be added.
    free: Option<u64>,
    fail_next: Option<(&'static str, io::ErrorKind)>,
}

/// The disk. A clone is the same disk.
#[derive(Clone, Debug)]
pub(crate) struct ModelDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct ModelFile {
    disk: ModelDisk,
    file: u64,
    life: u64,
}

/// Releases a lock of this life.
#[derive(Debug)]
struct Lock {
    disk: ModelDisk,
    path: PathBuf,
    life: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

/// What happens to an operation.
#[derive(PartialEq)]
enum Fate {
    Done,
    /// The machine stops in it: it is done in part, or not at all.
    Partly,
}

impl State {
    /// Begins an operation: an error if it does not happen.
    fn begin(&mut self, operation: &'static str, changes: bool) -> io::Result<Fate> {
        if self.is_stopped {
            return Err(io::Error::other("the machine has stopped"));
        }
        if let Some((failing, kind)) = self.fail_next {
            if failing == operation {
                self.fail_next = None;
                return Err(kind.into());
            }
        }
        if !changes {
            return Ok(Fate::Done);
        }
        self.operations += 1;
        if self.stop_at == Some(self.operations) {
            self.is_stopped = true;
            return Ok(Fate::Partly);
        }
        Ok(Fate::Done)
    }

    fn stopped<T>() -> io::Result<T> {
        Err(io::Error::other("the machine has stopped"))
    }

    fn file(&self, path: &Path) -> io::Result<u64> {
        let file = self.names.get(path).copied();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn contents(&mut self, file: u64) -> &mut Contents {
        self.files.entry(file).or_default()
    }

    /// Takes room from what is free; what is there of it.
    fn take_room(&mut self, wanted: u64) -> u64 {
        let Some(free) = &mut self.free else {
            return wanted;
        };
        let taken = wanted.min(*free);
        *free -= taken;
        taken
    }

    /// Writes what there is room for; an error if that is not all.
    fn write(&mut self, file: u64, bytes: &[u8], at: usize) -> io::Result<()> {
        let len = self.contents(file).current.len();
        let longer = (at + bytes.len()).saturating_sub(len) as u64;
        let room = self.take_room(longer);
        let fits = bytes.len() - (longer - room) as usize;
        let contents = self.contents(file);
        let end = at + fits;
        if end > contents.current.len() {
            contents.current.resize(end, 0);
            contents.len_dirty = true;
        }
        contents.current[at..end].copy_from_slice(&bytes[..fits]);
        contents.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// The sectors that were not synced become old, new, zero or torn; so does the length.
    fn lose(random: &mut Random, contents: &mut Contents) {
        let mut kept = contents.durable.clone();
        let new_len = !contents.len_dirty || random.chance(2);
        let len = if new_len {
            contents.current.len()
        } else {
            contents.durable.len()
        };
        // What a longer file uncovers is zero, or the new contents.
        kept.resize(len, 0);
        for &sector in &contents.dirty {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(len).min(contents.current.len());
            if from >= to {
                continue;
            }
            match random.below(4) {
                0 => {}
                1 => kept[from..to].copy_from_slice(&contents.current[from..to]),
                2 => kept[from..to].fill(0),
                _ => {
                    for at in from..to {
                        if random.chance(2) {
                            kept[at] = contents.current[at];
                        }
                    }
                }
            }
        }
        contents.durable.clone_from(&kept);
        contents.current = kept;
        contents.dirty.clear();
        contents.len_dirty = false;
    }

    fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
        match change {
            NameChange::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            NameChange::Remove(path, file) => {
                if names.get(path) == Some(file) {
                    names.remove(path);
                }
            }
            NameChange::Rename(from, to, file) => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
        }
    }

    fn new_life(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.is_stopped = false;
        self.stop_at = None;
        self.fail_sync = false;
        self.fail_next = None;
    }
}

impl ModelDisk {
    pub(crate) fn new(seed: u64) -> ModelDisk {
        ModelDisk(Arc::new(Mutex::new(State {
            random: Random(seed),
            life: 0,
            files: BTreeMap::new(),
            next_file: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            dirs: BTreeSet::new(),
            locks: BTreeSet::new(),
            operations: 0,
            stop_at: None,
            is_stopped: false,
            fail_sync: false,
            free: None,
            fail_next: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Another disk that holds the same.
    pub(crate) fn fork(&self) -> ModelDisk {
        ModelDisk(Arc::new(Mutex::new(self.state().clone())))
    }

    /// How many operations have changed something.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The machine stops in the operation with this number.
    pub(crate) fn stop_at(&self, operation: u64) {
        self.state().stop_at = Some(operation);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    /// The power comes back: what was not synced is lost in part.
    pub(crate) fn restart(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut names = state.durable_names.clone();
        // Any subset of the changes: a later one of the same name only if it still applies.
        for change in std::mem::take(&mut state.changes) {
            if state.random.chance(2) {
                State::apply(&mut names, &change);
            }
        }
        for contents in state.files.values_mut() {
            State::lose(&mut state.random, contents);
        }
        state.durable_names.clone_from(&names);
        state.names = names;
        state.new_life();
    }

    /// The process ends, and the machine lives on: nothing that was written is lost (D4).
    pub(crate) fn kill(&self) {
        self.state().new_life();
    }

    /// The next sync fails, and drops what it should have written.
    pub(crate) fn fail_sync_once(&self) {
        self.state().fail_sync = true;
    }

    /// From now on there is room for this many bytes more.
    pub(crate) fn set_free(&self, bytes: Option<u64>) {
        self.state().free = bytes;
    }

    /// The next operation of this name fails, and changes nothing.
    pub(crate) fn fail_next(&self, operation: &'static str, kind: io::ErrorKind) {
        self.state().fail_next = Some((operation, kind));
    }

    /// The names of all files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// A file's bytes.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let mut state = self.state();
        let file = state.file(path).unwrap();
        state.contents(file).current.clone()
    }

    /// Puts a file with these bytes there, durably.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let file = state.next_file;
        state.next_file += 1;
        *state.contents(file) = Contents {
            durable: bytes.to_vec(),
            current: bytes.to_vec(),
            ..Contents::default()
        };
        state.names.insert(path.to_owned(), file);
        state.durable_names.insert(path.to_owned(), file);
    }
}

impl Disk for ModelDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let fate = state.begin("create", true)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if fate == Fate::Partly && state.random.chance(2) {
            return State::stopped();
        }
        let file = state.next_file;
        state.next_file += 1;
        state.contents(file);
        let change = NameChange::Create(path.to_owned(), file);
        State::apply(&mut state.names, &change);
        state.changes.push(change);
        if fate == Fate::Partly {
            return State::stopped();
        }
        let life = state.life;
        let disk = self.clone();
        Ok(Arc::new(ModelFile { disk, file, life }))
    }

    fn open(&self, path: &Path, _for_writing: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.begin("open", false)?;
        let (file, life) = (state.file(path)?, state.life);
        let disk = self.clone();
        Ok(Arc::new(ModelFile { disk, file, life }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.state();
        state.begin("list", false)?;
        let name = |path: &PathBuf| path.file_name()?.to_str().map(str::to_owned);
        let children = |path: &&PathBuf| path.parent() == Some(dir);
        let files = state.names.keys().filter(children).filter_map(name);
        let files = files.map(|name| Entry {
            name,
            is_dir: false,
        });
        let dirs = state.dirs.iter().filter(children).filter_map(name);
        let dirs = dirs.map(|name| Entry { name, is_dir: true });
        let mut entries: Vec<_> = files.chain(dirs).collect();
        entries.sort();
        Ok(entries)
    }

    /// Directories are durable at once: what is tested is what is in them.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin("create_dir", false)?;
        let dirs = dir.ancestors().map(Path::to_owned);
        state.dirs.extend(dirs);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.begin("rename", true)?;
        let file = state.file(from)?;
        if fate == Fate::Partly && state.random.chance(2) {
            return State::stopped();
        }
        let change = NameChange::Rename(from.to_owned(), to.to_owned(), file);
        State::apply(&mut state.names, &change);
        state.changes.push(change);
        match fate {
            Fate::Done => Ok(()),
            Fate::Partly => State::stopped(),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.begin("remove", true)?;
        let file = state.file(path)?;
        if fate == Fate::Partly && state.random.chance(2) {
            return State::stopped();
        }
        let change = NameChange::Remove(path.to_owned(), file);
        State::apply(&mut state.names, &change);
        state.changes.push(change);
        match fate {
            Fate::Done => Ok(()),
            Fate::Partly => State::stopped(),
        }
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin("remove_dir", false)?;
        state.dirs.remove(dir);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.begin("sync_dir", true)? == Fate::Partly {
            return State::stopped();
        }
        let changes = std::mem::take(&mut state.changes);
        let (synced, rest): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.is_in(dir));
        for change in &synced {
            State::apply(&mut state.durable_names, change);
        }
        state.changes = rest;
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        let mut state = self.state();
        state.begin("lock", false)?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (disk, life) = (self.clone(), state.life);
        let path = path.to_owned();
        Ok(Box::new(Lock { disk, path, life }))
    }
}

impl ModelFile {
    fn begin(
        &self,
        operation: &'static str,
        changes: bool,
    ) -> io::Result<(MutexGuard<'_, State>, Fate)> {
        let mut state = self.disk.state();
        if state.life != self.life {
            return Err(io::Error::other("a handle of an earlier life"));
        }
        let fate = state.begin(operation, changes)?;
        Ok((state, fate))
    }
}

impl DiskFile for ModelFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let (mut state, fate) = self.begin("write", true)?;
        if fate == Fate::Partly {
            let part = state.random.below(bytes.len() as u64 + 1) as usize;
            state.write(self.file, &bytes[..part], at as usize)?;
            return State::stopped();
        }
        state.write(self.file, bytes, at as usize)
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let (mut state, _) = self.begin("read", false)?;
        let contents = &state.contents(self.file).current;
        let rest = contents.get(at as usize..).unwrap_or_default();
        let read = rest.len().min(out.len());
        out[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn len(&self) -> io::Result<u64> {
        let (mut state, _) = self.begin("len", false)?;
        Ok(state.contents(self.file).current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, fate) = self.begin("set_len", true)?;
        if fate == Fate::Partly && state.random.chance(2) {
            return State::stopped();
        }
        let contents = state.contents(self.file);
        let before = contents.current.len();
        contents.current.resize(len as usize, 0);
        contents.len_dirty = true;
        // What was cut and is there again is zero: not durably so yet.
        let kept = before.min(len as usize);
        contents
            .dirty
            .extend(kept / SECTOR..(len as usize).div_ceil(SECTOR));
        match fate {
            Fate::Done => Ok(()),
            Fate::Partly => State::stopped(),
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        {
            let (mut state, _) = self.begin("allocate", false)?;
            let longer = len.saturating_sub(state.contents(self.file).current.len() as u64);
            if longer == 0 {
                return Ok(());
            }
            if state.free.is_some_and(|free| free < longer) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.take_room(longer);
        }
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut guard, fate) = self.begin("sync", true)?;
        let state = &mut *guard;
        if fate == Fate::Partly {
            return State::stopped();
        }
        let contents = state.files.entry(self.file).or_default();
        if std::mem::take(&mut state.fail_sync) {
            let current = contents.current.clone();
            State::lose(&mut state.random, contents);
            // The process still sees what it wrote, and the system takes it for written.
            contents.current = current;
            return Err(io::Error::other("the disk has an error"));
        }
        // Only what is known to be dirty is written.
        contents.durable.resize(contents.current.len(), 0);
        for sector in std::mem::take(&mut contents.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(contents.current.len());
            if from < to {
                contents.durable[from..to].copy_from_slice(&contents.current[from..to]);
            }
        }
        contents.len_dirty = false;
        Ok(())
    }

    #[cfg(unix)]
    fn map(&self, _len: u64) -> io::Result<Option<super::Mapping>> {
        Ok(None)
    }
}

mod tests {
    use super::*;

    /// The contents of `f` after a power cut, for many seeds.
    fn outcomes(work: impl Fn(&ModelDisk, &Path) -> io::Result<()>) -> BTreeSet<Option<Vec<u8>>> {
        let path = Path::new("/d/f");
        let run = |seed| {
            let disk = ModelDisk::new(seed);
            disk.create_dir(Path::new("/d")).unwrap();
            work(&disk, path).unwrap();
            disk.restart();
            disk.paths().first().map(|path| disk.bytes(path))
        };
        (0..200).map(run).collect()
    }

    fn write(disk: &ModelDisk, path: &Path, byte: u8) -> io::Result<Arc<dyn DiskFile>> {
        let file = disk.create(path).or_else(|_| disk.open(path, true))?;
        file.write_at(&[byte; 600], 0)?;
        Ok(file)
    }

    #[test]
    fn what_is_synced_stays_and_what_is_not_may_be_lost_in_every_way() {
        let synced = outcomes(|disk, path| {
            write(disk, path, 1)?.sync()?;
            disk.sync_dir(Path::new("/d"))
        });
        assert_eq!(synced, BTreeSet::from([Some(vec![1; 600])]));
        let no_name = outcomes(|disk, path| write(disk, path, 1)?.sync());
        assert_eq!(no_name, BTreeSet::from([None, Some(vec![1; 600])]));
        let unsynced = outcomes(|disk, path| {
            write(disk, path, 1)?.sync()?;
            disk.sync_dir(Path::new("/d"))?;
            write(disk, path, 2).map(|_| ())
        });
        let firsts = unsynced.iter().map(|found| found.as_ref().unwrap()[0]);
        assert_eq!(firsts.collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
        let is_torn = |found: &Option<Vec<u8>>| {
            let sector = &found.as_ref().unwrap()[..SECTOR];
            sector.contains(&1) && sector.contains(&2)
        };
        assert!(unsynced.iter().any(is_torn));
    }

    #[test]
    fn a_rename_is_there_or_not_and_a_failed_sync_is_followed_by_false_success() {
        let renamed = outcomes(|disk, path| {
            let other = Path::new("/d/g");
            disk.put(path, &[1]);
            disk.put(other, &[2]);
            disk.rename(other, path)
        });
        // The first name is /d/f in both cases.
        assert_eq!(renamed, BTreeSet::from([Some(vec![1]), Some(vec![2])]));
        let failed = outcomes(|disk, path| {
            let file = write(disk, path, 1)?;
            file.sync()?;
            disk.sync_dir(Path::new("/d"))?;
            write(disk, path, 2)?;
            disk.fail_sync_once();
            assert!(file.sync().is_err());
            assert!(file.sync().is_ok());
            Ok(())
        });
        assert!(failed.len() > 1, "the second sync has written nothing");
    }

    #[test]
    fn a_machine_that_has_stopped_does_nothing_more() {
        let disk = ModelDisk::new(1);
        disk.create_dir(Path::new("/d")).unwrap();
        let file = write(&disk, Path::new("/d/f"), 1).unwrap();
        disk.stop_at(disk.operations() + 1);
        assert!(file.write_at(&[2], 0).is_err());
        assert!(disk.is_stopped() && file.sync().is_err());
        disk.kill();
        assert!(file.len().is_err(), "a handle of an earlier life");
        assert!(disk.open(Path::new("/d/f"), false).is_ok());
    }

    #[test]
    fn a_full_disk_takes_what_there_is_room_for() {
        let disk = ModelDisk::new(1);
        disk.create_dir(Path::new("/d")).unwrap();
        let file = write(&disk, Path::new("/d/f"), 1).unwrap();
        disk.set_free(Some(10));
        let refused = file.allocate(1000).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        assert!(file.write_at(&[2; 20], 600).is_err());
        assert_eq!(file.len().unwrap(), 610);
        disk.set_free(None);
        file.write_at(&[2; 20], 600).unwrap();
    }
}
