//! ringlog: a durable topic, under the default policy.

use super::super::{LONG, VALUE};
use super::{BATCH, FileLog};
use crate::failure::Failure;
use ringlog::{Broker, ConsumerConfig, Destination, Record, Topic, TopicConfig};
use std::path::Path;

pub(super) struct Log {
    broker: Broker,
    topic: Topic,
}

impl Log {
    pub(super) fn open(dir: &Path) -> Result<Log, Failure> {
        let (broker, _) = Broker::open(dir)?;
        let topic = broker.get_or_create_topic("t", TopicConfig::new().max_block(LONG))?;
        Ok(Log { broker, topic })
    }
}

impl FileLog for Log {
    fn append_durably(&mut self) -> Result<(), Failure> {
        let sent = self.topic.producer().send(Record::new(&VALUE))?;
        Ok(self.topic.wait_durable(0, sent.offset + 1, LONG)?)
    }

    fn append(&mut self, records: u64) -> Result<(), Failure> {
        let mut producer = self.topic.producer();
        for _ in 0..records {
            producer.send(Record::new(&VALUE))?;
        }
        Ok(self.topic.flush(LONG)?)
    }

    fn append_batches(&mut self, records: u64) -> Result<(), Failure> {
        let mut producer = self.topic.producer();
        let values = [VALUE; BATCH];
        for _ in 0..records / BATCH as u64 {
            producer.send_values(Destination::Partition(0), &values)?;
        }
        Ok(self.topic.flush(LONG)?)
    }

    fn read(&mut self) -> Result<(u64, u64), Failure> {
        let end = self.topic.log_end_offset(0)?;
        let mut consumer = self.broker.consumer(ConsumerConfig::new())?;
        consumer.subscribe(["t"])?;
        let (mut records, mut sum) = (0, 0);
        while records < end {
            for record in &consumer.poll(LONG)? {
                records += 1;
                sum += u64::from(record.value_bytes()[0]);
            }
        }
        Ok((records, sum))
    }
}
