//! What is known of a topic beside the topic itself: what its producers have put on record.

use super::identity::{Id, KEYS, Kind};
use super::plan::TopicPlan;
use ringlog::{Broker, Timestamps, Topic};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// What is wrong, in words.
pub(crate) type Wrong = String;

/// A topic, and what its records must be.
pub(crate) struct Ledger {
    pub(crate) plan: TopicPlan,
    pub(crate) topic: Topic,
    /// When it was made, in milliseconds since 1970.
    began: i64,
    partitions: Vec<Entries>,
    /// Where each key was first seen.
    homes: [AtomicU32; KEYS],
    /// Producing threads that are not done.
    producing: AtomicU64,
}

/// One partition's part.
#[derive(Default)]
struct Entries {
    /// Offsets of claims that were given up. Each is put here *before* it is given up, so
    /// whoever steps over it finds it.
    aborted: Mutex<BTreeSet<u64>>,
    published: AtomicU64,
    /// The sum of [`weight`]s of what was published.
    digest: AtomicU64,
}

/// What somebody has sent to, or read from, one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) records: u64,
    pub(crate) digest: u64,
}

/// Clocks may be set while a round runs, but hardly by more.
const CLOCK_SLACK_MS: i64 = 3_600_000;

const NO_HOME: u32 = u32::MAX;

/// A record's part in its partition's digest: equal sums mean that the same records are at the
/// same offsets. A batch that is refused in part does not tell the offsets of the others, so
/// the offsets of a batch do not count here.
#[inline]
pub(crate) fn weight(id: Id, digest: u64, offset: u64) -> u64 {
    match id.kind() {
        Kind::Batch => digest,
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
            partitions: (0..plan.partitions).map(|_| Entries::default()).collect(),
            homes: [const { AtomicU32::new(NO_HOME) }; KEYS],
            producing: AtomicU64::new(plan.producers),
            plan,
        })
    }

    // ---- what producers say ----------------------------------------------------------------

    /// The claim of this offset will be given up.
    pub(crate) fn abort(&self, partition: u32, offset: u64) {
        self.aborted(partition).insert(offset);
    }

    /// A producing thread is done, and has published this, by partition.
    pub(crate) fn settle(&self, shares: &[Share]) {
        for (entries, share) in self.partitions.iter().zip(shares) {
            entries
                .published
                .fetch_add(share.records, Ordering::Relaxed);
            entries.digest.fetch_add(share.digest, Ordering::Relaxed);
        }
        // Release: whoever finds nobody producing finds the sums and the log's end as well.
        self.producing.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn is_final(&self) -> bool {
        self.producing.load(Ordering::Acquire) == 0
    }

    // ---- what readers ask ------------------------------------------------------------------

    /// What was published, once it is final.
    pub(crate) fn published(&self, partition: u32) -> Share {
        let entries = &self.partitions[partition as usize];
        Share {
            records: entries.published.load(Ordering::Relaxed),
            digest: entries.digest.load(Ordering::Relaxed),
        }
    }

    /// How many claims of these offsets were given up.
    pub(crate) fn aborted_in(&self, partition: u32, offsets: Range<u64>) -> u64 {
        self.aborted(partition).range(offsets).count() as u64
    }

    fn aborted(&self, partition: u32) -> MutexGuard<'_, BTreeSet<u64>> {
        let set = &self.partitions[partition as usize].aborted;
        set.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn log_start(&self, partition: u32) -> Result<u64, Wrong> {
        let start = self.topic.log_start_offset(partition);
        start.map_err(|error| error.to_string())
    }

    pub(crate) fn log_end(&self, partition: u32) -> Result<u64, Wrong> {
        let end = self.topic.log_end_offset(partition);
        end.map_err(|error| error.to_string())
    }

    /// Where a key is at home, if any thread has seen it.
    pub(crate) fn home(&self, key: usize) -> Option<u32> {
        let home = self.homes[key].load(Ordering::Relaxed);
        (home != NO_HOME).then_some(home)
    }

    /// Whether `key` is at home in this partition: it is where it was first seen, by any
    /// thread, sent or read.
    #[inline]
    pub(crate) fn check_home(&self, key: usize, partition: u32) -> Result<(), Wrong> {
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

    /// Whether a record that was given no time may have this one.
    #[inline]
    pub(crate) fn check_time(&self, time: i64) -> Result<(), Wrong> {
        let good = match self.plan.timestamps {
            Timestamps::Append => (time - self.began).abs() < CLOCK_SLACK_MS,
            Timestamps::Given => time == ringlog::NO_TIMESTAMP,
        };
        if !good {
            let (policy, began) = (self.plan.timestamps, self.began);
            return Err(format!(
                "time {time} under {policy:?}, in a round that began at {began}"
            ));
        }
        Ok(())
    }

    /// Log starts and ends, for reports.
    pub(crate) fn bounds(&self) -> String {
        let bounds = (0..self.plan.partitions).map(|partition| {
            let bound = |offset: Result<u64, Wrong>| offset.unwrap_or(u64::MAX);
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
