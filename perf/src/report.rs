//! What was measured, as it came in, and as tables for a terminal.

use crate::distance::{Part, Split};
use crate::latency::Percentiles;
use crate::machine::Machine;
use crate::measure::Plan;
use crate::scenario::Case;
use crate::system::Kind;
use crate::system::ringlog::SEGMENTS;
use hdrhistogram::Histogram;
use std::fmt::Write;

/// A system's counted runs.
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) version: String,
    pub(crate) kind: Kind,
    /// Messages of each run.
    pub(crate) messages: u64,
    /// Nanoseconds a message, in the order of the runs.
    pub(crate) runs: Vec<f64>,
    /// What a bare word took from core to core and back before each of the runs; of none, where a
    /// run has one thread or all share a core.
    pub(crate) round_trips: Vec<f64>,
    /// The same as `runs`, up to the last send.
    pub(crate) producer_runs: Vec<f64>,
    /// The latencies of all runs.
    pub(crate) latency: Option<Histogram<u64>>,
    /// Why it could not be measured, or what was wrong with what came.
    pub(crate) failure: Option<String>,
    /// Its threads shared cores.
    pub(crate) oversubscribed: bool,
}

/// Systems that did the same work.
pub(crate) struct Block {
    pub(crate) scenario: &'static str,
    pub(crate) label: String,
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) partitions: usize,
    pub(crate) rate: Option<u64>,
    pub(crate) rows: Vec<Row>,
}

/// All results of one call.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) ring_bytes: usize,
    pub(crate) runs: usize,
    pub(crate) budget_ms: u128,
    pub(crate) quick: bool,
    pub(crate) blocks: Vec<Block>,
}

/// The least, the middle and the most of some runs.
#[derive(Clone, Copy, serde::Serialize, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of no runs: nothing.
    pub(crate) fn of(runs: &[f64]) -> Option<Spread> {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(sorted[middle - 1], upper)
        };
        Some(Spread {
            min: *sorted.first()?,
            median,
            max: *sorted.last()?,
        })
    }
}

/// A number of bytes, in words.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        1024 => "1 KiB".to_owned(),
        bytes => format!("{bytes} B"),
    }
}

impl Row {
    pub(crate) fn spread(&self) -> Option<Spread> {
        Spread::of(&self.runs)
    }

    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        self.latency.as_ref().map(Percentiles::of)
    }

    /// Every run's messages were counted, in order, with all their bytes.
    pub(crate) fn verified(&self) -> bool {
        self.failure.is_none() && !self.runs.is_empty()
    }
}

impl Block {
    pub(crate) fn new(scenario: &'static str, case: &Case, rows: Vec<Row>) -> Block {
        Block {
            scenario,
            label: case.label.clone(),
            payload: case.payload,
            batch: case.batch,
            producers: case.shape.producers,
            consumers: case.shape.consumers,
            partitions: case.shape.partitions,
            rate: case.rate,
            rows,
        }
    }

    /// Latencies were measured, not times a message.
    pub(crate) fn is_latency(&self) -> bool {
        self.rows.iter().any(|row| row.latency.is_some())
    }

    /// The fastest peer's median through this row's: above 1, ringlog is faster.
    pub(crate) fn times_best_peer(&self, row: &Row) -> Option<f64> {
        self.times_best(row, |row| Some(row.spread()?.median))
    }

    /// The fastest peer's median through this row's, as `median` tells them.
    fn times_best(&self, row: &Row, median: impl Fn(&Row) -> Option<f64>) -> Option<f64> {
        if row.kind != Kind::Ringlog {
            return None;
        }
        let peers = self.rows.iter().filter(|row| row.kind == Kind::Peer);
        Some(peers.filter_map(&median).reduce(f64::min)? / median(row)?)
    }

    /// A row's runs of near cores, and those of far ones. Nothing where all runs met the same.
    pub(crate) fn distances(&self, row: &Row) -> Option<[Option<Part>; 2]> {
        let split = Split::of(&self.rows)?;
        let mut parts = split.parts(row);
        for (at, part) in parts.iter_mut().enumerate() {
            let median = |row: &Row| Some(split.parts(row)[at]?.spread.median);
            if let Some(part) = part {
                part.times_best_peer = self.times_best(row, median);
            }
        }
        Some(parts)
    }

    /// What a bare word took before the runs.
    pub(crate) fn round_trips(&self) -> Option<Spread> {
        let all: Vec<f64> = (self.rows.iter())
            .flat_map(|row| row.round_trips.iter().copied())
            .collect();
        Spread::of(&all)
    }

