//! Which systems are measured against each other, and how often.

use crate::measure::{self, Failure, Plan};
use crate::system::System;
use crate::system::array_queue::CrossbeamArrayQueue;
use crate::system::disruptor::{DisruptorMulti, DisruptorSingle};
use crate::system::ringlog::{RinglogExclusive, RinglogShared};
use crate::system::rtrb::Rtrb;

/// Messages of a batch, where a scenario sends batches.
const BATCH: usize = 256;

/// Systems that do the same work.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Messages of one send.
    pub(crate) batch: usize,
    pub(crate) entries: Vec<Entry>,
}

/// One system of a scenario.
pub(crate) struct Entry {
    pub(crate) system: &'static str,
    /// It is ringlog; the others are its peers.
    pub(crate) ours: bool,
    /// One run, with messages of so many bytes: nanoseconds a message.
    run: fn(usize, &Plan) -> Result<f64, Failure>,
}

impl Entry {
    fn of<S: System, const B: usize>() -> Entry {
        Entry {
            system: S::NAME,
            ours: S::OURS,
            run: measure::run_sized::<S, B>,
        }
    }
}

/// A system's counted runs.
pub(crate) struct Row {
    pub(crate) system: &'static str,
    pub(crate) ours: bool,
    /// Nanoseconds a message, in the order of the runs.
    pub(crate) runs: Vec<f64>,
}

impl Scenario {
    /// Measures every system with messages of `size` bytes. The systems take turns, run by
    /// run, so that what else the machine does meets all of them alike.
    pub(crate) fn measure(&self, size: usize, plan: &Plan) -> Result<Vec<Row>, Failure> {
        let row = |entry: &Entry| Row {
            system: entry.system,
            ours: entry.ours,
            runs: Vec::with_capacity(plan.runs),
        };
        let mut rows: Vec<Row> = self.entries.iter().map(row).collect();
        for round in 0..=plan.runs {
            for (entry, row) in self.entries.iter().zip(&mut rows) {
                let ns = (entry.run)(size, plan)
                    .map_err(|e| format!("{} {size} B, {}: {e}", self.name, entry.system))?;
                // Round 0 warms up.
                if round > 0 {
                    row.runs.push(ns);
                }
            }
        }
        Ok(rows)
    }
}

/// All scenarios.
pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "exclusive-single",
            about: "one message a send, one producer allowed, 1 producer, 1 consumer",
            batch: 1,
            entries: vec![
                Entry::of::<RinglogExclusive, 1>(),
                Entry::of::<Rtrb, 1>(),
                Entry::of::<DisruptorSingle, 1>(),
            ],
        },
        Scenario {
            name: "shared-single",
            about: "one message a send, many producers allowed, 1 producer, 1 consumer",
            batch: 1,
            entries: vec![
                Entry::of::<RinglogShared, 1>(),
                Entry::of::<CrossbeamArrayQueue, 1>(),
                Entry::of::<DisruptorMulti, 1>(),
            ],
        },
        Scenario {
            name: "exclusive-batch",
            about: "256 messages a send, one producer allowed, 1 producer, 1 consumer",
            batch: BATCH,
            entries: vec![
                Entry::of::<RinglogExclusive, BATCH>(),
                Entry::of::<Rtrb, BATCH>(),
                Entry::of::<DisruptorSingle, BATCH>(),
            ],
        },
        Scenario {
            name: "shared-batch",
            about: "256 messages a send, many producers allowed, 1 producer, 1 consumer",
            batch: BATCH,
            entries: vec![
                Entry::of::<RinglogShared, BATCH>(),
                Entry::of::<DisruptorMulti, BATCH>(),
            ],
        },
    ]
}
