//! The report for programs: JSON.

use super::contents::Report;
use crate::failure::Failure;
use crate::machine::facts::Machine;
use crate::measure::latency::Percentiles;
use crate::results::block::Block;
use crate::results::distance::DistancePart;
use crate::results::row::{Row, Spread};
use crate::systems::system::SystemKind;
use crate::versions::version;
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

/// The fields that rows of both kinds have.
#[derive(Serialize)]
struct Work<'r> {
    scenario: &'static str,
    /// What distinguishes it from the scenario's other rows, beside its numbers.
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
    /// The round trip of a bare word between the cores before each of the runs, in nanoseconds.
    /// Rows of one thread have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    round_trips: Vec<f64>,
    /// The same after each of the runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    round_trips_after: Vec<f64>,
}

#[derive(Serialize)]
struct JsonRow<'r> {
    #[serde(flatten)]
    work: Work<'r>,
    /// `null` where the system failed.
    ns_per_message: Option<Spread>,
    runs: &'r [f64],
    /// The runs on near cores, if others met far ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<DistancePart>,
    /// The runs on far cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    far: Option<DistancePart>,
    /// The same as `ns_per_message`, up to the last send.
    #[serde(skip_serializing_if = "Option::is_none")]
    producer_ns_per_message: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times_best_peer: Option<f64>,
}

#[derive(Serialize)]
struct JsonLatency<'r> {
    #[serde(flatten)]
    work: Work<'r>,
    /// Messages per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    /// In nanoseconds.
    #[serde(flatten)]
    percentiles: Option<Percentiles>,
    /// The runs on near cores, if others met far ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<LatencyPart>,
    /// The runs on far cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    far: Option<LatencyPart>,
}

/// A row's runs of one distance.
#[derive(Serialize)]
struct LatencyPart {
    runs: usize,
    #[serde(flatten)]
    percentiles: Option<Percentiles>,
}

impl LatencyPart {
    fn of(part: DistancePart) -> LatencyPart {
        LatencyPart {
            runs: part.runs,
            percentiles: part.percentiles,
        }
    }
}

/// The report as JSON text.
pub(crate) fn to_json(report: &Report) -> Result<String, Failure> {
    let (mut rows, mut latency) = (Vec::new(), Vec::new());
    for block in &report.blocks {
        for row in &block.rows {
            let [near, far] = block.distances(row).unwrap_or_default();
            if block.is_latency() {
                latency.push(JsonLatency {
                    work: work(block, row),
                    rate: block.rate,
                    percentiles: row.percentiles(),
                    near: near.map(LatencyPart::of),
                    far: far.map(LatencyPart::of),
                });
            } else {
                rows.push(JsonRow {
                    work: work(block, row),
                    ns_per_message: row.spread(),
                    runs: &row.runs,
                    near,
                    far,
                    producer_ns_per_message: Spread::of(&row.producer_runs),
                    times_best_peer: block.times_best_peer(row),
                });
            }
        }
    }
    let document = Document {
        machine: &report.machine,
        measured: Measured {
            ringlog: version("ringlog"),
            ring_bytes: report.ring_bytes,
            counted_runs: report.runs,
            run_milliseconds: report.budget_ms,
            quick: report.quick,
        },
        rows,
        latency,
    };
    Ok(serde_json::to_string_pretty(&document)?)
}

fn work<'r>(block: &'r Block, row: &'r Row) -> Work<'r> {
    Work {
        scenario: block.scenario,
        case: &block.label,
        system: &row.system,
        version: &row.version,
        kind: match row.kind {
            SystemKind::Ringlog => "ringlog",
            SystemKind::Peer => "peer",
            SystemKind::Floor => "floor",
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
        round_trips: row.round_trips.iter().map(|[before, _]| *before).collect(),
        round_trips_after: row.round_trips.iter().map(|[_, after]| *after).collect(),
    }
}
