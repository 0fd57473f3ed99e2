use crate::log::holds::Hold;
use crate::sync::Mutex;
use std::sync::Arc;

/// What a subscribed consumer has still to take in: partitions that were added, each with its
/// hold, in force since before anybody could send there.
pub(crate) type Inbox = Mutex<Vec<(u32, Arc<Hold>)>>;
