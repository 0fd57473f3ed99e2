//! The operations of a [`ModelDisk`], and of its files.

use super::{ModelDisk, Op, Outcome, State};
use crate::disk::{Disk, DiskFile, Entry};
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// An open file.
#[derive(Debug)]
struct ModelFile {
    disk: ModelDisk,
    file: usize,
    life: u64,
    for_writing: bool,
}

/// A lock that was taken.
#[derive(Debug)]
struct Lock {
    disk: ModelDisk,
    file: usize,
    life: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locked.retain(|&file| file != self.file);
        }
    }
}

impl ModelDisk {
    fn holds(&self, dir: &Path) -> bool {
        let state = &mut *self.state();
        let holds = state.slow_dir.as_deref() == Some(dir);
        state.is_holding |= holds;
        holds
    }
}

impl Disk for ModelDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = &mut *self.state();
        let life = state.life;
        let done = state.begin_whole(Op::Create, life)?;
        let file = state.files.len();
        let change = state.names.adding(path, file)?;
        state.new_file();
        state.names.change(change);
        done?;
        Ok(self.handle(file, life, true))
    }

    fn open(&self, path: &Path, for_writing: bool) -> io::Result<Arc<dyn DiskFile>> {
        let state = &mut *self.state();
        let life = state.life;
        state.begin_whole(Op::Open, life)??;
        let file = state.names.file(path)?;
        Ok(self.handle(file, life, for_writing))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = &mut *self.state();
        let life = state.life;
        state.begin_whole(Op::List, life)??;
        state.names.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        let life = state.life;
        let done = state.begin_whole(Op::CreateDir, life)?;
        let levels = state.names.missing(dir)?;
        let all = levels.len() as u64;
        let made = match &done {
            Ok(()) => all,
            Err(_) => state.random.below(all + 1),
        };
        for level in levels.into_iter().take(made as usize) {
            state.names.add_dir(&level)?;
        }
        done
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        let life = state.life;
        let done = state.begin_whole(Op::Rename, life)?;
        let change = state.names.renaming(from, to)?;
        state.names.change(change);
        done
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        let life = state.life;
        let done = state.begin_whole(Op::RemoveFile, life)?;
        let file = state.names.file(path)?;
        let change = state.names.removing(path)?;
        state.names.change(change);
        state.give_all_room(file);
        done
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        let life = state.life;
        let done = state.begin_whole(Op::RemoveDir, life)?;
        let change = state.names.removing_dir(dir)?;
        state.names.change(change);
        done
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        while self.holds(dir) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let state = &mut *self.state();
        let life = state.life;
        match state.begin(Op::SyncDir, life)? {
            Outcome::Done => state.names.sync(dir),
            // What is stopped has still to lose its power.
            Outcome::Fails(error) if state.is_stopped => Err(error),
            Outcome::Fails(error) => {
                state.names.fail_sync(dir, &mut state.random)?;
                Err(error)
            }
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>> {
        let state = &mut *self.state();
        let life = state.life;
        let done = state.begin_whole(Op::Lock, life)?;
        let file = match state.names.file(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let change = state.names.adding(path, state.files.len())?;
                state.names.change(change);
                state.new_file()
            }
            Err(error) => return Err(error),
        };
        done?;
        if state.locked.contains(&file) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked.push(file);
        let disk = self.clone();
        Ok(Box::new(Lock { disk, file, life }))
    }
}

impl ModelDisk {
    fn handle(&self, file: usize, life: u64, for_writing: bool) -> Arc<dyn DiskFile> {
        let disk = self.clone();
        Arc::new(ModelFile {
            disk,
            file,
            life,
            for_writing,
        })
    }
}

impl ModelFile {
    /// The length of what is done of an operation on `len` bytes, and its result.
    fn begin(&self, state: &mut State, op: Op, len: u64) -> io::Result<(u64, io::Result<()>)> {
        if op.changes() && !self.for_writing {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(match state.begin(op, self.life)? {
            Outcome::Done => (len, Ok(())),
            Outcome::Fails(error) => (state.random.below(len + 1), Err(error)),
        })
    }
}

impl DiskFile for ModelFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let state = &mut *self.disk.state();
        let (len, done) = self.begin(state, Op::Write, bytes.len() as u64)?;
        let room = state.take_room(self.file, at + len).saturating_sub(at);
        let written = len.min(room);
        state.files[self.file].write(at, &bytes[..written as usize]);
        done?;
        match written < len {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        let state = &mut *self.disk.state();
        self.begin(state, Op::Read, 0)?.1?;
        Ok(state.files[self.file].read(out, at))
    }

    fn len(&self) -> io::Result<u64> {
        let state = &mut *self.disk.state();
        self.begin(state, Op::Len, 0)?.1?;
        Ok(state.files[self.file].len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let state = &mut *self.disk.state();
        let (part, done) = self.begin(state, Op::SetLen, 1)?;
        if part == 1 {
            state.files[self.file].set_len(len);
            state.give_room(self.file, len);
        }
        done
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let state = &mut *self.disk.state();
        let (part, done) = self.begin(state, Op::Allocate, len)?;
        let room = state.take_room(self.file, part);
        let file = &mut state.files[self.file];
        file.set_len(file.len().max(room.min(part)));
        done?;
        match room < len {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let state = &mut *self.disk.state();
        let (_, done) = self.begin(state, Op::Sync, 0)?;
        match &done {
            Ok(()) => state.files[self.file].sync(),
            Err(_) if state.is_stopped => state.files[self.file].write_back(&mut state.random),
            Err(_) => state.files[self.file].fail_sync(&mut state.random),
        }
        done
    }

    fn reload(&self) -> io::Result<()> {
        let state = &mut *self.disk.state();
        self.begin(state, Op::Read, 0)?.1?;
        state.files[self.file].reload();
        Ok(())
    }

    #[cfg(unix)]
    fn map(&self, _len: u64) -> io::Result<Option<crate::disk::Mapping>> {
        Ok(None)
    }
}
