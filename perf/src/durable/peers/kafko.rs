//! kafko: an append returns when the record is in the page cache; `Partition::sync` syncs.

use super::super::VALUE;
use super::{BATCH, FileLog, SYNC_WITHIN, Syncs};
use crate::failure::Failure;
use bytes::Bytes;
use kafko::{Consumer, Kafko, Partition, Producer};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// The most that are read: each record is looked up in the file by a call to another thread.
const MOST_READ: u64 = 20_000;

pub(super) struct Log {
    producer: Producer,
    consumer: Consumer,
    partition: Arc<Partition>,
    _broker: Kafko,
    runtime: Runtime,
}

impl Log {
    pub(super) fn open(dir: &Path, syncs: Syncs) -> Result<Log, Failure> {
        let runtime = Builder::new_multi_thread().enable_time().build()?;
        runtime
            .block_on(async {
                let broker = Kafko::open(dir).await?;
                if !broker.has_topic("t").await {
                    broker.create_topic("t").await?;
                }
                let topic = broker.topic("t").await;
                let topic = topic.ok_or("the topic is not there")?;
                let partition = topic.partition(0).ok_or("there is no partition")?.clone();
                if syncs == Syncs::Within {
                    let synced = partition.clone();
                    runtime.spawn(async move {
                        while synced.sync().await.is_ok() {
                            tokio::time::sleep(SYNC_WITHIN).await;
                        }
                    });
                }
                Ok((broker, topic, partition))
            })
            .map(|(broker, topic, partition)| Log {
                producer: Producer::new(topic.clone()),
                consumer: Consumer::from_topic(topic),
                partition,
                _broker: broker,
                runtime,
            })
    }
}

impl FileLog for Log {
    fn append_durably(&mut self) -> Result<(), Failure> {
        self.runtime.block_on(async {
            self.producer.send(None, Bytes::from_static(&VALUE)).await?;
            Ok(self.partition.sync().await?)
        })
    }

    fn append(&mut self, records: u64) -> Result<(), Failure> {
        self.runtime.block_on(async {
            for _ in 0..records {
                self.producer.send(None, Bytes::from_static(&VALUE)).await?;
            }
            Ok(self.partition.sync().await?)
        })
    }

    fn append_batches(&mut self, records: u64) -> Result<(), Failure> {
        self.runtime.block_on(async {
            for _ in 0..records / BATCH as u64 {
                let batch = vec![(None, Bytes::from_static(&VALUE)); BATCH];
                self.producer.send_batch(batch).await?;
            }
            Ok(self.partition.sync().await?)
        })
    }

    fn read(&mut self) -> Result<(u64, u64), Failure> {
        let end = self.partition.high_water_mark().min(MOST_READ);
        self.consumer.seek_all(0);
        self.runtime.block_on(async {
            let mut sum = 0;
            for _ in 0..end {
                let record = self.consumer.next_record().await?;
                sum += u64::from(record.value()[0]);
            }
            Ok((end, sum))
        })
    }
}
