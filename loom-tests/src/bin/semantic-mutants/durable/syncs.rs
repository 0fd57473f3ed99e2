//! Syncs that are left out, and what is done in another order.

use super::Mutant;
use super::{FILES, REMOVE, REPLACE, WRITE, files};

pub(crate) const SYNCS: &[Mutant] = &[
    files(
        "a full file is not synced before it is sealed",
        WRITE,
        "            Self::sync(&*full.handle, &full.file.path)?;\n",
        "",
    ),
    files(
        "the file that is written is not synced",
        WRITE,
        "            Self::sync(&**handle, path)?;\n",
        "            let _ = (handle, path);\n",
    ),
    files(
        "the names are not synced with the files",
        WRITE,
        "            self.files.sync_names()?;\n",
        "",
    ),
    files(
        "a seal is not synced",
        WRITE,
        "            Self::sync(&**handle, &file.path)?;\n            file.set_sealed",
        "            file.set_sealed",
    ),
    files(
        "a file is sealed before it is synced",
        WRITE,
        "        for full in &self.full {\n            Self::sync",
        "        for full in &self.full {\n            if let Some(seal) = full.seal {\n                let _ = full.handle.write_at(&seal.encode(full.header_crc), SEAL_AT);\n            }\n            Self::sync",
    ),
    files(
        "the durable end is raised before the sync",
        WRITE,
        "    fn run_once(&self) -> Result<u64, StorageError> {\n",
        "    fn run_once(&self) -> Result<u64, StorageError> {\n        lock_std(&self.files.state).durable_end = self.end;\n",
    ),
    files(
        "what was appended during a sync counts as durable",
        WRITE,
        "state.durable_end.max(self.end)",
        "state.durable_end.max(state.written_end)",
    ),
    files(
        "a chunk after a sync begins on no page of its own",
        WRITE,
        "            active.position = active.position.next_multiple_of(PAGE);\n",
        "",
    ),
    files(
        "a sync does not know of one of the directory that has failed",
        WRITE,
        "            if let Some(error) = &state.failed_sync {\n                return Err(error.clone());\n            }\n",
        "",
    ),
    files(
        "a sync is not begun because the directory's has failed",
        WRITE,
        " && !names_changed && !has_failed {",
        " && !names_changed && (!has_failed || has_failed) {",
    ),
    files(
        "an append does not know of a failed sync of the directory",
        FILES,
        "state.fault.as_ref().or(state.failed_sync.as_ref())",
        "state.fault.as_ref()",
    ),
    files(
        "a stopped partition is appended to",
        FILES,
        "state.fault.as_ref().or(state.failed_sync.as_ref())",
        "state.failed_sync.as_ref()",
    ),
    files(
        "a stopped partition is synced again",
        WRITE,
        "            if state.fault.is_some() {\n                return None;\n            }\n",
        "",
    ),
    files(
        "a failed sync leaves no mark",
        WRITE,
        "        if synced.is_err() {\n            mark_failed_sync",
        "        if false {\n            mark_failed_sync",
    ),
    files(
        "the writer does not know that a new file has a new name",
        WRITE,
        "                writer.names_changed = true;\n",
        "",
    ),
    files(
        "a full file is as long as its index",
        WRITE,
        "handle.set_len(end.next_multiple_of(PAGE))",
        "handle.set_len(end)",
    ),
    files(
        "a next file's name is not synced before the one before is removed",
        REMOVE,
        "        writer.active = Some(new);\n        self.sync_names()\n",
        "        writer.active = Some(new);\n        Ok(())\n",
    ),
    files(
        "a removal is not synced",
        REMOVE,
        "        self.remove_first()?;\n        self.sync_names()\n",
        "        self.remove_first()\n",
    ),
    files(
        "log-start's name is not synced",
        REMOVE,
        "put_in_place(&*self.disk, &path, &bytes)?;\n        self.sync_names()\n",
        "put_in_place(&*self.disk, &path, &bytes)\n",
    ),
    files(
        "a log-start of a process that died is not synced",
        REMOVE,
        "            if core::mem::take(&mut removal.start_may_be_lost) {\n",
        "            if false {\n",
    ),
    files(
        "on a full disk a removal goes by a seal that may not be synced",
        REMOVE,
        "                self.sync_file(next)?;\n",
        "",
    ),
    files(
        "on a full disk the names are not synced before a removal",
        REMOVE,
        "                self.sync_file(next)?;\n                self.sync_names()?;\n",
        "                self.sync_file(next)?;\n",
    ),
    files(
        "a removal stores no log-start",
        REMOVE,
        "        match self.store_start(next.base.max(self.start())) {",
        "        match Ok::<(), StorageError>(()) {",
    ),
    files(
        "a removal moves log-start back",
        REMOVE,
        "self.store_start(next.base.max(self.start()))",
        "self.store_start(next.base)",
    ),
    files(
        "records are deleted before log-start is stored",
        REMOVE,
        "        self.store_start(offset)?;\n        removal.start_may_be_lost = false;\n",
        "        removal.start_may_be_lost = false;\n",
    ),
    files(
        "retention goes on after a failed sync of the directory",
        REMOVE,
        "        self.refuse_stopped()?;\n        let is_old =",
        "        let is_old =",
    ),
    files(
        "room is made after a failed sync of the directory",
        REMOVE,
        "        self.refuse_stopped()?;\n        let next = lock_std",
        "        let next = lock_std",
    ),
    files(
        "records are deleted after a failed sync of the directory",
        REMOVE,
        "        self.refuse_stopped()?;\n        if offset <= self.start() {",
        "        if offset <= self.start() {",
    ),
    files(
        "a failed sync of the directory is not remembered",
        REMOVE,
        "            let error = StorageError::io(\"syncing the directory\", &self.dir, &error);\n            let failed_sync = &mut lock_std(&self.state).failed_sync;\n            failed_sync.get_or_insert(error).clone()\n",
        "            StorageError::io(\"syncing the directory\", &self.dir, &error)\n",
    ),
    files(
        "the oldest file is given up though the next is not sealed",
        REMOVE,
        "next.filter(|next| next.is_sealed())",
        "next",
    ),
    files(
        "a small file's contents are not synced before its name",
        REPLACE,
        "        .and_then(|()| file.sync().map_err(failed(\"syncing\", &temporary)));",
        ";",
    ),
    files(
        "a new partition's directory is not synced",
        FILES,
        "        if let Some(parent) = dir.parent() {",
        "        if let Some(parent) = dir.parent().filter(|_| false) {",
    ),
];
