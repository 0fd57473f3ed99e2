//! A group's timer: it sleeps until the next time at which something is to be done.
//!
//! There is one for each group with members, or with members that are expected. A heartbeat only
//! moves a time away, so it does not wake the timer; the timer then wakes at the old time, finds
//! nothing to do, and sleeps on.

use super::{Group, GroupCell};
use crate::server::connection::{Phase, reached};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether a timer is to be started. If so, it counts as running.
pub(super) fn is_needed(group: &mut Group) -> bool {
    let is_needed = !group.has_timer && group.next_deadline().is_some();
    group.has_timer |= is_needed;
    is_needed
}

/// Runs until the group has no deadline, or the server stops.
pub(super) async fn run(group: Arc<GroupCell>, mut phase: watch::Receiver<Phase>) {
    loop {
        let deadline = {
            let mut state = group.lock();
            state.expire(Instant::now());
            state.keep();
            let deadline = state.next_deadline();
            state.has_timer = deadline.is_some();
            deadline
        };
        let Some(deadline) = deadline else {
            return;
        };
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            () = group.changed.notified() => {}
            () = reached(&mut phase, |phase| *phase != Phase::Running) => return,
        }
    }
}
