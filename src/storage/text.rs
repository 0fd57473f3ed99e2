//! The small files of a storage: lines of text under a checksum, replaced as a whole.
//!
//! A crash leaves the old contents or the new ones (`disk/replace.rs`). The last line has the
//! checksum of those before it:
//!
//! ```text
//! ringlog-topic 1
//! name orders
//! partitions 4
//! crc32c 8f3b00c1
//! ```

use crate::disk::{Disk, read_small, replace as replace_bytes};
use crate::error::StorageError;
use std::path::Path;

/// Replaces the contents of `path` by `lines`, durably.
pub(super) fn replace(disk: &dyn Disk, path: &Path, lines: &str) -> Result<(), StorageError> {
    let crc = crc32c::crc32c(lines.as_bytes());
    replace_bytes(disk, path, format!("{lines}crc32c {crc:08x}\n").as_bytes())
}

/// What was found under a name.
pub(super) enum Contents {
    /// No such file.
    Missing,
    /// The lines before the checksum's.
    Lines(String),
    /// The checksum is wrong, or there is none.
    Damaged,
}

/// The lines of `path`, checked.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Contents, StorageError> {
    let Some(bytes) = read_small(disk, path)? else {
        return Ok(Contents::Missing);
    };
    let checked = String::from_utf8(bytes).ok().and_then(|text| {
        let last = text.trim_end_matches('\n').rfind('\n')? + 1;
        let (lines, crc) = text.split_at(last);
        let crc = crc.strip_prefix("crc32c ")?.trim_end();
        let crc = u32::from_str_radix(crc, 16).ok()?;
        (crc == crc32c::crc32c(lines.as_bytes())).then(|| lines.to_owned())
    });
    Ok(checked.map_or(Contents::Damaged, Contents::Lines))
}

/// The value of a line `key value`, if the line has that key.
pub(super) fn value_of<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.strip_prefix(key)?.strip_prefix(' ')
}
