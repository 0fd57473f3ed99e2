//! The real file system.

/// The system's files.
#[derive(Debug, Default)]
pub(crate) struct FileSystem;
