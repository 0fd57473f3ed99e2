//! Members that wait as tasks.
//!
//! The future of a poll has no state of its own, but borrows the consumer. So a kept future is
//! leaked here, and to resume it or drop it, another one is made.

use super::{Member, Simulation, milliseconds};
use ringlog::{Assignor, Batch, ConsumeError};
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Counts how often its task is woken.
#[derive(Debug, Default)]
pub(super) struct Wakes(AtomicUsize);

impl Wakes {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Member {
    /// Polls for the member's task, once. A future that is pending is kept or dropped.
    pub(super) fn poll_once<T>(
        &mut self,
        kept: bool,
        found: impl FnOnce(Batch<'_>) -> T,
    ) -> Poll<Result<T, ConsumeError>> {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut future = self.consumer.poll_async();
        let answer = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
        let answer = answer.map(|answer| answer.map(found));
        self.waits = None;
        if kept && answer.is_pending() {
            mem::forget(future);
            self.waits = Some(wakes);
        }
        answer
    }

    /// Whether its polls have reported the end of this topic, and it has not sought there since.
    pub(super) fn has_end(&self, topic: &str) -> bool {
        self.ended.contains_key(topic) && !self.due_again.contains(topic)
    }

    /// Drops the future that is kept, if there is one.
    pub(super) fn stop_waiting(&mut self) {
        if self.waits.take().is_some() {
            drop(self.consumer.poll_async());
            self.polled = milliseconds();
        }
    }
}

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    /// A task that waits, and that nothing has woken, has nothing to read.
    pub(super) fn check_waiting(&mut self) {
        for i in 0..self.members.len() {
            let member = &mut self.members[i];
            let unwoken = member.waits.as_ref().is_some_and(|w| w.count() == 0);
            if !unwoken {
                continue;
            }
            assert!(!member.is_fenced(), "fenced, and not woken");
            let member = &self.members[i];
            for at in member.owned() {
                let position = self.retained(&at, member.position(&at));
                let (_, end) = self.bounds(&at);
                let silent = position >= end || member.paused.contains(&at);
                assert!(silent, "{at:?}: not woken for {position}..{end}");
                let unreported = self.topic(&at.0).is_closed() && !member.has_end(&at.0);
                assert!(
                    !unreported || !self.has_read_its_part(member, &at.0),
                    "{at:?}: not woken for the end"
                );
            }
        }
    }
}
