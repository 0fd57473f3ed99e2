//! Seeks, pauses, commits by the application, and lag.

use super::topics::time_of;
use super::{BatchCommit, Member, Partition, Seek, Simulation};
use ringlog::{Assignor, Batch, ConsumeError, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

impl<A: Assignor + 'static, F: Fn() -> A> Simulation<A, F> {
    pub(super) fn seek(&mut self, i: usize, at: u8, seek: Seek) {
        let Some(at) = self.pick_owned(i, at) else {
            return;
        };
        self.members[i].stop_waiting();
        self.disturbances += 1;
        let (start, end) = self.bounds(&at);
        let retained = |to: u8| start + u64::from(to) % (end - start + 1);
        let member = &mut self.members[i];
        let (consumer, p) = (&mut member.consumer, (&*at.0, at.1));
        let expected = match seek {
            Seek::To(to) => {
                consumer.seek(p, retained(to)).unwrap();
                retained(to)
            }
            Seek::PastEnd(more) => {
                consumer.seek(p, end + 1 + u64::from(more % 4)).unwrap();
                // Whether it is in range when it is polled is not known.
                member.skipped.remove(&at);
                end + 1 + u64::from(more % 4)
            }
            Seek::Beginning => {
                consumer.seek_to_beginning(p).unwrap();
                start
            }
            Seek::End => {
                consumer.seek_to_end(p).unwrap();
                end
            }
            Seek::Time(to, before) => {
                let time = time_of(retained(to)) - i64::from(before);
                let found = consumer.seek_to_time(p, time.max(0)).unwrap();
                assert_eq!(found, retained(to), "{time}");
                found
            }
        };
        assert_eq!(member.position(&at), expected, "{seek:?}");
        member.due_again.insert(at.0.clone());
        member.sought.insert(at.clone());
        member.moved.insert(at);
    }

    pub(super) fn set_paused(&mut self, i: usize, at: u8, on: bool) {
        let Some(at) = self.pick_owned(i, at) else {
            return;
        };
        let member = &mut self.members[i];
        member.stop_waiting();
        if on {
            member.consumer.pause((&*at.0, at.1)).unwrap();
            member.paused.insert(at);
        } else {
            member.consumer.resume((&*at.0, at.1)).unwrap();
            member.paused.remove(&at);
        }
    }

    pub(super) fn positions(
        &self,
        owned: &BTreeSet<Partition>,
        member: &Member,
    ) -> BTreeMap<Partition, u64> {
        let positions = owned.iter().map(|at| (at.clone(), member.position(at)));
        positions.collect()
    }

    // ---- commits by the application -----------------------------------------------------

    pub(super) fn commit(&mut self, i: usize) {
        self.members[i].stop_waiting();
        self.disturbances += 1;
        let fenced = self.members[i].is_fenced();
        let owned = self.members[i].owned();
        let positions = self.positions(&owned, &self.members[i]);
        let past_end = |(at, &position): (&Partition, &u64)| position > self.bounds(at).1;
        let past_end = positions.iter().any(past_end);
        match self.members[i].consumer.commit() {
            Ok(()) => {
                assert!(!fenced && !past_end);
                self.committed.extend(positions);
            }
            Err(ConsumeError::Fenced { .. }) => assert!(fenced),
            Err(ConsumeError::CommitPastEnd { .. }) => assert!(past_end),
            Err(other) => panic!("{other}"),
        }
    }

    pub(super) fn commit_offset(&mut self, i: usize, at: u8, to: u8) {
        let Some(at) = self.pick_owned(i, at) else {
            return;
        };
        self.disturbances += 1;
        let (start, end) = self.bounds(&at);
        // Sometimes one past the end.
        let to = start + u64::from(to) % (end - start + 2);
        let member = &mut self.members[i];
        member.stop_waiting();
        let fenced = member.is_fenced();
        let offset = (TopicPartition::new(&at.0, at.1), to);
        match member.consumer.commit_offsets([offset]) {
            Ok(()) => {
                assert!(!fenced && to <= end);
                self.committed.insert(at, to);
            }
            Err(ConsumeError::Fenced { .. }) => assert!(fenced),
            Err(ConsumeError::CommitPastEnd { log_end, .. }) => {
                assert_eq!((to, log_end), (end + 1, end));
            }
            Err(other) => panic!("{other}"),
        }
    }

    // ---- lag ----------------------------------------------------------------------------

    /// `log end - max(position or committed offset, log start)`, wherever a lag is reported.
    pub(super) fn check_lag(&mut self) {
        let lag = |at: &Partition, from: u64| {
            let (start, end) = self.bounds(at);
            end.saturating_sub(from.max(start))
        };
        for member in &self.members {
            for at in member.owned() {
                let expected = lag(&at, member.position(&at));
                assert_eq!(member.consumer.lag((&*at.0, at.1)), Ok(expected), "{at:?}");
            }
            for p in member.consumer.stats().partitions {
                let at = (p.topic, p.partition);
                assert_eq!(p.lag, lag(&at, member.position(&at)), "{at:?}");
            }
        }
        for p in self.group().into_iter().flat_map(|group| group.partitions) {
            let at = super::partition_of(&p.topic_partition);
            assert_eq!(p.lag(), p.committed.map(|from| lag(&at, from)), "{at:?}");
        }
        // A snapshot costs more.
        if self.steps % 4 != 0 {
            return;
        }
        let snapshot = self.broker.snapshot();
        for p in snapshot.groups.into_iter().flat_map(|g| g.partitions) {
            let at = (p.topic, p.partition);
            assert_eq!(p.lag, p.committed.map(|from| lag(&at, from)), "{at:?}");
        }
        for (stats, member) in snapshot.consumers.iter().zip(&self.members) {
            for p in &stats.partitions {
                let at = (p.topic.clone(), p.partition);
                assert_eq!(p.lag, lag(&at, p.position), "{at:?}");
                let exact = self.retained(&at, member.position(&at));
                // A seek is shown by the next poll, and what the application has committed ahead
                // of the position is taken for it.
                if member.sought.contains(&at) || self.committed.get(&at) > Some(&exact) {
                    continue;
                }
                let shown = p.position..=p.position_max.max(p.position);
                assert!(shown.contains(&exact), "{at:?}: {exact} {p:?}");
                assert!(
                    member.waits.is_none() || p.position == exact,
                    "{at:?}: waits"
                );
            }
        }
    }
}

impl BatchCommit {
    /// Commits a batch or a part of it. Returns the next offset, if there is one.
    pub(super) fn apply(self, batch: &Batch<'_>) -> Option<u64> {
        let last = match self {
            BatchCommit::Nothing => return None,
            BatchCommit::All => {
                batch.commit().unwrap();
                batch.iter().last()
            }
            BatchCommit::Through(place) => {
                let record = batch.iter().nth(usize::from(place) % batch.len().max(1));
                if let Some(record) = &record {
                    batch.commit_through(record).unwrap();
                }
                record
            }
        };
        last.map(|record| record.offset() + 1)
    }
}
