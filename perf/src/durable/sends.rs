//! Sends beside the copier: paced, with percentiles; and as fast as they become durable.

use super::{Bench, LONG, Rounds, VALUE};
use crate::failure::Failure;
use hdrhistogram::Histogram;
use ringlog::{Destination, Overflow, Record, Topic, TopicConfig};
use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// Paced sends come in bursts of this many, so that the clock is read between sends only.
const BURST: u64 = 100;

/// Records of a run that goes as fast as it can.
const RECORDS: u64 = 10_000_000;

/// Rows of one kind of topic.
#[derive(Default)]
struct Paced {
    mean: Rounds,
    p50: Rounds,
    p99_9: Rounds,
    p99_99: Rounds,
}

impl Bench {
    pub(super) fn paced_sends(&self) -> Result<(), Failure> {
        let (mut memory, mut durable) = (Paced::default(), Paced::default());
        for _ in 0..self.rounds {
            for (rows, is_durable) in [(&mut memory, false), (&mut durable, true)] {
                let broker = self.fresh("paced")?;
                let config = TopicConfig::new()
                    .segments(16)
                    .overflow(Overflow::DropOldest)
                    .prefault(true);
                let config = match is_durable {
                    true => config,
                    false => config.in_memory(),
                };
                let topic = broker.create_topic("t", config)?;
                self.send_paced(&topic, rows)?;
                if is_durable {
                    topic.flush(LONG)?;
                }
            }
        }
        let rate = self.rate as f64 / 1e6;
        for (rows, kind) in [(&memory, "in memory"), (&durable, "durable")] {
            let what = |figure| format!("send at {rate} M/s, {kind}, {figure}");
            rows.mean.print(&what("mean"), "ns");
            rows.p50.print(&what("p50"), "ns");
            rows.p99_9.print(&what("p99.9"), "ns");
            rows.p99_99.print(&what("p99.99"), "ns");
        }
        let ratio = |of: fn(&Paced) -> &Rounds| of(&durable).median() / of(&memory).median();
        let (mean, tail) = (ratio(|rows| &rows.mean), ratio(|rows| &rows.p99_99));
        println!("{:<52} {mean:>9.2}", "durable / in memory, mean");
        println!("{:<52} {tail:>9.2}", "durable / in memory, p99.99");
        Ok(())
    }

    fn send_paced(&self, topic: &Topic, rows: &mut Paced) -> Result<(), Failure> {
        self.pin()?;
        let mut producer = topic.producer();
        let mut times = Histogram::<u64>::new(3)?;
        let period = Duration::from_nanos(1_000_000_000 * BURST / self.rate);
        let (start, mut busy, mut sent) = (Instant::now(), Duration::ZERO, 0);
        let mut next = start;
        while start.elapsed() < self.paced {
            while Instant::now() < next {
                spin_loop();
            }
            next += period;
            let begin = Instant::now();
            let mut last = begin;
            for _ in 0..BURST {
                producer.send(Record::new(&VALUE))?;
                let now = Instant::now();
                times.record((now - last).as_nanos() as u64)?;
                last = now;
            }
            busy += last - begin;
            sent += BURST;
        }
        rows.mean.add(busy.as_nanos() as f64 / sent as f64);
        let quantile = |part| times.value_at_quantile(part) as f64;
        rows.p50.add(quantile(0.5));
        rows.p99_9.add(quantile(0.999));
        rows.p99_99.add(quantile(0.9999));
        Ok(())
    }

    /// Records a second until all of them are durable.
    pub(super) fn rates(&self) -> Result<(), Failure> {
        let mut rows: [(&str, u32, bool, Rounds); 3] = [
            (
                "durable records, one partition, send",
                1,
                false,
                Rounds::default(),
            ),
            (
                "durable records, four partitions, send",
                4,
                false,
                Rounds::default(),
            ),
            (
                "durable records, one partition, 256 values a call",
                1,
                true,
                Rounds::default(),
            ),
        ];
        for _ in 0..self.rounds {
            for (_, partitions, by_values, rounds) in &mut rows {
                rounds.add(self.rate_of(*partitions, *by_values)?);
            }
        }
        for (what, _, _, rounds) in &rows {
            rounds.print(what, "M/s");
        }
        Ok(())
    }

    fn rate_of(&self, partitions: u32, by_values: bool) -> Result<f64, Failure> {
        let broker = self.fresh("rate")?;
        let config = TopicConfig::new().partitions(partitions).segments(16);
        let topic = broker.create_topic("t", config.max_block(LONG))?;
        self.pin()?;
        let mut producer = topic.producer();
        let start = Instant::now();
        if by_values {
            let values = [VALUE; 256];
            for _ in 0..RECORDS / 256 {
                producer.send_values(Destination::Partition(0), &values)?;
            }
        } else {
            for record in 0..RECORDS {
                let partition = (record % u64::from(partitions)) as u32;
                producer.send(Record::new(&VALUE).partition(partition))?;
            }
        }
        topic.flush(LONG)?;
        Ok(RECORDS as f64 / start.elapsed().as_secs_f64() / 1e6)
    }
}
