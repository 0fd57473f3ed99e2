//! A member of a group, and a consumer's request to become one. Data only.

use super::ownership::MemberSignals;
use crate::group::assignor::RebalanceProtocol;
use crate::topic::{Following, TopicShared};
use std::sync::Arc;
use std::time::Duration;

/// What the coordinator knows of one member.
pub(crate) struct Member {
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) topics: Vec<Arc<TopicShared>>,
    /// Finds topics that are created, if the member follows topics.
    pub(super) following: Option<Following>,
    /// `None` if the member's consumer is gone. Its partitions are then kept for the next consumer
    /// with its instance id.
    pub(super) signals: Option<Arc<MemberSignals>>,
    pub(super) max_poll_interval: Duration,
    pub(super) last_poll: LastPoll,
}

/// What other members have seen of a member's polls.
#[derive(Clone, Copy)]
pub(super) struct LastPoll {
    /// How many polls there were at the last check.
    pub(super) count: u64,
    /// When a check first found this count.
    pub(super) seen_at: Duration,
}

impl Member {
    pub(super) fn is_live(&self) -> bool {
        self.signals.is_some()
    }
}

/// What a consumer brings along when it joins a group.
///
/// The user's code provides some of it (the assignor, the clock), so it is gathered before the
/// group's lock is taken.
pub(crate) struct JoinRequest {
    pub(crate) assignor: String,
    pub(crate) protocol: RebalanceProtocol,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) max_poll_interval: Duration,
    pub(crate) now: Duration,
    pub(crate) topics: Vec<Arc<TopicShared>>,
    /// Whether it holds records back under `Backpressure`.
    pub(crate) holds_back: bool,
    pub(crate) following: Option<Following>,
}
