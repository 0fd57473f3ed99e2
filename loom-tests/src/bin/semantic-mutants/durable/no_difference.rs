//! Changes that make no difference that a test could notice, with the reasons.

use super::Mutant;
use super::{REMOVE, WRITE, files};

pub(crate) const NO_DIFFERENCE: &[(Mutant, &str)] = &[
    (
        files(
            "a next file is not synced before the one before is removed",
            REMOVE,
            "        new.handle.sync().map_err(|error| {\n            mark_failed_sync(&*self.disk, &self.dir);\n            StorageError::io(\"syncing\", &new.file.path, &error)\n        })?;\n",
            "",
        ),
        "log-start says durably where records begin before a file is removed, and a next file has no record until the sync after",
    ),
    (
        files(
            "the writer does not know that a name was removed",
            REMOVE,
            "        writer.names_changed = true;\n",
            "",
        ),
        "recovery removes a file again that is back: log-start says durably that its records were deleted",
    ),
    (
        files(
            "a file that was begun and failed stays as it is",
            WRITE,
            "left.and_then(|file| file.set_len(0).map(|()| file))",
            "left",
        ),
        "what an attempt leaves is a part of a header at most, and the header is written whole again",
    ),
    (
        files(
            "a failed sync of the directory leaves no mark",
            REMOVE,
            "            mark_failed_sync(&*self.disk, &self.dir);\n            let error = StorageError::io(\"syncing the directory\"",
            "            let error = StorageError::io(\"syncing the directory\"",
        ),
        "the mark has the next process read contents again, which are not concerned: about names that may be lost it does nothing",
    ),
];
