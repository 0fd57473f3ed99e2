//! One round: its topics, and their threads from the first record to the last.

use super::consumer::steady::stay;
use super::consumer::transient::come_and_go;
use super::producer::turns::produce;
use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use crate::soak::ledger::Ledger;
use crate::soak::plan::RoundPlan;
use crate::soak::rng::Rng;
use crate::soak::watchdog::{RoundControl, WatchedThread, spawn, watch};
use ringlog::{Broker, Consumer, ConsumerConfig};
use std::sync::Arc;
use std::time::Duration;

/// Sends for `time`, reads the rest, and compares. A round in which nothing moves for longer than
/// `patience` fails, and its threads are abandoned.
pub(crate) fn run(plan: &RoundPlan, time: Duration, patience: Duration) -> Result<Counts, Fault> {
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
    if let Err(fault) = round.start() {
        round.control.fail(fault);
    }
    let done = watch(round.workers, &round.control, time, patience);
    done.map_err(|fault| {
        let bounds: Vec<_> = round.ledgers.iter().map(|ledger| ledger.bounds()).collect();
        format!("{fault}\n  logs: {}", bounds.join("; "))
    })
}

struct Round<'a> {
    plan: &'a RoundPlan,
    broker: Broker,
    ledgers: Vec<Arc<Ledger>>,
    control: Arc<RoundControl>,
    workers: Vec<WatchedThread>,
}

impl Round<'_> {
    /// Starts the consumers first, so that the steady ones read from the first record on.
    fn start(&mut self) -> Result<(), Fault> {
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

    fn rng(&self, topic: u64, role: u64, number: u64) -> Rng {
        Rng::new(self.plan.seed, &[self.plan.number, topic, role, number])
    }

    fn keep(&mut self, worker: std::io::Result<WatchedThread>) -> Result<(), Fault> {
        let worker = worker.map_err(|error| format!("cannot start a thread: {error}"))?;
        self.workers.push(worker);
        Ok(())
    }

    fn subscribed(&self, name: &str, records: u32) -> Result<Consumer, Fault> {
        let config = ConsumerConfig::new().max_poll_records(records);
        let mut consumer = self
            .broker
            .consumer(config)
            .map_err(|error| error.to_string())?;
        let subscribed = consumer.subscribe([name]);
        subscribed.map_err(|error| error.to_string())?;
        Ok(consumer)
    }

    fn steady(&mut self, ledger: &Arc<Ledger>, own: u64, number: u64) -> Result<(), Fault> {
        let (ledger, mut rng) = (ledger.clone(), self.rng(own, 0, number));
        let consumer = self.subscribed(&ledger.plan.name, rng.pick([13, 500, 4_000]))?;
        let name = format!("{}'s steady consumer {number}", ledger.plan.name);
        let worker = spawn(name, &self.control, move |control, heartbeat| {
            stay(&ledger, consumer, rng, control, heartbeat)
        });
        self.keep(worker)
    }

    fn transient(&mut self, ledger: &Arc<Ledger>, own: usize, number: u64) -> Result<(), Fault> {
        let (broker, ledgers) = (self.broker.clone(), self.ledgers.clone());
        let rng = self.rng(own as u64, 1, number);
        let name = format!("{}'s transient consumer {number}", ledger.plan.name);
        let worker = spawn(name, &self.control, move |control, heartbeat| {
            come_and_go(&broker, &ledgers, own, rng, control, heartbeat)
        });
        self.keep(worker)
    }

    fn producer(&mut self, ledger: &Arc<Ledger>, own: u64, number: u64) -> Result<(), Fault> {
        let (ledger, rng) = (ledger.clone(), self.rng(own, 2, number));
        let name = format!("{}'s producer {number}", ledger.plan.name);
        let worker = spawn(name, &self.control, move |control, heartbeat| {
            produce(&ledger, number, rng, control, heartbeat)
        });
        self.keep(worker)
    }
}
