//! One round: topics of its own, and their threads from the first record to the last.

use super::dice::Dice;
use super::ledger::{Ledger, Wrong};
use super::plan::RoundPlan;
use super::producer::produce;
use super::steady::stay;
use super::tally::Tally;
use super::transient::come_and_go;
use super::worker::{Control, Worker, spawn, watch};
use ringlog::{Broker, Consumer, ConsumerConfig};
use std::sync::Arc;
use std::time::Duration;

/// Sends for `time`, reads what is left, and compares. A round in which nothing moves for
/// longer than `patience` has failed, and its threads are left behind.
pub(crate) fn run(plan: &RoundPlan, time: Duration, patience: Duration) -> Result<Tally, Wrong> {
    let mut round = Round {
        plan,
        broker: Broker::new(),
        ledgers: Vec::new(),
        control: Arc::default(),
        workers: Vec::new(),
    };
    for topic in &plan.topics {
        let ledger = Ledger::new(&round.broker, topic.clone());
        let ledger = ledger.map_err(|error| error.to_string())?;
        round.ledgers.push(Arc::new(ledger));
    }
    if let Err(wrong) = round.start() {
        round.control.fail(wrong);
    }
    let done = watch(round.workers, &round.control, time, patience);
    done.map_err(|wrong| {
        let bounds: Vec<_> = round.ledgers.iter().map(|ledger| ledger.bounds()).collect();
        format!("{wrong}\n  logs: {}", bounds.join("; "))
    })
}

struct Round<'a> {
    plan: &'a RoundPlan,
    broker: Broker,
    ledgers: Vec<Arc<Ledger>>,
    control: Arc<Control>,
    workers: Vec<Worker>,
}

impl Round<'_> {
    /// Consumers first: those that stay read from the first record on.
    fn start(&mut self) -> Result<(), Wrong> {
        for (own, ledger) in self.ledgers.clone().into_iter().enumerate() {
            for number in 0..ledger.plan.steady {
                self.steady(&ledger, own as u64, number)?;
            }
            for number in 0..ledger.plan.transient {
                self.transient(&ledger, own, number)?;
            }
            for number in 0..ledger.plan.producers {
                self.producer(&ledger, own as u64, number)?;
            }
        }
        Ok(())
    }

    fn dice(&self, topic: u64, role: u64, number: u64) -> Dice {
        Dice::new(self.plan.seed, &[self.plan.number, topic, role, number])
    }

    fn keep(&mut self, worker: std::io::Result<Worker>) -> Result<(), Wrong> {
        let worker = worker.map_err(|error| format!("cannot start a thread: {error}"))?;
        self.workers.push(worker);
        Ok(())
    }

    fn subscribed(&self, name: &str, records: u32) -> Result<Consumer, Wrong> {
        let config = ConsumerConfig::new().max_poll_records(records);
        let mut consumer = self.broker.consumer(config);
        let subscribed = consumer.subscribe(&[name]);
        subscribed.map_err(|error| error.to_string())?;
        Ok(consumer)
    }

    fn steady(&mut self, ledger: &Arc<Ledger>, own: u64, number: u64) -> Result<(), Wrong> {
        let (ledger, mut dice) = (ledger.clone(), self.dice(own, 0, number));
        let consumer = self.subscribed(&ledger.plan.name, dice.pick([13, 500, 4_000]))?;
        let name = format!("{}'s steady consumer {number}", ledger.plan.name);
        let worker = spawn(name, &self.control, move |control, station| {
            stay(&ledger, consumer, dice, control, station)
        });
        self.keep(worker)
    }

    fn transient(&mut self, ledger: &Arc<Ledger>, own: usize, number: u64) -> Result<(), Wrong> {
        let (broker, ledgers) = (self.broker.clone(), self.ledgers.clone());
        let dice = self.dice(own as u64, 1, number);
        let name = format!("{}'s transient consumer {number}", ledger.plan.name);
        let worker = spawn(name, &self.control, move |control, station| {
            come_and_go(&broker, &ledgers, own, dice, control, station)
        });
        self.keep(worker)
    }

    fn producer(&mut self, ledger: &Arc<Ledger>, own: u64, number: u64) -> Result<(), Wrong> {
        let (ledger, dice) = (ledger.clone(), self.dice(own, 2, number));
        let name = format!("{}'s producer {number}", ledger.plan.name);
        let worker = spawn(name, &self.control, move |control, station| {
            produce(&ledger, number, dice, control, station)
        });
        self.keep(worker)
    }
}
