//! The messages of a run: what they hold, how they are produced, and how they are checked.

pub(crate) mod content;
pub(crate) mod source;
pub(crate) mod tail;
pub(crate) mod tally;
