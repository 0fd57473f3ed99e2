//! What the threads of a storage, a broker and the small files do not do.

use super::Mutant;
use super::{
    COMMITS, COPIER, OPEN, REPLACE, SHARED, STORAGE_MOD, SYNCER, TEXT, WAITING, directories,
    storage,
};

pub(crate) const STORAGE: &[Mutant] = &[
    storage(
        "the copier lets go of a frame before it is appended",
        COPIER,
        "        files.append(buffer)?;\n        self.cursor.pass(&run);\n",
        "        self.cursor.pass(&run);\n        files.append(buffer)?;\n",
    ),
    storage(
        "the copier forgets which offsets it missed",
        COPIER,
        "            files.append_gap(first)?;\n",
        "            files.append_gap(first - 1)?;\n",
    ),
    storage(
        "a full disk stops a partition",
        COPIER,
        "                Err(error) if may_pass(&error) => {",
        "                Err(error) if may_pass(&error) && all > usize::MAX - 1 => {",
    ),
    storage(
        "a full disk gives up no file",
        COPIER,
        "self.durable.files.remove_oldest().unwrap_or(false)",
        "false",
    ),
    storage(
        "a write that failed stops no partition",
        COPIER,
        "                Err(error) => self.shared.stop(&one.durable, error),",
        "                Err(error) => self.shared.report(error),",
    ),
    storage(
        "a sync that failed stops no partition",
        SYNCER,
        "                Err(error) => shared.stop(&durable, error),",
        "                Err(error) => shared.report(error),",
    ),
    storage(
        "each send wakes the readers of what is stored",
        "src/consumer/assigned_partition.rs",
        "            true => waiting.for_files(),",
        "            true => waiting.for_records(),",
    ),
    storage(
        "sends do not wake readers of what is written once the files have failed",
        "src/consumer/read_limit.rs",
        ".is_some_and(|stored| !stored.is_lifted())",
        ".is_some()",
    ),
    storage(
        "readers of what is stored are not woken by what wakes others",
        "src/log/waiting_readers.rs",
        "        self.for_files.notify();\n",
        "",
    ),
    storage(
        "readers of durable records are not woken by a sync",
        SYNCER,
        "                Ok(_) => durable.readers.notify(),",
        "                Ok(_) => {}",
    ),
    storage(
        "a wait for written records is not woken by the copier",
        COPIER,
        "            self.durable.storage.written.notify();\n",
        "",
    ),
    storage(
        "a wait for written records is not woken when a partition stops",
        SHARED,
        "        self.written.notify();\n",
        "",
    ),
    storage(
        "a wait for written records ends although they are not",
        WAITING,
        "            Level::Written => ends.written,",
        "            Level::Written => ends.written.max(1 << 40),",
    ),
    storage(
        "a topic ends for a reader of durable records after the last record",
        "src/log/partition/roll.rs",
        "            Some(files) if files.is_stopped() => Some(end.min(files.durable_end())),\n",
        "",
    ),
    storage(
        "a second owner of a topic's files takes the first one's right away",
        SHARED,
        "        is_free.then(|| Served {",
        "        is_free.then_some(()); Some(Served {",
    ),
    directories(
        "a file of another topic names one whose record is lost",
        "src/log/files/aside.rs",
        "        (header.topic_id == topic_id).then_some(header.topic)",
        "        Some(header.topic)",
    ),
    directories(
        "a directory whose topic is not known is not reported",
        "src/storage/catalog.rs",
        "            None if !is_missing || has_records(disk, &dir)? =>",
        "            None if !is_missing && has_records(disk, &dir)? =>",
    ),
    directories(
        "a damaged record of a topic without records is not reported",
        "src/storage/catalog.rs",
        "            None if !is_missing || has_records(disk, &dir)? =>",
        "            None if has_records(disk, &dir)? =>",
    ),
    directories(
        "two directories of one topic are both served",
        "src/storage/catalog.rs",
        "        let same = by_name.get(&record.name).or_else(|| by_id.get(&record.id));",
        "        let same = by_name.get(&record.name).or_else(|| by_id.get(&record.id)).filter(|_| false);",
    ),
    storage(
        "a partition that stops closes no topic",
        SHARED,
        "        if self.config.on_write_error == OnWriteError::Close {",
        "        if false {",
    ),
    storage(
        "a partition that stops closes its topic whatever is configured",
        SHARED,
        "        if self.config.on_write_error == OnWriteError::Close {",
        "        if true {",
    ),
    storage(
        "a wait does not look for what has failed",
        WAITING,
        "                fault = ends.fault;",
        "                fault = ends.fault.filter(|_| false);",
    ),
    storage(
        "a wait wants one record less",
        WAITING,
        "            let is_stored = one.end <= level.end_of(&ends);",
        "            let is_stored = one.end <= level.end_of(&ends) + 1;",
    ),
    storage(
        "a new topic's name is not synced",
        STORAGE_MOD,
        "        disk.sync_dir(&topics)\n            .map_err(|error| StorageError::io(\"syncing the directory\", &topics, &error))?;\n        Ok(files)",
        "        Ok(files)",
    ),
    storage(
        "the directory of the topics is not synced",
        STORAGE_MOD,
        "    for dir in [dir, &dir.join(\"topics\")] {",
        "    for dir in [&dir.join(\"topics\")] {",
    ),
    storage(
        "the directory of the values is not synced",
        STORAGE_MOD,
        "        disk.sync_dir(self.path())\n            .map_err(|error| StorageError::io(\"syncing the directory\", self.path(), &error))?;\n",
        "",
    ),
    storage(
        "a small file's name is not synced",
        REPLACE,
        "        Some(dir) => disk\n            .sync_dir(dir)\n            .map_err(|error| StorageError::io(\"syncing the directory\", dir, &error)),\n",
        "        Some(_) => Ok(()),\n",
    ),
    storage(
        "a small file's contents are not synced, of a topic",
        REPLACE,
        "        .and_then(|()| file.sync().map_err(failed(\"syncing\", &temporary)));",
        ";",
    ),
    storage(
        "a closed storage has not synced",
        COPIER,
        "            self.begin_sync(None);\n            self.shared.wait_for_syncer();\n        }\n    }\n\n    // ---- upkeep",
        "            self.shared.wait_for_syncer();\n        }\n    }\n\n    // ---- upkeep",
    ),
    storage(
        "a commit past the end of its log is restored",
        OPEN,
        "                offset: commit.offset.clamp(bounds.0, bounds.1),",
        "                offset: commit.offset.max(bounds.0),",
    ),
    storage(
        "a commit before the start of its log is restored",
        OPEN,
        "                offset: commit.offset.clamp(bounds.0, bounds.1),",
        "                offset: commit.offset.min(bounds.1),",
    ),
    storage(
        "a topic's record is taken whatever its checksum",
        TEXT,
        "(crc == crc32c::crc32c(lines.as_bytes())).then(|| lines.to_owned())",
        "(crc < u32::MAX).then(|| lines.to_owned())",
    ),
    storage(
        "a value is taken whatever its checksum",
        COMMITS,
        "(u32::from_le_bytes(*crc) == crc32c::crc32c(value)).then(|| value.to_vec())",
        "(crc.len() == 4).then(|| value.to_vec())",
    ),
    storage(
        "a topic's record that was reconstructed is not stored",
        STORAGE_MOD,
        "            if found.was_damaged {\n",
        "            if false {\n",
    ),
];
