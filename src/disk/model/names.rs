//! The directories of a [`ModelDisk`](super::ModelDisk): as programs see them, and on the disk.

use super::{Entry, Random};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir(usize),
    File(usize),
}

/// One version of a directory.
type Listing = BTreeMap<String, Node>;

#[derive(Clone, Debug, Default)]
struct Dir {
    /// As programs see it.
    seen: Listing,
    /// What is on the disk for certain.
    stored: Listing,
}

/// A name in a directory.
#[derive(Clone, Debug)]
struct Name {
    dir: usize,
    name: String,
}

/// A node that gets a name, loses one, or both: then it is a rename.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    node: Node,
    removed: Option<Name>,
    added: Option<Name>,
}

impl NameChange {
    fn is_in(&self, dir: usize) -> bool {
        let names = [&self.removed, &self.added];
        names.into_iter().flatten().any(|name| name.dir == dir)
    }
}

/// All directories. The first is the root.
#[derive(Clone, Debug)]
pub(super) struct Names {
    dirs: Vec<Dir>,
    /// The changes that are not synced, in order.
    unsynced: Vec<NameChange>,
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Names {
    pub(super) fn new() -> Names {
        Names {
            dirs: vec![Dir::default()],
            unsynced: Vec::new(),
        }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Dir(0);
        for part in path.components() {
            if let Component::Normal(name) = part {
                let Node::Dir(dir) = node else {
                    return Err(missing());
                };
                let name = name.to_str().ok_or_else(missing)?;
                node = *self.dirs[dir].seen.get(name).ok_or_else(missing)?;
            }
        }
        Ok(node)
    }

    fn dir(&self, path: &Path) -> io::Result<usize> {
        match self.node(path)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<usize> {
        match self.node(path)? {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn name(&self, path: &Path) -> io::Result<Name> {
        let name = path.file_name().and_then(OsStr::to_str);
        Ok(Name {
            dir: self.dir(path.parent().ok_or_else(missing)?)?,
            name: name.ok_or_else(missing)?.to_owned(),
        })
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let entries = self.dirs[self.dir(dir)?].seen.iter();
        let entries = entries.map(|(name, node)| Entry {
            name: name.clone(),
            is_dir: matches!(node, Node::Dir(_)),
        });
        Ok(entries.collect())
    }

    /// The paths of all files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let (mut paths, mut dirs) = (Vec::new(), vec![(PathBuf::from("/"), 0)]);
        while let Some((path, dir)) = dirs.pop() {
            for (name, node) in &self.dirs[dir].seen {
                match *node {
                    Node::Dir(dir) => dirs.push((path.join(name), dir)),
                    Node::File(_) => paths.push(path.join(name)),
                }
            }
        }
        paths.sort();
        paths
    }

    // ---- changes ------------------------------------------------------------------------

    /// A new file.
    pub(super) fn adding(&self, path: &Path, file: usize) -> io::Result<NameChange> {
        let added = self.name(path)?;
        if self.dirs[added.dir].seen.contains_key(&added.name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(NameChange {
            node: Node::File(file),
            removed: None,
            added: Some(added),
        })
    }

    pub(super) fn removing(&self, path: &Path) -> io::Result<NameChange> {
        Ok(NameChange {
            node: self.node(path)?,
            removed: Some(self.name(path)?),
            added: None,
        })
    }

    pub(super) fn removing_dir(&self, path: &Path) -> io::Result<NameChange> {
        match self.dirs[self.dir(path)?].seen.is_empty() {
            true => self.removing(path),
            false => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        }
    }

    pub(super) fn renaming(&self, from: &Path, to: &Path) -> io::Result<NameChange> {
        Ok(NameChange {
            node: self.node(from)?,
            removed: Some(self.name(from)?),
            added: Some(self.name(to)?),
        })
    }

    /// The directories of this path that are missing, the outermost first.
    pub(super) fn missing(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut levels = Vec::new();
        for level in path.ancestors() {
            match self.dir(level) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    levels.push(level.to_owned());
                }
                Err(error) => return Err(error),
            }
        }
        levels.reverse();
        Ok(levels)
    }

    pub(super) fn add_dir(&mut self, path: &Path) -> io::Result<()> {
        let added = self.name(path)?;
        self.dirs.push(Dir::default());
        self.change(NameChange {
            node: Node::Dir(self.dirs.len() - 1),
            removed: None,
            added: Some(added),
        });
        Ok(())
    }

    /// Programs see the change. It is not synced.
    pub(super) fn change(&mut self, change: NameChange) {
        apply(&mut self.dirs, |dir| &mut dir.seen, &change);
        self.unsynced.push(change);
    }

    // ---- the disk -----------------------------------------------------------------------

    /// Stores the changes in `dir` that `happens` chooses, and forgets the others in it.
    fn settle(&mut self, dir: Option<usize>, mut happens: impl FnMut() -> bool) {
        let dirs = &mut self.dirs;
        self.unsynced.retain(|change| {
            let is_settled = dir.is_none_or(|dir| change.is_in(dir));
            if is_settled && happens() {
                apply(dirs, |dir| &mut dir.stored, change);
            }
            !is_settled
        });
    }

    /// What was changed in the directory is on the disk.
    pub(super) fn sync(&mut self, dir: &Path) -> io::Result<()> {
        let dir = self.dir(dir)?;
        self.settle(Some(dir), || true);
        Ok(())
    }

    /// Some of it is, and all is held for synced (D5).
    pub(super) fn fail_sync(&mut self, dir: &Path, random: &mut Random) -> io::Result<()> {
        let dir = self.dir(dir)?;
        self.settle(Some(dir), || random.coin());
        Ok(())
    }

    /// Each change that was not synced is on the disk or not, and what is there is seen (D3).
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        self.settle(None, || random.coin());
        for dir in &mut self.dirs {
            dir.seen.clone_from(&dir.stored);
        }
    }
}

/// Applies a change to one version of all directories.
fn apply(dirs: &mut [Dir], version: fn(&mut Dir) -> &mut Listing, change: &NameChange) {
    if let Some(Name { dir, name }) = &change.removed {
        let listing = version(&mut dirs[*dir]);
        // Unless another node has the name: an earlier change to it has not happened.
        if listing.get(name) == Some(&change.node) {
            listing.remove(name);
        }
    }
    if let Some(Name { dir, name }) = &change.added {
        version(&mut dirs[*dir]).insert(name.clone(), change.node);
    }
}
