#![allow(unsafe_code)]

use super::records::Records;
use core::fmt;
use zerocopy::{FromBytes, Immutable};

/// The values of a [`Batch`], viewed in place as `T`.
pub struct Values<'b, T> {
    pub(super) frames: Records<'b>,
    pub(super) run: core::slice::Iter<'b, T>,
}

impl<'b, T: FromBytes + Immutable> Values<'b, T> {
    /// The values of these records, each of which has the size of `T`.
    pub(crate) fn new(frames: Records<'b>) -> Values<'b, T> {
        Values {
            frames,
            run: [].iter(),
        }
    }

    /// The next values that lie back to back in the ring, as one slice: a whole frame of
    /// `send_values`, or a single value.
    #[inline]
    pub fn next_slice(&mut self) -> Option<&'b [T]> {
        let rest = self.run.as_slice();
        if !rest.is_empty() {
            self.run = [].iter();
            return Some(rest);
        }
        let (_, run) = self.frames.next_run()?;
        let (_, bytes) = self.frames.place?;
        let count = run.count as usize;
        debug_assert_eq!(run.length, size_of::<T>());
        // `values` has checked that every length is the size of `T`, so the values
        // lie one `T` apart, and that `T` needs no more alignment than where values begin
        // (frame.rs) or a multiple of its own size from there. Any bytes are a `T`
        // (`FromBytes`), and nobody changes them (`Immutable`).
        // SAFETY: B1, with the size, alignment and contents of `T` as just said.
        Some(unsafe {
            let bytes = bytes.slice(run.at, run.length * count);
            core::slice::from_raw_parts(bytes.as_ptr().cast::<T>(), count)
        })
    }
}

impl<'b, T: FromBytes + Immutable> Iterator for Values<'b, T> {
    type Item = &'b T;

    #[inline]
    fn next(&mut self) -> Option<&'b T> {
        loop {
            if let Some(value) = self.run.next() {
                return Some(value);
            }
            self.run = self.next_slice()?.iter();
        }
    }
}

impl<T> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}
