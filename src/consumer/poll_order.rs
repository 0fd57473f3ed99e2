//! In which order a consumer of many partitions looks at them.
//!
//! A look at a partition that has nothing costs a few cache misses, so a consumer of a thousand
//! must not look at all of them to find the one that is busy. Those that had something lately are
//! **busy**: they take turns, and are looked at in nearly every poll. All are in the **round**, of
//! which each poll goes a small step first, so that nobody starves. Only a poll that finds
//! nothing in either looks at all.
//!
//! # The bound
//!
//! A poll that returns another partition's records either has gone [`STEP`] partitions or more
//! further in the round, or has found one there that was not busy. So what comes to a partition
//! that is not busy is found within as many polls as there are partitions divided by [`STEP`], and
//! one more for each other partition that comes to have something meanwhile. A busy partition
//! that has something is read once in as many polls as there are busy ones, and likewise.

use std::collections::VecDeque;

/// Partitions of the round that a poll looks at, at least.
const STEP: usize = 4;

/// And one more for so many records that the poll before returned: reading those took longer.
const RECORDS: usize = 32;

/// Looks in vain before a partition is not busy any more.
const LIVES: u8 = 4;

/// The index that follows `i` in a round of `count`.
#[inline(always)]
pub(super) fn next_in_round(i: usize, count: usize) -> usize {
    if i + 1 == count { 0 } else { i + 1 }
}

#[derive(Default)]
pub(crate) struct PollOrder {
    /// Where the round goes on.
    next: usize,
    /// The busy ones, the one whose turn is next in front.
    busy: VecDeque<u32>,
    /// For each partition, the looks in vain that it has left as a busy one; or 0, it is none.
    lives: Box<[u8]>,
    /// What the poll before returned.
    records: usize,
}

impl PollOrder {
    /// For so many partitions, all new. What is kept otherwise are hints, which may be of
    /// partitions that have changed places.
    #[cold]
    fn begin(&mut self, count: usize) {
        *self = PollOrder {
            busy: VecDeque::with_capacity(count),
            lives: vec![0; count].into(),
            ..PollOrder::default()
        };
    }

    /// Room for so many partitions, so that polls do not allocate.
    pub(crate) fn make_room(&mut self, count: usize) {
        if self.lives.len() != count {
            self.begin(count);
        }
    }

    /// Looks for one of `count` partitions that has something. `look` reads it, if there is any,
    /// and tells how many records; it is told whether it was this very one that had something last.
    /// `None`: it has looked at all of them.
    pub(crate) fn look<E>(
        &mut self,
        count: usize,
        mut look: impl FnMut(usize, bool) -> Result<usize, E>,
    ) -> Result<Option<usize>, E> {
        self.make_room(count);
        let step = (STEP + self.records / RECORDS).min(count);
        self.records = 0;
        if let Some(i) = self.go_round(step, &mut look)? {
            return Ok(Some(i));
        }
        let again = self.busy.len() == 1;
        for _ in 0..self.busy.len() {
            let Some(i) = self.busy.pop_front() else {
                break;
            };
            let found = look(i as usize, again);
            let lives = &mut self.lives[i as usize];
            *lives = if matches!(found, Ok(0)) {
                *lives - 1
            } else {
                LIVES
            };
            if *lives > 0 {
                self.busy.push_back(i);
            }
            self.records = found?;
            if self.records > 0 {
                return Ok(Some(i as usize));
            }
        }
        self.go_round(count - step, &mut look)
    }

    /// So many steps of the round. (In a function of its own: the look is compiled into it.) The busy ones have their own turn.
    #[inline(never)]
    fn go_round<E>(
        &mut self,
        steps: usize,
        look: &mut impl FnMut(usize, bool) -> Result<usize, E>,
    ) -> Result<Option<usize>, E> {
        let count = self.lives.len();
        let mut i = self.next;
        for _ in 0..steps {
            let behind = next_in_round(i, count);
            if self.lives[i] == 0 {
                let found = look(i, false);
                if !matches!(found, Ok(0)) {
                    self.next = behind;
                    self.records = found?;
                    self.found(i);
                    return Ok(Some(i));
                }
            }
            i = behind;
        }
        self.next = i;
        Ok(None)
    }

