//! Every scenario, run once with few messages, and the reports about all of them.

use super::list::list;
use crate::machine::cores::Cores;
use crate::measure::job::Plan;
use crate::measure::throughput::SIZES;
use crate::report::contents::Report;
use crate::report::html::page::page;
use crate::report::html::summary_chart::summary_chart;
use crate::report::json::to_json;
use crate::report::text::table;
use crate::scenarios::list::scenarios;
use crate::scenarios::one_to_one::ONE_TO_ONE;
use crate::scenarios::scenario::ScenarioOptions;
use crate::systems::system::SystemKind;
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;

/// Room for a few batches of each size.
const RING: usize = 1 << 16;

fn options() -> ScenarioOptions {
    ScenarioOptions {
        sizes: vec![8, 64],
        ring_bytes: RING,
        producers: 2,
        cores: 2,
        quick: false,
        lmax: None,
    }
}

fn plan() -> Plan {
    Plan {
        ring_bytes: RING,
        runs: 1,
        budget: Duration::from_micros(100),
        quick: true,
        cores: Cores::choose(&[]).unwrap(),
    }
}

/// All scenarios, measured once for all tests.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let plan = plan();
        let mut report = Report::new(&plan);
        for scenario in scenarios(&options()) {
            for case in &scenario.cases {
                let rows = case.measure(&plan, || ());
                report.blocks.push(case.block(scenario.name, rows));
            }
        }
        report
    })
}

#[test]
fn every_system_of_every_scenario_runs_and_is_verified() {
    let report = report();
    assert_eq!(report.failures(), Vec::<String>::new());
    for block in &report.blocks {
        assert!(block.rows.len() > 1, "{} compares nothing", block.scenario);
        for row in &block.rows {
            assert!(row.verified(), "{}, {}", block.scenario, row.system);
            assert_eq!(row.runs.len(), 1);
        }
    }
}

/// The names of all scenarios, in the order in which they are measured.
const NAMES: &[&str] = &[
    "exclusive-single",
    "shared-single",
    "exclusive-batch",
    "shared-batch",
    "contended",
    "keyed",
    "scale",
    "fan-out",
    "replay",
    "read",
    "idle",
    "original",
    "ping-pong",
    "paced",
    "wake-up",
    "asleep",
];

#[test]
fn every_scenario_is_listed() {
    let names: Vec<_> = scenarios(&options()).iter().map(|s| s.name).collect();
    assert_eq!(names, NAMES);
    let list = list();
    for name in NAMES {
        assert!(list.contains(&format!("{name}: ")), "{name}");
    }
}

/// How long the runs of these scenarios take in all, by their plan: each counted run and as much
/// again for the warm-up of each system.
fn planned(options: &ScenarioOptions, runs: usize, budget: Duration, names: &[&str]) -> Duration {
    let chosen = scenarios(options);
    let chosen = chosen.iter().filter(|s| names.contains(&s.name));
    let systems: usize = chosen
        .flat_map(|scenario| &scenario.cases)
        .map(|case| case.candidates.len())
        .sum();
    budget * (systems * (runs + 1)) as u32
}

#[test]
fn a_quick_run_is_planned_for_less_than_two_minutes() {
    let options = ScenarioOptions {
        sizes: SIZES.to_vec(),
        ring_bytes: 1 << 21,
        producers: 4,
        cores: 2,
        quick: true,
        lmax: None,
    };
    let planned = planned(&options, 3, Duration::from_millis(40), NAMES);
    // The rest is the memory of the rings, and runs that are longer than planned.
    assert!(planned < Duration::from_secs(60), "{planned:?}");
}

