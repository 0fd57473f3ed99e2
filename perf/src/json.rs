//! What was measured, for programs.

use crate::distance::Part;
use crate::latency::Percentiles;
use crate::machine::Machine;
use crate::measure::Failure;
use crate::report::{Block, Report, Row, Spread};
use crate::system::Kind;
use serde::Serialize;

#[derive(Serialize)]
struct Document<'r> {
    machine: &'r Machine,
    measured: Measured,
    rows: Vec<JsonRow<'r>>,
    latency: Vec<JsonLatency<'r>>,
}

/// How it was measured.
#[derive(Serialize)]
struct Measured {
    ringlog: &'static str,
    ring_bytes: usize,
    counted_runs: usize,
    run_milliseconds: u128,
    quick: bool,
}

/// Fields that both kinds of row have.
#[derive(Serialize)]
struct Work<'r> {
    scenario: &'static str,
    /// What sets it apart from the scenario's other rows, beside its numbers.
    #[serde(skip_serializing_if = "str::is_empty")]
    case: &'r str,
    system: &'r str,
    version: &'r str,
    /// `ringlog`, `peer` or `floor`.
    kind: &'static str,
    payload_bytes: usize,
    batch: usize,
    producers: usize,
    consumers: usize,
    partitions: usize,
    /// Messages of each run.
    messages: u64,
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'r str>,
    oversubscribed: bool,
}

#[derive(Serialize)]
struct JsonRow<'r> {
    #[serde(flatten)]
    work: Work<'r>,
    /// `null` where the system failed.
    ns_per_message: Option<Spread>,
    runs: &'r [f64],
    /// What a bare word took from core to core and back before each of them, in nanoseconds.
    #[serde(skip_serializing_if = "<[f64]>::is_empty")]
    round_trips: &'r [f64],
    /// The runs of near cores, where some were far.
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<Part>,
    /// And those of far ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    far: Option<Part>,
    /// The same up to the last send.
    #[serde(skip_serializing_if = "Option::is_none")]
    producer_ns_per_message: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times_best_peer: Option<f64>,
}

#[derive(Serialize)]
struct JsonLatency<'r> {
    #[serde(flatten)]
    work: Work<'r>,
    /// Messages a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    /// In nanoseconds.
    #[serde(flatten)]
    percentiles: Option<Percentiles>,
}

impl Report {
    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        let (mut rows, mut latency) = (Vec::new(), Vec::new());
        for block in &self.blocks {
            for row in &block.rows {
                if block.is_latency() {
                    latency.push(JsonLatency {
                        work: work(block, row),
                        rate: block.rate,
                        percentiles: row.percentiles(),
                    });
                } else {
                    let [near, far] = block.distances(row).unwrap_or_default();
                    rows.push(JsonRow {
                        work: work(block, row),
                        ns_per_message: row.spread(),
                        runs: &row.runs,
                        round_trips: &row.round_trips,
                        near,
                        far,
                        producer_ns_per_message: Spread::of(&row.producer_runs),
                        times_best_peer: block.times_best_peer(row),
                    });
                }
            }
        }
        let document = Document {
            machine: &self.machine,
            measured: Measured {
                ringlog: crate::versions::version("ringlog"),
                ring_bytes: self.ring_bytes,
                counted_runs: self.runs,
                run_milliseconds: self.budget_ms,
                quick: self.quick,
            },
            rows,
            latency,
        };
        Ok(serde_json::to_string_pretty(&document)?)
    }
}

fn work<'r>(block: &'r Block, row: &'r Row) -> Work<'r> {
    Work {
        scenario: block.scenario,
        case: &block.label,
        system: &row.system,
        version: &row.version,
        kind: match row.kind {
            Kind::Ringlog => "ringlog",
            Kind::Peer => "peer",
            Kind::Floor => "floor",
        },
        payload_bytes: block.payload,
        batch: block.batch,
        producers: block.producers,
        consumers: block.consumers,
        partitions: block.partitions,
        messages: row.messages,
        verified: row.verified(),
        failure: row.failure.as_deref(),
        oversubscribed: row.oversubscribed,
    }
}
