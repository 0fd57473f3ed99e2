//! The finding of a failed check, in words.

/// What is wrong, in words.
pub(crate) type Fault = String;
