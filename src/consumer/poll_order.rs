//! The order in which a consumer of many partitions checks them.
//!
//! A check that finds nothing costs a few cache misses. So a consumer of a thousand partitions must
//! not check all of them to find the busy one. Partitions that had records lately are **busy**:
//! they take turns, and are checked in nearly every poll. All partitions are in the **round**,
//! which each poll first advances by a small step, so that none starves. Only a poll that finds
//! nothing in either checks all partitions.
//!
//! # The bound
//!
//! A poll that returns another partition's records has either advanced the round by [`MIN_STEP`]
//! partitions or more, or found an idle partition with records there. So a record in an idle
//! partition is found within as many polls as there are partitions divided by [`MIN_STEP`], and one
//! more for each other partition that gets records meanwhile. A busy partition that has records is
//! read once in as many polls as there are busy partitions, and again one more for each idle
//! partition that gets records meanwhile.

use std::collections::VecDeque;

/// Partitions by which each poll advances the round, at least.
const MIN_STEP: usize = 4;

/// The step is one partition longer for each this many records that the poll before returned:
/// reading those took longer than the checks.
const RECORDS_PER_STEP: usize = 32;

/// Checks in a row that find nothing, after which a busy partition is idle.
const BUSY_CHECKS: u8 = 4;

/// The index that follows `i` in a round of `count`.
#[inline(always)]
pub(super) fn next_in_round(i: usize, count: usize) -> usize {
    if i + 1 == count { 0 } else { i + 1 }
}

#[derive(Default)]
pub(super) struct PollOrder {
    /// Where the round continues.
    next: usize,
    /// The busy partitions; the front one is next.
    busy: VecDeque<u32>,
    /// For each busy partition, the checks without records that are left to it; 0 for an idle one.
    checks_left: Box<[u8]>,
    /// Records that the poll before returned.
    last_records: usize,
}

impl PollOrder {
    /// Makes room for `count` partitions, so that polls do not allocate. If the count has changed,
    /// all are idle. Otherwise the state is kept as a hint: partitions may have changed their
    /// index.
    pub(super) fn resize(&mut self, count: usize) {
        if self.checks_left.len() != count {
            self.reset(count);
        }
    }

    #[cold]
    fn reset(&mut self, count: usize) {
        *self = PollOrder {
            busy: VecDeque::with_capacity(count),
            checks_left: vec![0; count].into(),
            ..PollOrder::default()
        };
    }

    /// How many partitions had records lately.
    pub(super) fn busy(&self) -> usize {
        self.busy.len()
    }

    /// Finds one of `count` partitions that has records; `None` after all were checked in vain.
    ///
    /// `check` reads a partition and returns how many records it found.
    pub(super) fn find<E>(
        &mut self,
        count: usize,
        mut check: impl FnMut(usize) -> Result<usize, E>,
    ) -> Result<Option<usize>, E> {
        self.resize(count);
        let step = (MIN_STEP + self.last_records / RECORDS_PER_STEP).min(count);
        self.last_records = 0;
        if let Some(i) = self.advance_round(step, &mut check)? {
            return Ok(Some(i));
        }
        for _ in 0..self.busy.len() {
            let Some(i) = self.busy.pop_front() else {
                break;
            };
            let found = check(i as usize);
            let checks_left = &mut self.checks_left[i as usize];
            *checks_left = if matches!(found, Ok(0)) {
                *checks_left - 1
            } else {
                BUSY_CHECKS
            };
            if *checks_left > 0 {
                self.busy.push_back(i);
            }
            self.last_records = found?;
            if self.last_records > 0 {
                return Ok(Some(i as usize));
            }
        }
        self.advance_round(count - step, &mut check)
    }

    /// Checks the idle ones among the next `steps` partitions of the round. The busy ones have
    /// turns of their own. (Not inlined, so that `check` is compiled into it once.)
    #[inline(never)]
    fn advance_round<E>(
        &mut self,
        steps: usize,
        check: &mut impl FnMut(usize) -> Result<usize, E>,
    ) -> Result<Option<usize>, E> {
        let count = self.checks_left.len();
        let mut i = self.next;
        for _ in 0..steps {
            let next = next_in_round(i, count);
            if self.checks_left[i] == 0 {
                let found = check(i);
                if !matches!(found, Ok(0)) {
                    self.next = next;
                    self.last_records = found?;
                    self.mark_busy(i);
                    return Ok(Some(i));
                }
            }
            i = next;
        }
        self.next = i;
        Ok(None)
    }

