//! A partition's log: segments of shared memory, the ring that orders them, and their readers.
//!
//! Each file or folder is a layer, and imports only from the ones above it in this list:
//!
//! | layer | what it is |
//! |---|---|
//! | `overflow`, `counters`, `partition_id`, `waiting_readers` | overflow policy; rare events; a partition's number; where readers sleep |
//! | `segment/` | one append buffer: claim, fill, publish, read, seal, recycle |
//! | `holds` | which segment each reader holds: hazard pointers |
//! | `published_position` | how far a reader has read, for readers that must not pass it |
//! | `segment_pool`, `retention` | a topic's free segments; the limits of what is kept |
//! | `partition/` | the ring of live segments: claim, roll, retire, lookups |
//! | `cursor/`, `time_lookup` | one reader's position in a partition; lookups by time |

pub(crate) mod counters;
pub(crate) mod cursor;
pub(crate) mod files;
pub(crate) mod holds;
pub(crate) mod overflow;
pub(crate) mod partition;
pub(crate) mod partition_id;
pub(crate) mod published_position;
pub(crate) mod retention;
pub(crate) mod segment;
pub(crate) mod segment_pool;
pub(crate) mod time_lookup;
pub(crate) mod waiting_readers;
