//! Consumers that come and go, of one topic or several: they start anywhere, seek, pause, hold
//! batches, change what they read, and leave in the middle.

use super::reader::{TransientReader, as_fault};
use super::seeks::SeekTarget;
use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use crate::soak::ledger::Ledger;
use crate::soak::rng::Rng;
use crate::soak::watchdog::{Activity, Heartbeat, RoundControl};
use ringlog::{Batch, Broker, ConsumeError, Consumer, ConsumerConfig, OffsetReset, TopicPartition};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(1);

/// Reads until the round ends.
pub(crate) fn come_and_go(
    broker: &Broker,
    ledgers: &[Arc<Ledger>],
    own: usize,
    rng: Rng,
    control: &RoundControl,
    heartbeat: &Heartbeat,
) -> Result<Counts, Fault> {
    let mut reader = TransientReader::new(broker, ledgers, own, rng, heartbeat);
    while !control.is_stopped() {
        reader.run_consumer(control)?;
        heartbeat.set_activity(Activity::Napping);
        thread::sleep(Duration::from_micros(reader.rng.below(2_000)));
    }
    for checker in &reader.checkers {
        reader.counts.bytes += checker.bytes;
        for progress in checker.progress() {
            reader.counts.read += progress.read.records;
            reader.counts.lost += progress.lost;
            reader.counts.stepped += progress.stepped;
        }
    }
    Ok(reader.counts)
}

