//! A file mapped for reading.
//!
//! [`Mapping::bytes`] lends the pages of a file as `&[u8]`. That is sound under this invariant,
//! which the callers keep:
//!
//! - **D6** What is read was written completely before, is never written again, and lies before the
//!   end of the file. Files are append-only. Only their owner, which holds the directory's lock,
//!   writes them, and it cuts a file only where nothing was lent. Past the end of the file lies no
//!   memory: reading there ends the process (SIGBUS).
//!
//! Outside of this invariant is what another program does to the files. One that overwrites or cuts
//! a file that is mapped changes bytes under a `&[u8]`, or ends the process. No check can prevent
//! it: the system has no lock that every program obeys.
#![allow(unsafe_code)]

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ptr::{self, NonNull};
use std::slice;

/// A read-only, shared mapping of the beginning of a file. What is written to the file later is seen
/// through it. It outlives the file's handle, and its name.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Dangling if `len` is 0.
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone, is not bound to a thread, and is only read (D6).
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes. More than the file has is allowed. `None` under Miri, which maps
    /// no files.
    pub(crate) fn new(file: &File, len: u64) -> io::Result<Option<Self>> {
        if cfg!(miri) {
            return Ok(None);
        }
        // A slice may not be longer than `isize::MAX`.
        let len = isize::try_from(len).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes do not fit into the address space"),
            )
        })? as usize;
        if len == 0 {
            // The system refuses to map nothing.
            return Ok(Some(Self {
                address: NonNull::dangling(),
                len,
            }));
        }
        // SAFETY: the system chooses the address, so that nothing that is mapped is replaced.
        let address = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        let address = NonNull::new(address.cast::<u8>())
            .ok_or_else(|| io::Error::other("the system mapped the file at address 0"))?;
        Ok(Some(Self { address, len }))
    }

    /// `len` bytes at `at`, which lie before the end of the file and are never written again (D6).
    /// `None` if they are not all mapped.
    pub(crate) fn bytes(&self, at: usize, len: usize) -> Option<&[u8]> {
        if at.checked_add(len)? > self.len {
            return None;
        }
        // SAFETY: `at + len <= self.len`, which is at most `isize::MAX`, and the mapping lives as
        // long as `self`. The bytes are initialised and do not change (D6).
        Some(unsafe { slice::from_raw_parts(self.address.as_ptr().add(at), len) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: `new` mapped exactly this range, and what `bytes` lends borrows from `self`.
        let unmapped = unsafe { munmap(self.address.as_ptr().cast::<c_void>(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
