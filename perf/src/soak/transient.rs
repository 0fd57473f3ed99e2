//! Consumers that come and go, of one topic or several: they begin anywhere, seek, pause, hold
//! batches, change what they read, and leave in the middle.

use super::checker::Checker;
use super::dice::Dice;
use super::ledger::{Ledger, Wrong};
use super::seeks::Target;
use super::tally::Tally;
use super::worker::{Control, Doing, Station};
use ringlog::{Batch, Broker, ConsumeError, Consumer, ConsumerConfig, OffsetReset, TopicPartition};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(1);

/// A thread that is one consumer after the other.
pub(crate) struct Visitor<'a> {
    broker: &'a Broker,
    /// Of each topic of the round, and which of them is its own.
    checkers: Vec<Checker>,
    own: usize,
    pub(crate) dice: Dice,
    pub(crate) tally: Tally,
    pub(crate) station: &'a Station,
    /// What a batch was before and after it was held.
    images: [Vec<u8>; 2],
    /// What the consumer of the moment has paused.
    pub(crate) paused: Option<TopicPartition>,
}

/// Reads until the round ends.
pub(crate) fn come_and_go(
    broker: &Broker,
    ledgers: &[Arc<Ledger>],
    own: usize,
    dice: Dice,
    control: &Control,
    station: &Station,
) -> Result<Tally, Wrong> {
    let checker = |ledger: &Arc<Ledger>| Checker::new(ledger.clone()).with_recall();
    let mut visitor = Visitor {
        broker,
        checkers: ledgers.iter().map(checker).collect(),
        own,
        dice,
        tally: Tally::default(),
        station,
        images: Default::default(),
        paused: None,
    };
    while !control.is_stopped() {
        visitor.visit(control)?;
        station.doing(Doing::Napping);
        thread::sleep(Duration::from_micros(visitor.dice.below(2_000)));
    }
    for checker in &visitor.checkers {
        visitor.tally.bytes += checker.bytes;
        for seen in checker.seen() {
            visitor.tally.read += seen.read.records;
            visitor.tally.lost += seen.lost;
            visitor.tally.stepped += seen.stepped;
        }
    }
    Ok(visitor.tally)
}

/// Names the consumer's error.
pub(crate) fn told<T>(result: Result<T, ConsumeError>) -> Result<T, Wrong> {
    result.map_err(|error| error.to_string())
}

