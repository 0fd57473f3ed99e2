use super::assigned_partition::AssignedPartition;
use super::config::{ConsumerConfig, HoldBack};
use super::rebalance_listener::RebalanceListener;
use crate::error::{ConsumeError, FenceReason};
use crate::group::Coordinator;
use crate::group::MemberId;
use crate::group::{Group, Groups, JoinRequest, MemberSignals};
use crate::topic::TopicShared;
use crate::wait::EventCount;
use std::sync::Arc;
use std::time::Duration;

/// Polls between two looks at the clock, at most: a member that polls without a pause looks
/// once in so many.
pub(super) const MOST_POLLS: u32 = 64;

/// What a consumer knows of the group that it is a member of.
pub(crate) struct Membership {
    pub(super) group: Arc<Group>,
    pub(super) id: MemberId,
    pub(super) signals: Arc<MemberSignals>,
    pub(super) generation: u64,
    pub(super) topics: Vec<Arc<TopicShared>>,
    /// How many partitions its topics had when it was last in step with its group.
    pub(super) partitions: u64,
    pub(super) listener: Option<Box<dyn RebalanceListener>>,
    /// It was fenced and has been told so: the next poll joins again.
    pub(super) is_out: bool,
    pub(super) auto_commit: bool,
    /// Its gates follow what its polls return.
    pub(super) follows: bool,
    /// Polls until it looks whether others are dead; how many there are between two such looks;
    /// when the last was.
    pub(super) until_watch: u32,
    pub(super) polls_a_watch: u32,
    pub(super) watched: Duration,
    /// How often to look: an eighth of the shortest time that any member may not poll.
    pub(super) watch_period: Duration,
}

impl Membership {
    /// At the beginning of a poll: what the poll before returned is committed, and it has been
    /// counted. `false` if there is more to do than that.
    #[inline(always)]
    pub(crate) fn turn(&mut self, assigned: &[AssignedPartition], next: usize) -> bool {
        self.signals.count_poll();
        // The partition read last is the one before the next. (After a change it may be another,
        // whose position was also reached by earlier polls.)
        let behind = if next == 0 { assigned.len() } else { next };
        let last = assigned.get(behind.wrapping_sub(1));
        let kept_up = !self.follows || last.is_none_or(|last| last.keep_up(self.auto_commit));
        self.until_watch = self.until_watch.saturating_sub(1);
        kept_up && self.until_watch != 0 && self.signals.is_quiet()
    }

    pub(crate) fn topics(&self) -> &[Arc<TopicShared>] {
        &self.topics
    }

    /// How long it may sleep without looking whether others are dead.
    pub(crate) fn most_sleep(&self) -> Duration {
        if self.watch_period.is_zero() {
            return Duration::MAX;
        }
        self.watch_period
    }

    pub(super) fn error(&self, reason: FenceReason) -> ConsumeError {
        self.group.lock().fenced_error(self.generation, reason)
    }
}

impl Membership {
    pub(super) fn join(
        groups: &Groups,
        config: &ConsumerConfig,
        event_count: &Arc<EventCount>,
        name: &Arc<str>,
        topics: Vec<Arc<TopicShared>>,
    ) -> Result<Membership, ConsumeError> {
        let signals = Arc::new(MemberSignals::new(event_count));
        let request = JoinRequest {
            assignor: config.assignor.name().to_owned(),
            protocol: config.assignor.protocol(),
            instance_id: config.instance_id.clone(),
            max_poll_interval: config.max_poll_interval,
            now: (config.clock)(),
            topics: topics.clone(),
        };
        let join = |coordinator: &mut Coordinator| coordinator.join(request, &signals);
        let (group, id) = groups.with_group(name, join)?;
        Ok(Membership {
            group,
            id,
            signals,
            generation: 0,
            topics,
            partitions: 0,
            listener: None,
            is_out: false,
            auto_commit: config.auto_commit,
            follows: config.auto_commit || config.hold_back == HoldBack::Read,
            until_watch: 1,
            polls_a_watch: 1,
            watched: Duration::ZERO,
            watch_period: Duration::ZERO,
        })
    }
}

pub(super) fn count_partitions(topics: &[Arc<TopicShared>]) -> u64 {
    topics
        .iter()
        .map(|topic| u64::from(topic.partitions()))
        .sum()
}
