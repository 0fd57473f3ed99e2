//! The leader epochs of a partition, as in Kafka's `leader-epoch-checkpoint`: at which offset each
//! began. By them a client finds out that records which it has read are not in the log any more
//! (KIP-320): it asks where the epoch of its last record ended, and goes back to there.
//!
//! A partition has one leader here, and each start of the server begins an epoch. The list does not
//! change until the next start, so that readers share it without a lock.

use kafka_protocol::error::ResponseError;

/// Stands for an epoch that is not known: clients do without then.
pub(crate) const NO_EPOCH: i32 = -1;

/// The most epochs of a partition. The oldest are dropped: only a client whose last record is of one
/// of them may not find out that it is past its end.
const MOST: usize = 1000;

/// An epoch, and the offset of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochStart {
    pub(crate) epoch: i32,
    pub(crate) start: u64,
}

/// The epochs of a partition, which is one at least. Both the epochs and the offsets ascend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    before: Vec<EpochStart>,
    current: EpochStart,
}

impl LeaderEpochs {
    /// Those of a partition whose first epoch is this one.
    pub(crate) fn only(epoch: i32) -> LeaderEpochs {
        LeaderEpochs {
            before: Vec::new(),
            current: EpochStart { epoch, start: 0 },
        }
    }

    /// The list of these entries. `None` if they do not ascend, or there are none.
    pub(crate) fn from_entries(mut entries: Vec<EpochStart>) -> Option<LeaderEpochs> {
        let ascends =
            |pair: &[EpochStart]| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start;
        let current = entries.pop()?;
        let is_valid = entries.windows(2).all(ascends)
            && entries.last().is_none_or(|last| ascends(&[*last, current]));
        is_valid.then_some(LeaderEpochs {
            before: entries,
            current,
        })
    }

