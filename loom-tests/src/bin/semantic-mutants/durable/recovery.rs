//! What a recovery does not do.

use super::Mutant;
use super::{ASIDE, RECOVER, files};

pub(crate) const RECOVERY: &[Mutant] = &[
    files(
        "a cut file is not synced",
        ASIDE,
        "        handle.sync().map_err(|error| {\n            mark_failed_sync(self.disk, self.dir);\n            io(\"syncing\")(error)\n        })\n",
        "        Ok(())\n",
    ),
    files(
        "a tail is not cut off",
        ASIDE,
        "        handle.set_len(cut).map_err(io(\"cutting the file\"))?;\n",
        "",
    ),
    files(
        "a file is cut within a page",
        RECOVER,
        "        let cut = scanned.position.next_multiple_of(PAGE);\n",
        "        let cut = scanned.position;\n",
    ),
    files(
        "a damaged rest is cut off without a copy",
        ASIDE,
        "            self.copy_rest(handle, scanned.position, used, &aside)?;\n",
        "            drop(self.disk.create(&path.with_file_name(&aside)));\n",
    ),
    files(
        "the copy of a damaged rest is not synced",
        ASIDE,
        "        copy.sync().map_err(Self::failed(\"syncing\", &path))",
        "        Ok(())",
    ),
    files(
        "names are not synced after something was set aside",
        ASIDE,
        "        self.disk\n            .sync_dir(self.dir)\n            .map_err(Self::failed(\"syncing the directory\", self.dir))?;\n",
        "",
    ),
    files(
        "what is set aside replaces what was before",
        ASIDE,
        "        let mut names = names.skip_while(is_taken);\n",
        "        let mut names = names.skip_while(|name| is_taken(name) && false);\n",
    ),
    files(
        "log-start is not synced before files are removed by it",
        RECOVER,
        "            self.disk\n                .sync_dir(self.dir)\n                .map_err(Self::failed(\"syncing the directory\", self.dir))?;\n",
        "",
    ),
    files(
        "files that were removed stay back",
        RECOVER,
        "        if first > 0 {\n            // The process",
        "        first = 0;\n        if first > 0 {\n            // The process",
    ),
    files(
        "a name alone shows that files before it have no record",
        RECOVER,
        "            if self.open(&names[number])?.is_some() {",
        "            if number > 0 {",
    ),
    files(
        "what may not be on the disk is not read again after a failed sync",
        RECOVER,
        "            handle.reload().map_err(Self::failed(\"reading\", &path))?;\n",
        "",
    ),
    files(
        "the mark of a failed sync is removed before recovery has ended",
        RECOVER,
        "        self.remove_again(&mut names)?;\n",
        "        if self.has_failed_sync {\n            let _ = self.disk.remove_file(&self.dir.join(SYNC_FAILED));\n        }\n        self.remove_again(&mut names)?;\n",
    ),
    files(
        "the mark of a failed sync is never removed",
        RECOVER,
        "        if self.has_failed_sync {\n            let path",
        "        if false {\n            let path",
    ),
    files(
        "names that recovery has found are not synced",
        RECOVER,
        "            writer.active.is_some() || !writer.full.is_empty() || stored_start > durable_end;",
        "            false;",
    ),
    files(
        "a log-start that recovery has found counts as synced",
        RECOVER,
        "        writer.start_may_be_lost = stored_start > 0;\n",
        "",
    ),
    files(
        "what recovery has found is durable",
        RECOVER,
        "        let durable_end = sealed_end.or(base).unwrap_or(0);\n",
        "        let durable_end = end;\n        let _ = sealed_end;\n",
    ),
    files(
        "what is before log-start is durable",
        RECOVER,
        "        let durable_end = sealed_end.or(base).unwrap_or(0);\n",
        "        let durable_end = sealed_end.or(base).unwrap_or(0).max(stored_start);\n",
    ),
    files(
        "a file that is found does not need a sync",
        RECOVER,
        "            is_dirty: true,",
        "            is_dirty: false,",
    ),
    files(
        "room that a file has is reserved",
        RECOVER,
        "            allocated: cut.min(len),",
        "            allocated: u64::MAX,",
    ),
    files(
        "a file shows where records begin though those before may be lost",
        RECOVER,
        "files.is_empty() && file.base > self.stored_start && !file.proves_start()",
        "files.is_empty() && file.base > u64::MAX - 1",
    ),
    files(
        "no file shows where records begin",
        RECOVER,
        "files.is_empty() && file.base > self.stored_start && !file.proves_start()",
        "files.is_empty() && file.base > self.stored_start",
    ),
    files(
        "a file of another topic is taken",
        RECOVER,
        "header.topic_id == self.name.topic_id && header.partition",
        "header.partition",
    ),
    files(
        "a file of another partition is taken",
        RECOVER,
        "header.topic_id == self.name.topic_id && header.partition == self.name.partition",
        "header.topic_id == self.name.topic_id",
    ),
    files(
        "a file is taken whatever its name",
        RECOVER,
        "        if name != file_name(header.base) {",
        "        if false {",
    ),
    files(
        "files need not follow each other",
        RECOVER,
        "                if end != base {",
        "                if end > base + u64::from(u32::MAX) {",
    ),
    files(
        "a seal is taken whatever the file's length",
        RECOVER,
        "            seal.end >= header.base && end.is_some_and(|end| end <= len)",
        "            seal.end >= header.base && end.is_some()",
    ),
    files(
        "appending goes on at the end though records up to a later one were deleted",
        RECOVER,
        "        if stored_start > end {",
        "        if false {",
    ),
    files(
        "a file that was not sealed and is not the last stays so",
        RECOVER,
        "        writer.full.push(full);\n",
        "        drop(full);\n",
    ),
    files(
        "a full disk keeps a partition closed",
        RECOVER,
        "            Err(error) if error.is_full() => Full {",
        "            Err(error) if error.is_full() && false => Full {",
    ),
    files(
        "an empty file of a creation that failed is set aside",
        RECOVER,
        "                let is_empty = bytes.iter().all(|&byte| byte == 0) && len <= FIRST_CHUNK;",
        "                let is_empty = false;",
    ),
    files(
        "a damaged header hides that its records were durable",
        RECOVER,
        "        Ok(Seal::is_begun(&seal) || base.is_ok_and(|base| durable > base))",
        "        Ok(base.is_ok_and(|base| durable < base))",
    ),
];
