use super::ownership::MemberSignals;
use crate::group::assignor::RebalanceProtocol;
use crate::topic::TopicShared;
use std::sync::Arc;
use std::time::Duration;

/// One member.
pub(crate) struct Member {
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) topics: Vec<Arc<TopicShared>>,
    /// `None`: its consumer is gone, and its place kept for the next of its name.
    pub(super) signals: Option<Arc<MemberSignals>>,
    pub(super) max_poll_interval: Duration,
    /// How often it had polled when somebody last looked, and when that was first so.
    pub(super) seen: (u64, Duration),
}

impl Member {
    pub(crate) fn is_live(&self) -> bool {
        self.signals.is_some()
    }
}

/// What a consumer brings along when it joins. Some of it comes from the user's code (assignor,
/// clock), so it is put together before the group's lock is taken.
pub(crate) struct JoinRequest {
    pub(crate) assignor: String,
    pub(crate) protocol: RebalanceProtocol,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) max_poll_interval: Duration,
    pub(crate) now: Duration,
    pub(crate) topics: Vec<Arc<TopicShared>>,
}