#[test]
fn the_script_for_many_cores_is_planned_for_less_than_five_minutes() {
    let script = include_str!("../../many-cores");
    for argument in [" --runs 5 ", " --producers 8 "] {
        assert!(script.contains(argument), "{argument}");
    }
    let (_, names) = script.split_once("scenarios=(").unwrap();
    let (names, _) = names.split_once(')').unwrap();
    let names: Vec<&str> = names.split_whitespace().collect();
    for name in ["scale", "fan-out", "contended", "keyed"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(names.iter().all(|name| NAMES.contains(name)), "{names:?}");
    let options = ScenarioOptions {
        sizes: SIZES.to_vec(),
        ring_bytes: 1 << 21,
        producers: 8,
        cores: 16,
        quick: false,
        lmax: None,
    };
    let planned = planned(&options, 5, Duration::from_millis(80), &names);
    assert!(planned < Duration::from_secs(150), "{planned:?}");
}

#[test]
fn the_table_has_a_line_for_every_system() {
    for block in &report().blocks {
        let table = table(block);
        for row in &block.rows {
            assert!(table.contains(&row.system), "{table}");
        }
    }
}

#[test]
fn the_json_has_its_fields() {
    let json: Value = serde_json::from_str(&to_json(report()).unwrap()).unwrap();
    for field in ["cpu", "cores", "pinned", "os", "arch", "warnings"] {
        assert!(!json["machine"][field].is_null(), "{field}");
    }
    let rows = json["rows"].as_array().unwrap();
    for row in rows {
        for field in ["scenario", "system", "version", "runs"] {
            assert!(!row[field].is_null(), "{field} of {row}");
        }
        for field in ["payload_bytes", "batch", "producers", "consumers"] {
            assert!(row[field].is_u64(), "{field} of {row}");
        }
        for field in ["min", "median", "max"] {
            assert!(
                row["ns_per_message"][field].as_f64().unwrap() > 0.0,
                "{row}"
            );
        }
        assert_eq!(row["verified"], true);
        assert!(row["oversubscribed"].is_boolean());
        // One for each run, or none at all.
        for trips in ["round_trips", "round_trips_after"] {
            let trips = row[trips].as_array().map_or(0, Vec::len);
            let threads = row["producers"].as_u64().unwrap() + row["consumers"].as_u64().unwrap();
            let runs = row["runs"].as_array().unwrap().len();
            let two = threads > 1 && Cores::choose(&[]).unwrap().suffice(2);
            assert_eq!(trips, if two { runs } else { 0 }, "{row}");
        }
    }
    let measured = |row: &&Value| !row["round_trips"].is_null();
    let two_cores = Cores::choose(&[]).unwrap().suffice(2);
    assert_eq!(rows.iter().filter(measured).count() > 8, two_cores);
    let compared = |row: &&Value| row["times_best_peer"].is_number();
    assert!(rows.iter().filter(compared).count() > 8);
    let latency = json["latency"].as_array().unwrap();
    assert!(latency.iter().any(|row| row["rate"] == 100_000));
    for row in latency {
        for field in ["p50", "p90", "p99", "p999", "max"] {
            assert!(row[field].is_u64(), "{field} of {row}");
        }
        assert_eq!(row["verified"], true);
    }
}

#[test]
fn the_page_and_the_chart_hold_every_scenario() {
    let report = report();
    let page = page(report, &|_| "what it is");
    for block in &report.blocks {
        assert!(page.contains(&format!("id=\"{}\"", block.scenario)));
        for row in &block.rows {
            assert!(page.contains(&row.system), "{}", row.system);
        }
    }
    // It refers to no other file.
    for outside in ["http://", "https://", "<script", "<link", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let chart = summary_chart(report, &ONE_TO_ONE);
    for name in ONE_TO_ONE {
        assert!(chart.contains(name), "{name}");
    }
}

#[test]
fn every_measured_crate_has_a_version() {
    for scenario in scenarios(&options()) {
        for candidate in scenario.cases.iter().flat_map(|case| &case.candidates) {
            // The original is part of this crate, and the floors are bare code.
            let own = candidate.system == "one lock, slices" || candidate.kind == SystemKind::Floor;
            assert_eq!(candidate.version.is_empty(), own, "{}", candidate.system);
        }
    }
}
