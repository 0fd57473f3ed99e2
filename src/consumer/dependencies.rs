//! Circles among consumers that read after others.
//!
//! A consumer names its upstreams when it is made, so it can only read after consumers that exist
//! already. A circle therefore leads through a group: its members wait for what waits for the
//! group. Each consumer with a configured group counts as its member here, because it may commit
//! for it. Which partitions they read does not matter.
//!
//! The check runs under the registry's lock when a consumer is made, so of two consumers that would
//! make a circle the second is refused.

use super::progress::Upstream;
use super::registry::RegisteredConsumer;
use crate::error::UpstreamError;
use std::sync::Arc;

/// Whether `new` would wait for itself, among the `live` consumers.
///
/// Errors: [`UpstreamError::Circle`].
pub(super) fn refuse_circle(
    new: &RegisteredConsumer,
    live: &[Arc<RegisteredConsumer>],
) -> Result<(), UpstreamError> {
    let mut visited = vec![new.id];
    match find_circle(new, new, live, &mut visited) {
        Some(circle) => Err(UpstreamError::Circle { circle }),
        None => Ok(()),
    }
}

/// The part of a circle from `from` to the group of `new`, in words.
fn find_circle(
    from: &RegisteredConsumer,
    new: &RegisteredConsumer,
    live: &[Arc<RegisteredConsumer>],
    visited: &mut Vec<u64>,
) -> Option<String> {
    for upstream in from.upstreams.iter() {
        if let Upstream::Group(name) = upstream {
            if new.group.as_ref() == Some(name) {
                return Some(format!("{} reads after {upstream}", describe(from)));
            }
        }
        for next in live {
            let is_next = match upstream {
                Upstream::Consumer(progress) => progress.consumer_id == next.id,
                Upstream::Group(name) => next.group.as_ref() == Some(name),
            };
            if is_next && !visited.contains(&next.id) {
                visited.push(next.id);
                if let Some(rest) = find_circle(next, new, live, visited) {
                    return Some(format!("{} reads after {upstream}; {rest}", describe(from)));
                }
            }
        }
    }
    None
}

fn describe(consumer: &RegisteredConsumer) -> String {
    let client_id = &consumer.client_id;
    match &consumer.group {
        Some(group) => format!("{client_id:?} of group {group:?}"),
        None => format!("{client_id:?}"),
    }
}