    /// Partition `i` has something: it is busy from now on.
    pub(crate) fn found(&mut self, i: usize) {
        if self.lives.get(i) == Some(&0) {
            self.lives[i] = LIVES;
            self.busy.push_back(i as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partitions with so many records each, of which a poll reads one; and the looks it took.
    struct Log {
        records: Vec<u64>,
        looks: usize,
    }

    impl Log {
        fn new(count: usize) -> Log {
            Log {
                records: vec![0; count],
                looks: 0,
            }
        }

        fn poll(&mut self, rotation: &mut PollOrder) -> Option<usize> {
            self.looks = 0;
            let found = rotation.look(self.records.len(), |i, _| {
                self.looks += 1;
                let some = self.records[i].min(1);
                self.records[i] -= some;
                Ok::<_, ()>(some as usize)
            });
            found.unwrap()
        }

        fn polls(&mut self, rotation: &mut PollOrder, count: usize) -> Vec<Option<usize>> {
            (0..count).map(|_| self.poll(rotation)).collect()
        }
    }

    const ALWAYS: u64 = u64::MAX;

    #[test]
    fn one_busy_partition_among_many_costs_a_few_looks() {
        let (mut log, mut rotation) = (Log::new(1000), PollOrder::default());
        log.records[700] = ALWAYS;
        assert_eq!(log.poll(&mut rotation), Some(700));
        for _ in 0..10_000 {
            assert_eq!(log.poll(&mut rotation), Some(700));
            assert!(log.looks <= STEP + 1, "{} looks", log.looks);
        }
    }

    #[test]
    fn a_record_in_an_idle_partition_is_found_within_the_bound() {
        for count in [17, 100, 1000] {
            for busy in [vec![3], vec![0, 1, 16], (0..count / 2).collect()] {
                let (mut log, mut rotation) = (Log::new(count), PollOrder::default());
                busy.iter().for_each(|&i| log.records[i] = ALWAYS);
                log.polls(&mut rotation, 3 * count);
                for idle in (0..count).filter(|i| !busy.contains(i)).step_by(7) {
                    log.records[idle] = 1;
                    let mut polls = (1..).map(|n| (n, log.poll(&mut rotation)));
                    let found = polls.find(|&(_, found)| found == Some(idle));
                    let polls = found.map_or(usize::MAX, |(n, _)| n);
                    assert!(polls <= count.div_ceil(STEP), "{polls} polls of {count}");
                }
            }
        }
    }

    #[test]
    fn all_that_comes_at_once_is_found_in_as_many_polls() {
        let (mut log, mut rotation) = (Log::new(100), PollOrder::default());
        log.records[50] = ALWAYS;
        log.polls(&mut rotation, 500);
        let others = (0..100).filter(|&i| i != 50);
        others.clone().for_each(|i| log.records[i] = 1);
        let polls = 99 + 100usize.div_ceil(STEP);
        let found = log.polls(&mut rotation, polls).into_iter();
        let mut found: Vec<_> = found.flatten().collect();
        found.sort_unstable();
        found.retain(|&i| i != 50);
        assert_eq!(found, Vec::from_iter(others));
    }

    #[test]
    fn busy_partitions_take_turns() {
        let (mut log, mut rotation) = (Log::new(1000), PollOrder::default());
        let busy = [5, 6, 999];
        busy.iter().for_each(|&i| log.records[i] = ALWAYS);
        log.polls(&mut rotation, 2000);
        let mut turns = log.polls(&mut rotation, 6);
        assert_eq!(turns[..3], turns[3..]);
        turns.sort_unstable();
        assert_eq!(turns, [5, 5, 6, 6, 999, 999].map(Some));
    }

    #[test]
    fn finding_nothing_takes_a_look_at_all() {
        let (mut log, mut rotation) = (Log::new(100), PollOrder::default());
        log.records[42] = 5;
        (0..5).for_each(|_| assert_eq!(log.poll(&mut rotation), Some(42)));
        for _ in 0..10 {
            assert_eq!(log.poll(&mut rotation), None);
            assert!((100..=101).contains(&log.looks), "{} looks", log.looks);
        }
        // And so it is found at once where nothing else is.
        for i in [0, 42, 99, 98, 7] {
            log.records[i] = 1;
            assert_eq!(log.poll(&mut rotation), Some(i));
        }
    }

    #[test]
    fn long_polls_go_further_in_the_round() {
        let mut rotation = PollOrder::default();
        let mut looks = 0;
        for _ in 0..2 {
            looks = 0;
            let found = rotation.look(1000, |i, _| {
                looks += 1;
                Ok::<_, ()>(if i == 500 { 640 } else { 0 })
            });
            assert_eq!(found, Ok(Some(500)));
        }
        assert_eq!(looks, STEP + 640 / RECORDS + 1);
    }

    #[test]
    fn what_fails_is_told_and_forgets_nobody() {
        let (mut log, mut rotation) = (Log::new(20), PollOrder::default());
        log.records[9] = ALWAYS;
        log.polls(&mut rotation, 1);
        let failing = rotation.look(20, |i, _| if i == 9 { Err("no") } else { Ok(0) });
        assert_eq!(failing, Err("no"));
        assert_eq!(log.poll(&mut rotation), Some(9));
        assert!(log.looks <= STEP + 1);
    }

    #[test]
    fn another_number_of_partitions_begins_anew() {
        let (mut log, mut rotation) = (Log::new(100), PollOrder::default());
        log.records[99] = ALWAYS;
        log.polls(&mut rotation, 1);
        let mut log = Log::new(20);
        log.records[19] = 1;
        assert_eq!(log.poll(&mut rotation), Some(19));
        assert_eq!(log.poll(&mut rotation), None);
    }
}
