//! The error of the harness: what went wrong, in words.

/// An error of a run, of a system or of the command line.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