    /// Partition `i` has records, so it is busy from now on.
    pub(super) fn mark_busy(&mut self, i: usize) {
        if self.checks_left.get(i) == Some(&0) {
            self.checks_left[i] = BUSY_CHECKS;
            self.busy.push_back(i as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partitions with this many unread records each, of which a poll reads one, and the checks
    /// that the last poll made.
    struct Log {
        records: Vec<u64>,
        checks: usize,
    }

    impl Log {
        fn new(count: usize) -> Log {
            Log {
                records: vec![0; count],
                checks: 0,
            }
        }

        fn poll(&mut self, order: &mut PollOrder) -> Option<usize> {
            self.checks = 0;
            let found = order.find(self.records.len(), |i| {
                self.checks += 1;
                let some = self.records[i].min(1);
                self.records[i] -= some;
                Ok::<_, ()>(some as usize)
            });
            found.unwrap()
        }

        fn polls(&mut self, order: &mut PollOrder, count: usize) -> Vec<Option<usize>> {
            (0..count).map(|_| self.poll(order)).collect()
        }
    }

    const ALWAYS: u64 = u64::MAX;

    #[test]
    fn one_busy_partition_among_many_costs_a_few_checks() {
        let (mut log, mut order) = (Log::new(1000), PollOrder::default());
        log.records[700] = ALWAYS;
        assert_eq!(log.poll(&mut order), Some(700));
        for _ in 0..10_000 {
            assert_eq!(log.poll(&mut order), Some(700));
            assert!(log.checks <= MIN_STEP + 1, "{} checks", log.checks);
        }
    }

    #[test]
    fn a_busy_partition_is_idle_after_some_checks_in_vain() {
        let (mut log, mut order) = (Log::new(1000), PollOrder::default());
        log.records[700] = 2;
        assert_eq!(log.polls(&mut order, 2), [Some(700); 2]);
        for checks in 0..BUSY_CHECKS {
            assert_eq!(order.busy(), 1, "after {checks} checks");
            assert_eq!(log.poll(&mut order), None);
        }
        assert_eq!(order.busy(), 0);
    }

    #[test]
    fn a_record_in_an_idle_partition_is_found_within_the_bound() {
        for count in [17, 100, 1000] {
            for busy in [vec![3], vec![0, 1, 16], (0..count / 2).collect()] {
                let (mut log, mut order) = (Log::new(count), PollOrder::default());
                busy.iter().for_each(|&i| log.records[i] = ALWAYS);
                log.polls(&mut order, 3 * count);
                for idle in (0..count).filter(|i| !busy.contains(i)).step_by(7) {
                    log.records[idle] = 1;
                    let mut polls = (1..).map(|n| (n, log.poll(&mut order)));
                    let found = polls.find(|&(_, found)| found == Some(idle));
                    let polls = found.map_or(usize::MAX, |(n, _)| n);
                    assert!(
                        polls <= count.div_ceil(MIN_STEP),
                        "{polls} polls of {count}"
                    );
                }
            }
        }
    }

    #[test]
    fn records_that_come_at_once_are_found_one_partition_a_poll() {
        let (mut log, mut order) = (Log::new(100), PollOrder::default());
        log.records[50] = ALWAYS;
        log.polls(&mut order, 500);
        let others = (0..100).filter(|&i| i != 50);
        others.clone().for_each(|i| log.records[i] = 1);
        let polls = 99 + 100usize.div_ceil(MIN_STEP);
        let found = log.polls(&mut order, polls).into_iter();
        let mut found: Vec<_> = found.flatten().collect();
        found.sort_unstable();
        found.retain(|&i| i != 50);
        assert_eq!(found, Vec::from_iter(others));
    }

    #[test]
    fn busy_partitions_take_turns() {
        let (mut log, mut order) = (Log::new(1000), PollOrder::default());
        let busy = [5, 6, 999];
        busy.iter().for_each(|&i| log.records[i] = ALWAYS);
        log.polls(&mut order, 2000);
        let mut turns = log.polls(&mut order, 6);
        assert_eq!(turns[..3], turns[3..]);
        turns.sort_unstable();
        assert_eq!(turns, [5, 5, 6, 6, 999, 999].map(Some));
    }

    #[test]
    fn a_poll_that_finds_nothing_checks_all() {
        let (mut log, mut order) = (Log::new(100), PollOrder::default());
        log.records[42] = 5;
        (0..5).for_each(|_| assert_eq!(log.poll(&mut order), Some(42)));
        for _ in 0..10 {
            assert_eq!(log.poll(&mut order), None);
            assert!((100..=101).contains(&log.checks), "{} checks", log.checks);
        }
        // So a record is found at once if the other partitions have none.
        for i in [0, 42, 99, 98, 7] {
            log.records[i] = 1;
            assert_eq!(log.poll(&mut order), Some(i));
        }
    }

    #[test]
    fn long_polls_advance_the_round_further() {
        let mut order = PollOrder::default();
        let mut checks = 0;
        for _ in 0..2 {
            checks = 0;
            let found = order.find(1000, |i| {
                checks += 1;
                Ok::<_, ()>(if i == 500 { 640 } else { 0 })
            });
            assert_eq!(found, Ok(Some(500)));
        }
        assert_eq!(checks, MIN_STEP + 640 / RECORDS_PER_STEP + 1);
    }

    #[test]
    fn an_error_is_returned_and_leaves_all_partitions_in_the_order() {
        let (mut log, mut order) = (Log::new(20), PollOrder::default());
        log.records[9] = ALWAYS;
        log.polls(&mut order, 1);
        let failing = order.find(20, |i| if i == 9 { Err("no") } else { Ok(0) });
        assert_eq!(failing, Err("no"));
        assert_eq!(log.poll(&mut order), Some(9));
        assert!(log.checks <= MIN_STEP + 1);
    }

    #[test]
    fn another_number_of_partitions_resets_the_order() {
        let (mut log, mut order) = (Log::new(100), PollOrder::default());
        log.records[99] = ALWAYS;
        log.polls(&mut order, 1);
        let mut log = Log::new(20);
        log.records[19] = 1;
        assert_eq!(log.poll(&mut order), Some(19));
        assert_eq!(log.poll(&mut order), None);
    }
}
