//! The limit on how long a connection may be silent.
//!
//! The timer is not set again by each read and write: it fires a limit after it was set, and is then
//! set to what is left. So a busy connection does not come to the runtime's timers, and a silent one
//! does so once.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug)]
pub(super) struct IdleLimit {
    limit: Duration,
    last_active: Instant,
    /// `None`: there is no limit.
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleLimit {
    pub(super) fn new(limit: Option<Duration>) -> IdleLimit {
        let last_active = Instant::now();
        let limit = limit.unwrap_or(Duration::MAX);
        // A time that cannot be counted never comes.
        let first = last_active.checked_add(limit);
        IdleLimit {
            limit,
            last_active,
            timer: first.map(|first| Box::pin(sleep_until(first))),
        }
    }

    /// Something has come or gone.
    pub(super) fn touch(&mut self) {
        if self.timer.is_some() {
            self.last_active = Instant::now();
        }
    }

    /// Waits until nothing has come or gone for as long as the limit. May be given up and called again.
    pub(super) async fn reached(&mut self) {
        let Some(timer) = &mut self.timer else {
            return pending().await;
        };
        loop {
            timer.as_mut().await;
            match self.last_active.checked_add(self.limit) {
                Some(end) if end > Instant::now() => timer.as_mut().reset(end),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_reached_after_the_last_activity() {
        let begin = Instant::now();
        let mut idle = IdleLimit::new(Some(Duration::from_secs(10)));
        tokio::time::sleep(Duration::from_secs(7)).await;
        idle.touch();
        let soon = tokio::time::timeout(Duration::from_secs(9), idle.reached()).await;
        assert!(soon.is_err());
        idle.reached().await;
        let waited = begin.elapsed();
        assert!((17..18).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_is_not_reached() {
        for limit in [None, Some(Duration::MAX)] {
            let mut idle = IdleLimit::new(limit);
            let year = Duration::from_secs(31_536_000);
            assert!(tokio::time::timeout(year, idle.reached()).await.is_err());
        }
    }
}
