//! The values of a batch as fixed-size values of a type, viewed in place.
//!
//! It relies on **B1** of [`records`](super::records), for the bytes that it views.
#![allow(unsafe_code)]

use super::descriptor::UNIT;
use super::records::StoredRecords;
use crate::error::ViewError;
use core::fmt;
use core::iter::FusedIterator;
use zerocopy::{FromBytes, Immutable};

/// Iterates over the values of a [`Batch`](crate::Batch), viewed in place as `T`: see
/// [`Batch::values`](crate::Batch::values).
pub struct Values<'b, T> {
    records: StoredRecords<'b>,
    /// The rest of a run of values whose first ones were returned.
    run: core::slice::Iter<'b, T>,
}

impl<'b, T: FromBytes + Immutable> Values<'b, T> {
    /// The values of `records`.
    ///
    /// # Errors
    /// [`ViewError::Size`] if a value's length is not the size of `T`, and [`ViewError::Alignment`]
    /// if `T` needs more than a unit has.
    pub(crate) fn new(records: StoredRecords<'b>) -> Result<Values<'b, T>, ViewError> {
        if align_of::<T>() > UNIT {
            return Err(ViewError::Alignment {
                align: align_of::<T>(),
                max: UNIT,
            });
        }
        let mut runs = records.clone();
        while let Some((offset, values)) = runs.next_value_run() {
            if values.length != size_of::<T>() {
                return Err(ViewError::Size {
                    offset,
                    length: values.length,
                    size: size_of::<T>(),
                });
            }
        }
        Ok(Values {
            records,
            run: [].iter(),
        })
    }

    /// The next values that lie back to back in the log, as one slice: a whole frame of
    /// [`send_values`](crate::Producer::send_values), or a single value.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Destination, TopicConfig};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// # let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// # consumer.subscribe(["ticks"])?;
    /// topic.producer().send_values(Destination::Any, &[1u64, 2, 3])?;
    /// let batch = consumer.poll(Duration::from_millis(100))?;
    /// let mut values = batch.values::<u64>()?;
    /// assert_eq!(values.next_slice(), Some(&[1, 2, 3][..]));
    /// assert_eq!(values.next_slice(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn next_slice(&mut self) -> Option<&'b [T]> {
        let rest = self.run.as_slice();
        if !rest.is_empty() {
            self.run = [].iter();
            return Some(rest);
        }
        let (_, run) = self.records.next_value_run()?;
        let bytes = self.records.bytes()?;
        let count = run.count as usize;
        debug_assert_eq!(run.length, size_of::<T>());
        // `new` has checked that every length is the size of `T`, so the values lie one `T` apart.
        // It has checked as well that `T` needs no more alignment than a unit has, where values
        // begin (`frame.rs`), or a multiple of its own size from there. Any bytes are a `T`
        // (`FromBytes`), and they do not change (`Immutable`).
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

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.run.len() + self.records.len();
        (left, Some(left))
    }
}

impl<T: FromBytes + Immutable> ExactSizeIterator for Values<'_, T> {}

impl<T: FromBytes + Immutable> FusedIterator for Values<'_, T> {}

impl<T> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}
