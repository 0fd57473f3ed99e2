//! A file mapped for reading.

/// A read-only mapping.
#[derive(Debug)]
pub(crate) struct Mapping;
