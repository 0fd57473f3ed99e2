//! Acknowledgement times: a bare `fdatasync`, and a wait for a durable record.

use super::{Bench, LONG, Rounds, VALUE, percentile};
use crate::failure::Failure;
use ringlog::{Record, TopicConfig};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

/// Samples of a round.
const SAMPLES: u64 = 200;

impl Bench {
    pub(super) fn syncs(&self) -> Result<(), Failure> {
        let (mut bare, mut one, mut many) = Default::default();
        for _ in 0..self.rounds {
            self.bare_syncs(&mut bare)?;
            self.waits(&mut one, 1)?;
            self.waits(&mut many, 8)?;
        }
        let ratio = one.0.median() / bare.0.median();
        bare.0.print("write 4 KiB and fdatasync, p50", "us");
        bare.1.print("write 4 KiB and fdatasync, p99", "us");
        one.0.print("send and wait_durable, p50", "us");
        one.1.print("send and wait_durable, p99", "us");
        println!("{:<52} {ratio:>9.2}", "wait_durable p50 / fdatasync p50");
        many.0
            .print("the same, eight partitions in turn, p50", "us");
        Ok(())
    }

    fn bare_syncs(&self, rows: &mut (Rounds, Rounds)) -> Result<(), Failure> {
        let mut file = File::create(self.path("bare"))?;
        file.set_len(SAMPLES * 4096)?;
        file.sync_all()?;
        let mut times = Vec::new();
        for sample in 0..SAMPLES {
            let start = Instant::now();
            file.seek(SeekFrom::Start(sample * 4096))?;
            file.write_all(&[1; 4096])?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        add(rows, &mut times);
        Ok(())
    }

    fn waits(&self, rows: &mut (Rounds, Rounds), partitions: u32) -> Result<(), Failure> {
        let broker = self.fresh("waits")?;
        let topic = broker.create_topic("t", TopicConfig::new().partitions(partitions))?;
        let mut producer = topic.producer();
        let mut times = Vec::new();
        for sample in 0..SAMPLES {
            let partition = (sample % u64::from(partitions)) as u32;
            let start = Instant::now();
            let sent = producer.send(Record::new(&VALUE).partition(partition))?;
            topic.wait_durable(partition, sent.offset + 1, LONG)?;
            times.push(start.elapsed());
        }
        add(rows, &mut times);
        Ok(())
    }
}

fn add(rows: &mut (Rounds, Rounds), times: &mut [Duration]) {
    rows.0.add(percentile(times, 0.5));
    rows.1.add(percentile(times, 0.99));
}
