//! walrus-rust. Its directory is a variable of the process, which the parent process sets. It syncs
//! each batch, whatever the schedule, and has no call that waits for the sync of what was appended
//! one by one: there the time ends with the last append.

use super::super::VALUE;
use super::{BATCH, FileLog, SYNC_WITHIN, Syncs};
use crate::failure::Failure;
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

/// Bytes of a read.
const READ_BYTES: usize = 1 << 20;

pub(super) struct Log(Walrus);

impl Log {
    pub(super) fn open(syncs: Syncs) -> Result<Log, Failure> {
        let schedule = match syncs {
            Syncs::Each => FsyncSchedule::SyncEach,
            Syncs::Within => FsyncSchedule::Milliseconds(SYNC_WITHIN.as_millis() as u64),
        };
        let reads = ReadConsistency::AtLeastOnce {
            persist_every: u32::MAX,
        };
        let log = Walrus::with_consistency_and_schedule(reads, schedule)?;
        Ok(Log(log))
    }
}

impl FileLog for Log {
    fn append_durably(&mut self) -> Result<(), Failure> {
        Ok(self.0.append_for_topic("t", &VALUE)?)
    }

    fn append(&mut self, records: u64) -> Result<(), Failure> {
        for _ in 0..records {
            self.0.append_for_topic("t", &VALUE)?;
        }
        Ok(())
    }

    fn append_batches(&mut self, records: u64) -> Result<(), Failure> {
        let batch = [&VALUE[..]; BATCH];
        for _ in 0..records / BATCH as u64 {
            self.0.batch_append_for_topic("t", &batch)?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(u64, u64), Failure> {
        let (mut records, mut sum) = (0, 0);
        loop {
            let entries = self.0.batch_read_for_topic("t", READ_BYTES, true)?;
            if entries.is_empty() {
                return Ok((records, sum));
            }
            records += entries.len() as u64;
            sum += entries
                .iter()
                .map(|entry| u64::from(entry.data[0]))
                .sum::<u64>();
        }
    }
}