    /// Begins an epoch at the end of the log, after the stored ones.
    ///
    /// Epochs without records are dropped: if they began where the log ends now or later, as their
    /// records were lost, or if they ended at the log's start or before. Records of which no
    /// epoch is known are of epoch 0. That is the least, so all that is said of a later one holds for
    /// them: it ended where the next begins.
    pub(crate) fn begin(
        stored: Option<LeaderEpochs>,
        epoch: i32,
        log_start: u64,
        log_end: u64,
    ) -> LeaderEpochs {
        let current = EpochStart {
            epoch,
            start: log_end,
        };
        let mut before: Vec<_> = stored.iter().flat_map(LeaderEpochs::entries).collect();
        before.retain(|entry| entry.epoch < epoch && entry.start < log_end);
        if before.is_empty() && epoch == 0 {
            return LeaderEpochs::only(epoch);
        }
        if before.is_empty() {
            before.push(EpochStart { epoch: 0, start: 0 });
        }
        let ends = before.iter().skip(1).chain([&current]);
        let without_records = ends.take_while(|next| next.start <= log_start).count();
        let too_many = (before.len() + 1).saturating_sub(MOST);
        before.drain(..without_records.max(too_many));
        LeaderEpochs { before, current }
    }

    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = EpochStart> + '_ {
        let count = self.before.len() + 1;
        (0..count).map(|i| self.before.get(i).copied().unwrap_or(self.current))
    }

    /// The epoch in which records are appended.
    pub(crate) fn current(&self) -> i32 {
        self.current.epoch
    }

    /// The epoch of the record at this offset, and the offset at which that epoch ends, if it has.
    pub(crate) fn at(&self, offset: u64) -> (i32, Option<u64>) {
        if offset >= self.current.start {
            return (self.current.epoch, None);
        }
        let next = self.before.partition_point(|entry| entry.start <= offset);
        // What is before the first one is of an epoch that was dropped.
        let entry = self.before.get(next.saturating_sub(1));
        let epoch = entry.map_or(self.current.epoch, |entry| entry.epoch);
        let next = self.before.get(next.max(1));
        (epoch, Some(next.unwrap_or(&self.current).start))
    }

    /// The greatest epoch up to `epoch`, and where it ended: at the log's end, for the current one.
    ///
    /// For one before all that are known, it is itself, which ended where the first of them begins.
    /// `None` for one that never was.
    pub(crate) fn end_of(&self, epoch: i32, log_start: u64, log_end: u64) -> Option<(i32, u64)> {
        if epoch == NO_EPOCH || epoch > self.current.epoch {
            return None;
        }
        if epoch == self.current.epoch {
            return Some((epoch, log_end));
        }
        let count = self.before.partition_point(|entry| entry.epoch <= epoch);
        let end = self.before.get(count).unwrap_or(&self.current).start;
        let found = count.checked_sub(1).and_then(|i| self.before.get(i));
        match found {
            // One that ended at the log's start has no records any more.
            Some(found) if end > log_start => Some((found.epoch, end)),
            _ => Some((epoch, end.max(log_start))),
        }
    }

    /// Refuses a request of a client that knows another epoch to be the current one.
    pub(crate) fn check_current(&self, known: i32) -> Result<(), ResponseError> {
        let current = self.current.epoch;
        if known == NO_EPOCH || current == NO_EPOCH || known == current {
            return Ok(());
        }
        Err(match known < current {
            true => ResponseError::FencedLeaderEpoch,
            false => ResponseError::UnknownLeaderEpoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, u64)]) -> LeaderEpochs {
        let entries = entries
            .iter()
            .map(|(epoch, start)| EpochStart {
                epoch: *epoch,
                start: *start,
            })
            .collect();
        LeaderEpochs::from_entries(entries).unwrap()
    }

    #[test]
    fn an_epoch_begins_at_the_end_and_those_without_records_are_dropped() {
        let stored = || Some(epochs(&[(0, 0), (2, 10), (3, 20)]));
        for (log_start, log_end, expected) in [
            (0, 30, &[(0, 0), (2, 10), (3, 20), (5, 30)][..]),
            // Nothing was appended in the last epoch, or all of that was lost.
            (0, 20, &[(0, 0), (2, 10), (5, 20)]),
            (0, 15, &[(0, 0), (2, 10), (5, 15)]),
            (0, 10, &[(0, 0), (5, 10)]),
            (0, 1, &[(0, 0), (5, 1)]),
            (0, 0, &[(5, 0)]),
            // The first ones were deleted: up to a record of theirs, and all.
            (9, 30, &[(0, 0), (2, 10), (3, 20), (5, 30)]),
            (10, 30, &[(2, 10), (3, 20), (5, 30)]),
            (29, 30, &[(3, 20), (5, 30)]),
            (30, 30, &[(5, 30)]),
        ] {
            let begun = LeaderEpochs::begin(stored(), 5, log_start, log_end);
            assert_eq!(begun, epochs(expected), "{log_start}..{log_end}");
        }
    }

    #[test]
    fn records_of_which_no_epoch_is_known_are_of_epoch_0() {
        let begin =
            |epoch, log_start, log_end| LeaderEpochs::begin(None, epoch, log_start, log_end);
        assert_eq!(begin(0, 0, 0), epochs(&[(0, 0)]));
        assert_eq!(begin(0, 3, 9), epochs(&[(0, 0)]));
        assert_eq!(begin(7, 0, 0), epochs(&[(7, 0)]));
        assert_eq!(begin(7, 3, 9), epochs(&[(0, 0), (7, 9)]));
        assert_eq!(begin(7, 9, 9), epochs(&[(7, 9)]));
        // What was stored is of records that are all lost.
        let stored = Some(epochs(&[(4, 20)]));
        let begun = LeaderEpochs::begin(stored, 7, 3, 9);
        assert_eq!(begun, epochs(&[(0, 0), (7, 9)]));
    }

    #[test]
    fn the_oldest_epochs_are_dropped_when_there_are_many() {
        let mut list = LeaderEpochs::only(0);
        for epoch in 1..=MOST as i32 + 10 {
            list = LeaderEpochs::begin(Some(list), epoch, 0, 10 * epoch as u64);
        }
        assert_eq!(list.entries().len(), MOST);
        assert_eq!(
            list.entries().next(),
            Some(EpochStart {
                epoch: 11,
                start: 110
            })
        );
        assert_eq!(list.end_of(5, 0, 20_000), Some((5, 110)));
        assert_eq!(list.at(7), (11, Some(120)));
    }

    #[test]
    fn each_offset_has_its_epoch() {
        let list = epochs(&[(0, 0), (2, 10), (3, 20)]);
        for (offset, expected) in [
            (0, (0, Some(10))),
            (9, (0, Some(10))),
            (10, (2, Some(20))),
            (19, (2, Some(20))),
            (20, (3, None)),
            (u64::MAX, (3, None)),
        ] {
            assert_eq!(list.at(offset), expected, "{offset}");
        }
        assert_eq!(epochs(&[(4, 0)]).at(0), (4, None));
        assert_eq!(epochs(&[(4, 10)]).at(5), (4, Some(10)));
    }

    /// As `LeaderEpochFileCache.endOffsetFor` of Kafka.
    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let list = epochs(&[(1, 0), (3, 10), (6, 20)]);
        for (epoch, log_start, expected) in [
            (-1, 0, None),
            (7, 0, None),
            (6, 0, Some((6, 25))),
            (5, 0, Some((3, 20))),
            (4, 0, Some((3, 20))),
            (3, 0, Some((3, 20))),
            (2, 0, Some((1, 10))),
            (1, 9, Some((1, 10))),
            // Before all of them.
            (0, 0, Some((0, 0))),
            (0, 5, Some((0, 5))),
            // Its records are deleted.
            (1, 10, Some((1, 10))),
            (2, 10, Some((2, 10))),
            (2, 15, Some((2, 15))),
            (5, 22, Some((5, 22))),
            (6, 22, Some((6, 25))),
        ] {
            let found = list.end_of(epoch, log_start, 25);
            assert_eq!(found, expected, "{epoch} from {log_start}");
        }
        let none = LeaderEpochs::only(NO_EPOCH);
        assert_eq!(none.end_of(0, 0, 25), None);
        assert_eq!(none.end_of(NO_EPOCH, 0, 25), None);
    }

    #[test]
    fn a_client_must_know_the_current_epoch_if_it_knows_one() {
        let check = |current, known| LeaderEpochs::only(current).check_current(known).err();
        assert_eq!(check(3, 3), None);
        assert_eq!(check(3, NO_EPOCH), None);
        assert_eq!(check(NO_EPOCH, 3), None);
        assert_eq!(check(3, 2), Some(ResponseError::FencedLeaderEpoch));
        assert_eq!(check(3, 4), Some(ResponseError::UnknownLeaderEpoch));
    }

    #[test]
    fn what_does_not_ascend_is_no_list_of_epochs() {
        let entry = |epoch, start| EpochStart { epoch, start };
        for entries in [
            vec![],
            vec![entry(1, 5), entry(1, 6)],
            vec![entry(1, 5), entry(2, 5)],
            vec![entry(2, 5), entry(1, 6), entry(3, 7)],
        ] {
            assert_eq!(LeaderEpochs::from_entries(entries), None);
        }
    }
}