impl TransientReader<'_> {
    /// Runs one consumer from its creation to its drop.
    fn run_consumer(&mut self, control: &RoundControl) -> Result<(), Fault> {
        let reset = self.rng.pick([
            OffsetReset::Earliest,
            OffsetReset::Earliest,
            OffsetReset::Latest,
            OffsetReset::None,
        ]);
        let config = ConsumerConfig::new()
            .offset_reset(reset)
            .max_poll_records(self.rng.pick([1, 7, 100, 500, 5_000]));
        let mut consumer = as_fault(self.broker.consumer(config))?;
        self.counts.joined += 1;
        self.choose(&mut consumer, reset)?;
        for _ in 0..self.rng.between(1, 60) {
            if control.is_stopped() {
                break;
            }
            match self.rng.below(20) {
                0 => self.hold(&mut consumer, reset)?,
                1..4 => self.seek_somewhere(&mut consumer)?,
                4 => self.pause_or_resume(&mut consumer)?,
                5 if self.rng.one_in(4) => self.choose(&mut consumer, reset)?,
                _ => self.poll(&mut consumer, reset)?,
            }
        }
        drop(consumer);
        self.follow(&[]);
        self.paused = None;
        Ok(())
    }

    /// Subscribes or assigns, for the first time or in place of what it read before.
    fn choose(&mut self, consumer: &mut Consumer, reset: OffsetReset) -> Result<(), Fault> {
        self.heartbeat.set_activity(Activity::Seeking);
        let plan = &self.checkers[self.own].ledger.plan;
        let (own, partitions) = (plan.name.clone(), plan.partitions);
        let names = self.checkers.iter().map(|c| c.ledger.plan.name.clone());
        let all: Vec<_> = names.collect();
        match self.rng.below(4) {
            0 => {
                consumer.unsubscribe();
                self.follow(&[]);
                let from = self.rng.below(partitions.into()) as u32;
                let some = (from..partitions).map(|p| TopicPartition::new(&*own, p));
                as_fault(consumer.assign(some))?;
            }
            choice => {
                let names = if choice == 1 { &all[..] } else { &[own] };
                let subscribed = match consumer.subscribe(names) {
                    Err(ConsumeError::MixedAssignment { .. }) => {
                        consumer.unsubscribe();
                        self.follow(&[]);
                        consumer.subscribe(names)
                    }
                    other => other,
                };
                as_fault(subscribed)?;
            }
        }
        self.counts.subscribed += 1;
        let assignment = consumer.assignment();
        let new = self.follow(&assignment);
        for TopicPartition { topic, partition } in new {
            if reset == OffsetReset::None {
                as_fault(consumer.seek_to_beginning((&topic, partition)))?;
            }
            let position = as_fault(consumer.position((&topic, partition)))?;
            self.checker(&topic)?.begin(partition, position, true);
        }
        let reads = |paused: &TopicPartition| assignment.contains(paused);
        self.paused = self.paused.take().filter(reads);
        Ok(())
    }

    fn poll(&mut self, consumer: &mut Consumer, reset: OffsetReset) -> Result<(), Fault> {
        self.heartbeat.set_activity(Activity::Polling);
        let error = match consumer.poll(POLL) {
            Ok(batch) => return self.check(&batch),
            Err(error) => error,
        };
        self.out_of_range(consumer, reset, error)
    }

    fn check(&mut self, batch: &Batch<'_>) -> Result<(), Fault> {
        let (Some(topic), Some(partition)) = (batch.topic(), batch.partition()) else {
            return Ok(());
        };
        let checker = self.checker(topic)?;
        checker.batch(batch)?;
        let next = checker.next(partition).unwrap_or_default();
        self.heartbeat.advance(batch.len() as u64, partition, next);
        Ok(())
    }

    /// Checks the error of a poll, and seeks to the beginning. Only a position outside the retained
    /// offsets may fail, and only under `OffsetReset::None`.
    fn out_of_range(
        &mut self,
        consumer: &mut Consumer,
        reset: OffsetReset,
        error: ConsumeError,
    ) -> Result<(), Fault> {
        let ConsumeError::OffsetOutOfRange {
            topic,
            partition,
            position,
            ..
        } = &error
        else {
            return Err(error.to_string());
        };
        let ledger = self.checker(topic)?.ledger.clone();
        let retained = ledger.log_start(*partition)?..=ledger.log_end(*partition)?;
        if reset != OffsetReset::None || retained.contains(position) {
            let bounds = ledger.bounds();
            return Err(format!("under {reset:?}: {error} ({bounds})"));
        }
        self.seek(consumer, topic, *partition, SeekTarget::Beginning)
    }

    /// Stalls while it holds a batch: the bytes must not change, however often the ring wraps.
    fn hold(&mut self, consumer: &mut Consumer, reset: OffsetReset) -> Result<(), Fault> {
        self.heartbeat.set_activity(Activity::Holding);
        let error = match consumer.poll(POLL) {
            Ok(batch) => return self.compare(&batch),
            Err(error) => error,
        };
        self.out_of_range(consumer, reset, error)
    }

    fn compare(&mut self, batch: &Batch<'_>) -> Result<(), Fault> {
        let Some(at) = batch.topic_partition() else {
            return Ok(());
        };
        let gated = self.checker(&at.topic)?.ledger.plan.gated();
        let longest = match (gated, self.rng.below(16)) {
            (true, _) => 2_000, // the batch holds back the producers
            (false, 0) => 200_000,
            (false, _) => 10_000,
        };
        image(batch, &mut self.images[0]);
        thread::sleep(Duration::from_micros(self.rng.below(longest)));
        image(batch, &mut self.images[1]);
        if self.images[0] != self.images[1] {
            let first = batch.first_offset().unwrap_or_default();
            return Err(format!(
                "{at}: the batch from offset {first} on changed while it was held"
            ));
        }
        self.counts.held += 1;
        self.check(batch)
    }
}

/// Everything that can be read of a batch.
fn image(batch: &Batch<'_>, out: &mut Vec<u8>) {
    out.clear();
    for record in batch {
        out.extend(record.offset().to_ne_bytes());
        out.extend(record.timestamp().unwrap_or(-1).to_ne_bytes());
        out.extend(record.key().unwrap_or(b"none"));
        out.extend(record.value_bytes());
    }
}