    /// What sets this apart from the scenario's other blocks.
    pub(crate) fn title(&self) -> String {
        let mut parts = Vec::new();
        if !self.label.is_empty() {
            parts.push(self.label.clone());
        }
        parts.push(size(self.payload));
        if self.batch > 1 {
            parts.push(format!("batches of {}", self.batch));
        }
        parts.join(", ")
    }

    /// The block as lines of text.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).unwrap_or_default();
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "\n{}, {}", self.scenario, self.title())?;
        if self.rows.iter().any(|row| row.oversubscribed) {
            write!(out, "  [oversubscribed: more threads than cores]")?;
        }
        if let Some(Spread { min, max, .. }) = self.round_trips() {
            write!(
                out,
                "  [a bare word there and back: {min:.0} to {max:.0} ns]"
            )?;
        }
        writeln!(out)?;
        let latency = self.is_latency();
        write!(out, "  {:28}", "")?;
        if latency {
            for name in ["p50", "p90", "p99", "p99.9", "max"] {
                write!(out, " {name:>9}")?;
            }
            writeln!(out, "  ns")?;
        } else {
            writeln!(
                out,
                " {:>9} {:>9} {:>9}  ns a message",
                "min", "median", "max"
            )?;
        }
        for row in &self.rows {
            let mark = match row.kind {
                Kind::Ringlog => '>',
                Kind::Peer => ' ',
                Kind::Floor => '_',
            };
            write!(out, "{mark} {:28}", row.system)?;
            if let Some(failure) = &row.failure {
                writeln!(out, " FAILED: {failure}")?;
            } else if let Some(told) = row.percentiles() {
                for (_, ns) in told.named() {
                    write!(out, " {ns:>9}")?;
                }
                writeln!(out)?;
            } else {
                self.write_spread(out, row)?;
            }
        }
        Ok(())
    }

    fn write_spread(&self, out: &mut String, row: &Row) -> std::fmt::Result {
        let Some(Spread { min, median, max }) = row.spread() else {
            return writeln!(out, " no runs");
        };
        write!(out, " {min:>9.2} {median:>9.2} {max:>9.2}")?;
        if self.scenario == "fan-out"
            && let Some(producer) = Spread::of(&row.producer_runs)
        {
            write!(out, "  producer {:>9.2}", producer.median)?;
        }
        if let Some(times) = self.times_best_peer(row) {
            write!(out, "  {times:.2}x the best peer's speed")?;
        }
        for (name, part) in ["near", "far"]
            .iter()
            .zip(self.distances(row).unwrap_or_default())
        {
            let Some(part) = part else {
                continue;
            };
            write!(out, "  {name} {:.2} ({}", part.spread.median, part.runs)?;
            if let Some(times) = part.times_best_peer {
                write!(out, ", {times:.2}x")?;
            }
            write!(out, ")")?;
        }
        writeln!(out)
    }
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Report {
        Report {
            machine: Machine::look(&plan.cores),
            ring_bytes: plan.ring_bytes,
            runs: plan.runs,
            budget_ms: plan.budget.as_millis(),
            quick: plan.quick,
            blocks: Vec::new(),
        }
    }

    /// The machine, and how it is measured, as lines of text.
    pub(crate) fn head(&self) -> Vec<String> {
        let machine = &self.machine;
        let mut lines = vec![format!(
            "{}, {} cores for this process, {} {}",
            machine.cpu, machine.cores, machine.os, machine.arch
        )];
        if !machine.pinned.is_empty() {
            let cores: Vec<_> = machine.pinned.iter().map(usize::to_string).collect();
            lines.push(format!(
                "pinned to cores {}: first producer, first consumer, other producers, other \
                 consumers, beginning again where there are more threads",
                cores.join(", ")
            ));
        }
        lines.extend(machine.warnings.iter().map(|w| format!("warning: {w}")));
        lines.push(format!(
            "ring: {} KiB of payload in every system; ringlog cuts it into {SEGMENTS} segments, \
             of which the producer gets one back at a time",
            self.ring_bytes / 1024
        ));
        lines.push(format!(
            "{} counted runs of each system after those that warm up, systems taking turns; \
             messages to fill about {} ms a run, and go round the ring twice at least; every \
             message read and checked",
            self.runs, self.budget_ms
        ));
        lines
    }

    /// Systems that failed, in words.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for block in &self.blocks {
            for row in &block.rows {
                if let Some(failure) = &row.failure {
                    let (scenario, title) = (block.scenario, block.title());
                    failures.push(format!("{scenario}, {title}, {}: {failure}", row.system));
                }
            }
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_of_its_runs() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(&[]), None);
    }
}
