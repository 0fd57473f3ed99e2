//! Members that follow topics, and the topics that were found for them. Under the group's lock.
//!
//! A member's [`Following`] is part of the group, not of the member's consumer. So a member that
//! stops polling, or is gone for a while, does not keep a new topic from the others: any member's
//! poll takes in what was found for all of them. The hold that came with a topic becomes the
//! group's gate (G2), so the group reads a new topic from its first record, and its members begin
//! nowhere else. A member that leaves or is fenced off first hands over what was found for it.

use super::Coordinator;
use crate::error::ConsumeError;
use crate::group::assignor::MemberId;
use crate::group::ownership::MemberSignals;
use crate::topic::{Following, OpenInbox, TopicShared, TopicSubscription};
use std::sync::Arc;

impl Coordinator {
    /// Takes in the topics that were found for the members. Makes a new assignment due if there
    /// are any.
    pub(super) fn take_found(&mut self) {
        let mut found = Vec::new();
        for member in self.members.values_mut() {
            let following = member.following.as_ref();
            for inbox in following.into_iter().flat_map(Following::take_found) {
                if !member.topics.iter().any(|topic| inbox.is_of(topic)) {
                    member.topics.push(inbox.topic().clone());
                }
                found.push(inbox);
            }
        }
        if found.is_empty() {
            return;
        }
        for inbox in found {
            self.subscribe_with_inbox(inbox);
        }
        self.require_assignment();
    }

    /// Subscribes the group to a topic with an inbox that has all its partitions. Another member
    /// may have brought the same before.
    fn subscribe_with_inbox(&mut self, inbox: OpenInbox) {
        let mut known = self.subscriptions.iter();
        if !known.any(|subscription| inbox.is_of(subscription.topic())) {
            self.subscriptions.push(TopicSubscription::of_inbox(inbox));
        }
    }

    /// The topics of a member that follows topics, with those found by now. `None` if it was fenced
    /// off.
    pub(crate) fn followed_topics(
        &mut self,
        id: MemberId,
        signals: &MemberSignals,
    ) -> Option<Vec<Arc<TopicShared>>> {
        if signals.fence_reason().is_some() {
            return None;
        }
        self.take_found();
        self.members.get(&id).map(|member| member.topics.clone())
    }
}

/// The topics that a member subscribes to. One that follows topics leaves out what was deleted
/// meanwhile; for another that is an error.
///
/// Under the lock: a topic that is deleted after this check is forgotten after it, too
/// ([`Coordinator::forget_topic`]). So no deleted topic stays in a group.
pub(super) fn check_deleted(
    mut topics: Vec<Arc<TopicShared>>,
    following: Option<&Following>,
) -> Result<Vec<Arc<TopicShared>>, ConsumeError> {
    if following.is_some() {
        topics.retain(|topic| !topic.is_deleted());
    }
    let checked = topics.iter().try_for_each(|topic| topic.refuse_deleted());
    checked.map(|()| topics)
}
