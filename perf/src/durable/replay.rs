//! Opening a directory, and reading what is in it.

use super::{Bench, LONG, Rounds, VALUE, bytes_below};
use crate::failure::Failure;
use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
use std::time::{Duration, Instant};

/// Sealed files, of about [`FILE_BYTES`] each.
const FILES: u64 = 1000;
const FILE_BYTES: u64 = 1 << 20;

/// Bytes of one file that is not sealed.
const UNSEALED_BYTES: u64 = 4 << 30;

/// Bytes of a record in a file: descriptor, value and time.
const RECORD_BYTES: u64 = 80;

impl Bench {
    pub(super) fn replays(&self) -> Result<(), Failure> {
        self.fill("sealed", FILE_BYTES, FILES * FILE_BYTES)?;
        self.fill("unsealed", UNSEALED_BYTES * 2, UNSEALED_BYTES)?;
        let (mut open, mut first, mut again, mut unsealed): (Rounds, Rounds, Rounds, Rounds) =
            Default::default();
        for _ in 0..self.rounds {
            let (broker, time) = self.opened("sealed", FILE_BYTES)?;
            open.add(time.as_secs_f64() * 1e3);
            first.add(self.read(&broker)?);
            again.add(self.read(&broker)?);
            drop(broker);
            let (_, time) = self.opened("unsealed", UNSEALED_BYTES * 2)?;
            unsealed.add(time.as_secs_f64() * 1e3);
        }
        let bytes = bytes_below(&self.path("sealed"))? >> 20;
        open.print(&format!("open, {FILES} sealed files ({bytes} MiB)"), "ms");
        first.print("replay from files, checksums checked", "M/s");
        again.print("replay from files, again", "M/s");
        unsealed.print(
            &format!("open, {} MiB unsealed", UNSEALED_BYTES >> 20),
            "ms",
        );
        Ok(())
    }

    fn fill(&self, name: &str, file_bytes: u64, bytes: u64) -> Result<(), Failure> {
        let (broker, _) = Broker::open(self.storage(name).file_bytes(file_bytes))?;
        let config = TopicConfig::new().segments(16).max_block(LONG);
        let topic = broker.create_topic("t", config)?;
        let mut producer = topic.producer();
        for _ in 0..bytes / RECORD_BYTES {
            producer.send(Record::new(&VALUE))?;
        }
        topic.flush(LONG)?;
        Ok(())
    }

    fn opened(&self, name: &str, file_bytes: u64) -> Result<(Broker, Duration), Failure> {
        let config = self.storage(name).file_bytes(file_bytes);
        let start = Instant::now();
        let (broker, report) = Broker::open(config)?;
        let time = start.elapsed();
        if report.has_damage() {
            return Err(format!("the directory is damaged: {report:?}").into());
        }
        Ok((broker, time))
    }

    /// Million records a second.
    fn read(&self, broker: &Broker) -> Result<f64, Failure> {
        self.pin()?;
        let end = broker.topic("t")?.log_end_offset(0)?;
        let mut consumer = broker.consumer(ConsumerConfig::new())?;
        consumer.subscribe(["t"])?;
        let start = Instant::now();
        let (mut records, mut sum) = (0u64, 0u64);
        while records < end {
            for record in &consumer.poll(LONG)? {
                sum += u64::from(record.value_bytes()[0]);
                records += 1;
            }
        }
        let time = start.elapsed();
        if sum != records * u64::from(VALUE[0]) {
            return Err("a record is not what was sent".into());
        }
        Ok(records as f64 / time.as_secs_f64() / 1e6)
    }
}
