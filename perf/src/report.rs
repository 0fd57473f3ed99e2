//! What was measured, for people and as JSON.

use crate::measure::{Failure, Plan};
use crate::scenario::Row;
use serde::Serialize;

/// All results of one call.
#[derive(Serialize)]
pub(crate) struct Report {
    machine: Machine,
    ring_bytes: usize,
    runs: usize,
    quick: bool,
    results: Vec<Block>,
}

#[derive(Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    producer_core: Option<usize>,
    consumer_core: Option<usize>,
    os: &'static str,
    arch: &'static str,
}

/// One scenario with one payload.
#[derive(Serialize)]
struct Block {
    scenario: &'static str,
    payload_bytes: usize,
    messages: u64,
    systems: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    system: &'static str,
    ringlog: bool,
    min_ns: f64,
    median_ns: f64,
    max_ns: f64,
    /// The fastest peer's median through this median: above 1, ringlog is faster.
    times_best_peer: Option<f64>,
    runs_ns: Vec<f64>,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Report {
        Report {
            machine: Machine {
                cpu: cpu_model(),
                cores: plan.cores.available,
                producer_core: plan.cores.producer.map(|core| core.id),
                consumer_core: plan.cores.consumer.map(|core| core.id),
                os: std::env::consts::OS,
                arch: std::env::consts::ARCH,
            },
            ring_bytes: plan.ring_bytes,
            runs: plan.runs,
            quick: plan.quick,
            results: Vec::new(),
        }
    }

    /// The machine, and how it is measured.
    pub(crate) fn print_head(&self) {
        let Machine {
            cpu,
            cores,
            producer_core,
            consumer_core,
            os,
            arch,
        } = &self.machine;
        println!("{cpu}, {cores} cores for this process, {os} {arch}");
        match (producer_core, consumer_core) {
            (Some(producer), Some(consumer)) => {
                println!("pinned: producer on core {producer}, consumer on core {consumer}");
            }
            _ => println!("warning: no list of cores here, so no thread is pinned"),
        }
        if producer_core == consumer_core {
            println!(
                "warning: fewer than 2 cores. Producer and consumer take turns on one, so the \
                 times say how they hand over, not how fast they are."
            );
        }
        println!(
            "ring: {} KiB of payload in every system; ringlog cuts it into 4 segments, of \
             which the producer gets one back at a time",
            self.ring_bytes / 1024
        );
        println!(
            "{} counted runs of each system after one that warms up, systems taking turns; \
             every message read and checked",
            self.runs
        );
    }

    /// Takes in the rows of one scenario and payload, and prints them.
    pub(crate) fn add(
        &mut self,
        scenario: &'static str,
        payload: usize,
        messages: u64,
        rows: Vec<Row>,
    ) {
        let block = Block {
            scenario,
            payload_bytes: payload,
            messages,
            systems: lines(rows),
        };
        block.print();
        self.results.push(block);
    }

    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

fn lines(rows: Vec<Row>) -> Vec<Line> {
    let peers = rows.iter().filter(|row| !row.ours);
    let best = peers.map(|row| median(&row.runs)).reduce(f64::min);
    rows.into_iter()
        .map(|row| {
            let median_ns = median(&row.runs);
            Line {
                system: row.system,
                ringlog: row.ours,
                min_ns: row.runs.iter().copied().fold(f64::INFINITY, f64::min),
                median_ns,
                max_ns: row.runs.iter().copied().fold(0.0, f64::max),
                times_best_peer: best.filter(|_| row.ours).map(|best| best / median_ns),
                runs_ns: row.runs,
            }
        })
        .collect()
}

impl Block {
    fn print(&self) {
        println!();
        println!(
            "{}, {} B, {:.1} M messages a run",
            self.scenario,
            self.payload_bytes,
            self.messages as f64 / 1e6
        );
        println!(
            "  {:24} {:>9} {:>9} {:>9}  ns a message",
            "", "min", "median", "max"
        );
        for line in &self.systems {
            let mark = match line.times_best_peer {
                Some(times) => format!("  {times:.2}x the best peer's speed"),
                None => String::new(),
            };
            println!(
                "{} {:24} {:>9.2} {:>9.2} {:>9.2}{mark}",
                if line.ringlog { '>' } else { ' ' },
                line.system,
                line.min_ns,
                line.median_ns,
                line.max_ns
            );
        }
    }
}

/// The middle value, or the mean of the middle two; not a number when there is none.
fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => f64::NAN,
        Some(&upper) if sorted.len() % 2 == 1 => upper,
        Some(&upper) => (sorted[middle - 1] + upper) / 2.0,
    }
}

/// The processor's name where the system tells it in `/proc/cpuinfo`.
fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| "unknown processor".to_owned())
}