impl Visitor<'_> {
    /// One consumer's life.
    fn visit(&mut self, control: &Control) -> Result<(), Wrong> {
        let reset = self.dice.pick([
            OffsetReset::Earliest,
            OffsetReset::Earliest,
            OffsetReset::Latest,
            OffsetReset::None,
        ]);
        let config = ConsumerConfig::new()
            .offset_reset(reset)
            .max_poll_records(self.dice.pick([1, 7, 100, 500, 5_000]));
        let mut consumer = self.broker.consumer(config);
        self.tally.joined += 1;
        self.choose(&mut consumer, reset)?;
        for _ in 0..self.dice.between(1, 60) {
            if control.is_stopped() {
                break;
            }
            match self.dice.below(20) {
                0 => self.hold(&mut consumer, reset)?,
                1..4 => self.seek_somewhere(&mut consumer)?,
                4 => self.pause_or_resume(&mut consumer)?,
                5 if self.dice.one_in(4) => self.choose(&mut consumer, reset)?,
                _ => self.poll(&mut consumer, reset)?,
            }
        }
        drop(consumer);
        self.follow(&[]);
        self.paused = None;
        Ok(())
    }

    pub(crate) fn checker(&mut self, topic: &str) -> Result<&mut Checker, Wrong> {
        let mut checkers = self.checkers.iter_mut();
        let found = checkers.find(|checker| checker.ledger.plan.name == topic);
        found.ok_or_else(|| format!("there is no topic {topic:?}"))
    }

    // ---- what it reads -----------------------------------------------------------------------

    /// Subscribes or assigns, for the first time or instead of what it read before.
    fn choose(&mut self, consumer: &mut Consumer, reset: OffsetReset) -> Result<(), Wrong> {
        self.station.doing(Doing::Seeking);
        let plan = &self.checkers[self.own].ledger.plan;
        let (own, partitions) = (plan.name.clone(), plan.partitions);
        let names = self.checkers.iter().map(|c| c.ledger.plan.name.clone());
        let all: Vec<_> = names.collect();
        match self.dice.below(4) {
            0 => {
                consumer.unsubscribe();
                self.follow(&[]);
                let from = self.dice.below(partitions.into()) as u32;
                let some = (from..partitions).map(|p| TopicPartition::new(&*own, p));
                told(consumer.assign(&some.collect::<Vec<_>>()))?;
            }
            dice => {
                let names = if dice == 1 { &all[..] } else { &[own] };
                let subscribed = match consumer.subscribe(names) {
                    Err(ConsumeError::MixedAssignment { .. }) => {
                        consumer.unsubscribe();
                        self.follow(&[]);
                        consumer.subscribe(names)
                    }
                    other => other,
                };
                told(subscribed)?;
            }
        }
        self.tally.subscribed += 1;
        let assignment = consumer.assignment();
        let new = self.follow(&assignment);
        for TopicPartition { topic, partition } in new {
            if reset == OffsetReset::None {
                told(consumer.seek_to_beginning(&topic, partition))?;
            }
            let position = told(consumer.position(&topic, partition))?;
            self.checker(&topic)?.begin(partition, position, true);
        }
        let reads = |paused: &TopicPartition| assignment.contains(paused);
        self.paused = self.paused.take().filter(reads);
        Ok(())
    }

    /// Leaves all partitions but these; answers which of these are new.
    fn follow(&mut self, assignment: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut new = Vec::new();
        for checker in &mut self.checkers {
            let ledger = checker.ledger.clone();
            for partition in 0..ledger.plan.partitions {
                let this = TopicPartition::new(&*ledger.plan.name, partition);
                match (assignment.contains(&this), checker.reads(partition)) {
                    (true, false) => new.push(this),
                    (false, true) => checker.leave(partition),
                    _ => {}
                }
            }
        }
        new
    }

    // ---- what it does ------------------------------------------------------------------------

    fn poll(&mut self, consumer: &mut Consumer, reset: OffsetReset) -> Result<(), Wrong> {
        self.station.doing(Doing::Polling);
        let error = match consumer.poll(POLL) {
            Ok(batch) => return self.check(&batch),
            Err(error) => error,
        };
        self.outside(consumer, reset, error)
    }

    fn check(&mut self, batch: &Batch<'_>) -> Result<(), Wrong> {
        if batch.is_empty() {
            return Ok(());
        }
        let partition = batch.partition();
        let checker = self.checker(batch.topic())?;
        checker.batch(batch)?;
        let next = checker.next(partition).unwrap_or_default();
        self.station.moved(batch.len() as u64, partition, next);
        Ok(())
    }

    /// A poll was refused: only for a position outside what is retained, and only if the
    /// consumer was told to say so.
    fn outside(
        &mut self,
        consumer: &mut Consumer,
        reset: OffsetReset,
        error: ConsumeError,
    ) -> Result<(), Wrong> {
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
        self.seek(consumer, topic, *partition, Target::Beginning)
    }

    /// Stalls with a batch: its bytes stay what they are, however often the ring goes round.
    fn hold(&mut self, consumer: &mut Consumer, reset: OffsetReset) -> Result<(), Wrong> {
        self.station.doing(Doing::Holding);
        let error = match consumer.poll(POLL) {
            Ok(batch) => return self.compare(&batch),
            Err(error) => error,
        };
        self.outside(consumer, reset, error)
    }

    fn compare(&mut self, batch: &Batch<'_>) -> Result<(), Wrong> {
        if batch.is_empty() {
            return Ok(());
        }
        let gated = self.checker(batch.topic())?.ledger.plan.gated();
        let most = match (gated, self.dice.below(16)) {
            (true, _) => 2_000, // it holds back the producers
            (false, 0) => 200_000,
            (false, _) => 10_000,
        };
        image(batch, &mut self.images[0]);
        thread::sleep(Duration::from_micros(self.dice.below(most)));
        image(batch, &mut self.images[1]);
        if self.images[0] != self.images[1] {
            let (topic, partition) = (batch.topic(), batch.partition());
            let first = batch.iter().next().map_or(0, |record| record.offset());
            return Err(format!(
                "{topic}, partition {partition}: the batch from offset {first} on changed while \
                 it was held"
            ));
        }
        self.tally.held += 1;
        self.check(batch)
    }
}

/// All that can be read of a batch.
fn image(batch: &Batch<'_>, out: &mut Vec<u8>) {
    out.clear();
    for record in batch {
        out.extend(record.offset().to_ne_bytes());
        out.extend(record.timestamp().to_ne_bytes());
        out.extend(record.key().unwrap_or(b"none"));
        out.extend(record.value());
    }
}
