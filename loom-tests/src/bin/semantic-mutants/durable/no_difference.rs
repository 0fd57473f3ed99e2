//! Changes that make no difference that a test could notice, with the reasons.

use super::Mutant;
use super::{REMOVE, files};

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
];
