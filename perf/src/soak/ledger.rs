//! The ledger of a topic: the producers' accounts, against which every consumer is checked.

use crate::soak::fault::Fault;
use crate::soak::plan::TopicPlan;
use crate::soak::record::id::{KEYS, RecordId, SendKind};
use ringlog::{Broker, Timestamps, Topic};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// A topic, and what its producers have entered.
pub(crate) struct Ledger {
    pub(crate) plan: TopicPlan,
    pub(crate) topic: Topic,
    /// When the topic was created, in milliseconds since 1970.
    began: i64,
    partitions: Vec<PartitionAccount>,
    /// The partition in which each key was first seen.
    homes: [AtomicU32; KEYS],
    /// The number of producing threads that are not done.
    producing: AtomicU64,
}

/// The account of one partition.
#[derive(Default)]
struct PartitionAccount {
    /// The offsets of claims that were given up. A producer enters each *before* it gives the
    /// claim up, so every reader that steps over it finds it.
    aborted: Mutex<BTreeSet<u64>>,
    published: AtomicU64,
    /// The sum of the [`weight`]s of the published records.
    digest: AtomicU64,
}

/// What a thread has sent to, or read from, one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartitionTotal {
    pub(crate) records: u64,
    pub(crate) digest: u64,
}

/// The tolerance for a clock that is set while a round runs.
const CLOCK_SLACK_MS: i64 = 3_600_000;

const NO_HOME: u32 = u32::MAX;

/// A record's contribution to its partition's digest: equal sums mean that the same records are at
/// the same offsets. A batch that is refused in part does not report the offsets of the other
/// records, so the offsets of a batch do not contribute.
#[inline]
pub(crate) fn weight(id: RecordId, digest: u64, offset: u64) -> u64 {
    match id.kind() {
        SendKind::Batch => digest,
        _ => digest.wrapping_mul(2 * offset + 1),
    }
}

impl Ledger {
    pub(crate) fn new(broker: &Broker, plan: TopicPlan) -> Result<Ledger, ringlog::TopicError> {
        let topic = broker.create_topic(&plan.name, plan.config())?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Ledger {
            topic,
            began: since.unwrap_or_default().as_millis() as i64,
            partitions: (0..plan.partitions)
                .map(|_| PartitionAccount::default())
                .collect(),
            homes: [const { AtomicU32::new(NO_HOME) }; KEYS],
            producing: AtomicU64::new(plan.producers),
            plan,
        })
    }

    // ---- for producers -----------------------------------------------------------------------

    /// Enters that the claim of this offset will be given up.
    pub(crate) fn abort(&self, partition: u32, offset: u64) {
        self.aborted(partition).insert(offset);
    }

    /// Enters what a producing thread has published, by partition. The thread is done.
    pub(crate) fn settle(&self, totals: &[PartitionTotal]) {
        for (account, total) in self.partitions.iter().zip(totals) {
            account
                .published
                .fetch_add(total.records, Ordering::Relaxed);
            account.digest.fetch_add(total.digest, Ordering::Relaxed);
        }
        // Release, paired with the Acquire of `is_final`: a consumer that finds no thread
        // producing finds the sums and the log end as well.
        self.producing.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn is_final(&self) -> bool {
        self.producing.load(Ordering::Acquire) == 0
    }

    // ---- for consumers -----------------------------------------------------------------------

    /// What was published. Exact once the ledger is final.
    pub(crate) fn published(&self, partition: u32) -> PartitionTotal {
        let account = &self.partitions[partition as usize];
        PartitionTotal {
            records: account.published.load(Ordering::Relaxed),
            digest: account.digest.load(Ordering::Relaxed),
        }
    }

    /// The number of claims of these offsets that were given up.
    pub(crate) fn aborted_in(&self, partition: u32, offsets: Range<u64>) -> u64 {
        self.aborted(partition).range(offsets).count() as u64
    }

    fn aborted(&self, partition: u32) -> MutexGuard<'_, BTreeSet<u64>> {
        let set = &self.partitions[partition as usize].aborted;
        set.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn log_start(&self, partition: u32) -> Result<u64, Fault> {
        let start = self.topic.log_start_offset(partition);
        start.map_err(|error| error.to_string())
    }

    pub(crate) fn log_end(&self, partition: u32) -> Result<u64, Fault> {
        let end = self.topic.log_end_offset(partition);
        end.map_err(|error| error.to_string())
    }

    /// The partition of a key, if any thread has seen it.
    pub(crate) fn home(&self, key: usize) -> Option<u32> {
        let home = self.homes[key].load(Ordering::Relaxed);
        (home != NO_HOME).then_some(home)
    }

    /// Checks that this is the partition of `key`: the one in which any thread has first sent or
    /// read it.
    #[inline]
    pub(crate) fn check_home(&self, key: usize, partition: u32) -> Result<(), Fault> {
        let home = &self.homes[key];
        let mut found = home.load(Ordering::Relaxed);
        if found == NO_HOME {
            let order = Ordering::Relaxed;
            match home.compare_exchange(NO_HOME, partition, order, order) {
                Ok(_) => return Ok(()),
                Err(other) => found = other,
            }
        }
        if found != partition {
            return Err(format!("key {key} has its home in partition {found}"));
        }
        Ok(())
    }

    /// Checks the timestamp of a record that was sent without one.
    #[inline]
    pub(crate) fn check_time(&self, time: Option<i64>) -> Result<(), Fault> {
        let valid = match self.plan.timestamps {
            Timestamps::Append => {
                time.is_some_and(|time| (time - self.began).abs() < CLOCK_SLACK_MS)
            }
            Timestamps::Given => time.is_none(),
        };
        if !valid {
            let (policy, began) = (self.plan.timestamps, self.began);
            return Err(format!(
                "time {time:?} under {policy:?}, in a round that began at {began}"
            ));
        }
        Ok(())
    }

    /// The log starts and ends, for error messages.
    pub(crate) fn bounds(&self) -> String {
        let bounds = (0..self.plan.partitions).map(|partition| {
            let bound = |offset: Result<u64, Fault>| offset.unwrap_or(u64::MAX);
            let (start, end) = (self.log_start(partition), self.log_end(partition));
            format!("{}..{}", bound(start), bound(end))
        });
        format!(
            "{}: {}",
            self.plan.name,
            bounds.collect::<Vec<_>>().join(", ")
        )
    }
}
