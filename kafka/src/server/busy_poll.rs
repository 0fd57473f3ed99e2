//! Looking for a client's next request for a moment before the task sleeps.
//!
//! A client that has one request under way at a time sends the next soon after the answer. To wake a
//! thread on another core takes longer than all the work on such a request: tens of microseconds in a
//! virtual machine. So a connection's task stays awake for a moment after an answer, if the request
//! before had come soon, too. Other tasks have their turns meanwhile.

use std::time::{Duration, Instant};

/// How long the clients of listeners are looked for, unless it is configured: about as long as it takes
/// a client to be woken by the answer and to send its next request.
pub(super) const BUSY_POLL: Duration = Duration::from_micros(100);

/// After a look in vain, nothing is looked for after this many answers. A client on the same core may
/// get the processor only when a look has ended: by the default it loses 100 us once in 65 requests then.
const PAUSE: u32 = 64;

/// Decides whether the next request is looked for.
#[derive(Debug)]
pub(super) struct BusyPoll {
    /// How long it is looked for. Zero: never.
    look_for: Duration,
    /// When the last answer was sent.
    answered: Instant,
    /// The last request came soon after the answer before it.
    was_soon: bool,
    /// Answers after which nothing is looked for.
    pause: u32,
}

impl BusyPoll {
    pub(super) fn new(look_for: Duration) -> BusyPoll {
        BusyPoll {
            look_for,
            answered: Instant::now(),
            was_soon: false,
            pause: 0,
        }
    }

    /// All answers are sent, at this time. Returns how long to look for the next request, if at all. It
    /// is called as well when a request has come in part: then the rest is looked for.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.answered = now;
        let was_soon = std::mem::take(&mut self.was_soon);
        if self.pause > 0 {
            self.pause -= 1;
            return None;
        }
        was_soon.then_some(self.look_for)
    }

    /// Something was received, at this time. It is soon also if a thread had to be woken for it,
    /// which takes about as long as it would have been looked for.
    pub(super) fn received(&mut self, now: Instant) {
        let pause = now.saturating_duration_since(self.answered);
        self.was_soon = pause < self.look_for.saturating_mul(2);
    }

    /// Nothing came while it was looked for.
    pub(super) fn was_in_vain(&mut self) {
        self.pause = PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK_FOR: Duration = Duration::from_micros(100);

    /// Answers and receives again after a time. Returns what the answer has returned.
    fn turn(busy_poll: &mut BusyPoll, now: &mut Instant, microseconds: u64) -> Option<Duration> {
        let look_for = busy_poll.answered(*now);
        *now += Duration::from_micros(microseconds);
        busy_poll.received(*now);
        look_for
    }

    #[test]
    fn the_next_request_is_looked_for_if_the_last_one_came_soon() {
        let (mut busy_poll, mut now) = (BusyPoll::new(LOOK_FOR), Instant::now());
        assert_eq!(turn(&mut busy_poll, &mut now, 199), None);
        assert_eq!(turn(&mut busy_poll, &mut now, 200), Some(LOOK_FOR));
        assert_eq!(turn(&mut busy_poll, &mut now, 10), None);
        // Of two answers, one was without a request: it was owed.
        assert_eq!(busy_poll.answered(now), Some(LOOK_FOR));
        assert_eq!(busy_poll.answered(now), None);
    }

    #[test]
    fn after_one_that_did_not_come_it_is_not_looked_for_for_some_answers() {
        let (mut busy_poll, mut now) = (BusyPoll::new(LOOK_FOR), Instant::now());
        turn(&mut busy_poll, &mut now, 10);
        for _ in 0..2 {
            assert_eq!(busy_poll.answered(now), Some(LOOK_FOR));
            busy_poll.was_in_vain();
            busy_poll.received(now);
            for _ in 0..PAUSE {
                assert_eq!(turn(&mut busy_poll, &mut now, 10), None);
            }
        }
    }

    #[test]
    fn with_no_time_nothing_is_looked_for() {
        let (mut busy_poll, mut now) = (BusyPoll::new(Duration::ZERO), Instant::now());
        for _ in 0..3 {
            assert_eq!(turn(&mut busy_poll, &mut now, 0), None);
        }
    }
}
