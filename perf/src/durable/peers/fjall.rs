//! fjall, an ordered store, as a log: the keys are offsets.

use super::super::VALUE;
use super::{BATCH, FileLog, SYNC_WITHIN, Syncs};
use crate::failure::Failure;
use fjall::{Config, Keyspace, PartitionCreateOptions, PartitionHandle, PersistMode};
use std::path::Path;

pub(super) struct Log {
    keyspace: Keyspace,
    partition: PartitionHandle,
    end: u64,
}

impl Log {
    pub(super) fn open(dir: &Path, syncs: Syncs) -> Result<Log, Failure> {
        let config = Config::new(dir);
        let keyspace = match syncs {
            Syncs::Each => config.open()?,
            Syncs::Within => config
                .fsync_ms(Some(SYNC_WITHIN.as_millis() as u16))
                .open()?,
        };
        let partition = keyspace.open_partition("t", PartitionCreateOptions::default())?;
        Ok(Log {
            keyspace,
            partition,
            end: 0,
        })
    }

    fn next_key(&mut self) -> [u8; 8] {
        let key = self.end.to_be_bytes();
        self.end += 1;
        key
    }
}

impl FileLog for Log {
    fn append_durably(&mut self) -> Result<(), Failure> {
        let key = self.next_key();
        self.partition.insert(key, VALUE)?;
        Ok(self.keyspace.persist(PersistMode::SyncData)?)
    }

    fn append(&mut self, records: u64) -> Result<(), Failure> {
        for _ in 0..records {
            let key = self.next_key();
            self.partition.insert(key, VALUE)?;
        }
        Ok(self.keyspace.persist(PersistMode::SyncData)?)
    }

    fn append_batches(&mut self, records: u64) -> Result<(), Failure> {
        for _ in 0..records / BATCH as u64 {
            let mut batch = self.keyspace.batch();
            for _ in 0..BATCH {
                let key = self.next_key();
                batch.insert(&self.partition, key, VALUE);
            }
            batch.commit()?;
        }
        Ok(self.keyspace.persist(PersistMode::SyncData)?)
    }

    fn read(&mut self) -> Result<(u64, u64), Failure> {
        let (mut records, mut sum) = (0, 0);
        for entry in self.partition.iter() {
            let (_, value) = entry?;
            records += 1;
            sum += u64::from(value[0]);
        }
        Ok((records, sum))
    }
}
