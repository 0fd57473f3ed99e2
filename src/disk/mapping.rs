//! A file mapped for reading.
//!
//! # Invariant
//!
//! - **D6** What is read of a mapping was written completely before, is never written again, and
//!   lies before the file's end. Ringlog's files are append-only; only the storage that holds the
//!   lock of their directory writes them; and a reader asks only for chunks that were appended
//!   before. So a `&[u8]` of them does not change.
//!
//! Another program that writes to the files, or cuts them, breaks this: the lock does not keep it
//! from that. Reading past the end of a file that was cut ends the process (`SIGBUS`).
#![allow(unsafe_code)]

use core::ptr::{self, NonNull};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::io;

/// A read-only mapping of the beginning of a file. It stays readable when the file is removed.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: D6: memory that does not change, and that the mapping owns.
unsafe impl Send for Mapping {}

// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes, which may be more than the file has.
    pub(super) fn new(file: &File, len: u64) -> io::Result<Mapping> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a new mapping, at an address that the system chooses.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                mapped_len(len),
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        let start = NonNull::new(start.cast::<u8>());
        let start = start.ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Mapping { start, len })
    }

    /// The bytes `at .. at + len`, which were written before (D6); `None` if they are not mapped.
    pub(crate) fn bytes(&self, at: usize, len: usize) -> Option<&[u8]> {
        let end = at.checked_add(len)?;
        if end > self.len {
            return None;
        }
        // SAFETY: within the mapping, which lives as long as `self`; D6: they do not change.
        Some(unsafe { core::slice::from_raw_parts(self.start.add(at).as_ptr(), len) })
    }

    /// The words from byte `at` on, which is a multiple of 8; otherwise as [`bytes`](Self::bytes).
    pub(crate) fn words(&self, at: usize, words: usize) -> Option<&[u64]> {
        let bytes = self.bytes(at, words.checked_mul(8)?)?;
        if at % 8 != 0 {
            return None;
        }
        // SAFETY: the same bytes, aligned: a mapping begins on a page. Any bits are a `u64`.
        Some(unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast::<u64>(), words) })
    }
}

/// The system refuses to map nothing.
fn mapped_len(len: usize) -> usize {
    len.max(1)
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` has made; nothing borrows it any more. A failure would
        // leave it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), mapped_len(self.len)) };
    }
}
