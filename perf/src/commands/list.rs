//! The command `list`: the scenarios, their systems, and the systems that are not measured.

use crate::machine::cores::Cores;
use crate::scenarios::list::scenarios;
use crate::scenarios::scenario::ScenarioOptions;
use crate::systems::lmax::{self, Lmax};
use crate::systems::system::SystemKind;
use std::fmt::Write;

/// Systems that a reader might look for, and why they are not measured.
const NOT_MEASURED: [(&str, &str); 3] = [
    ("gil 0.9", "needs Rust 1.89"),
    (
        "kafko 0.3",
        "every append and read is an async call that accesses a file: see `durable`",
    ),
    (
        "Kafka, Redpanda, Aeron, iggy",
        "separate processes: their figures measure another job",
    ),
];

/// The scenarios and their systems, as text.
pub(crate) fn list() -> String {
    let mut out = String::new();
    write_list(&mut out).unwrap_or_default();
    out
}

fn write_list(out: &mut String) -> std::fmt::Result {
    let lmax = Lmax::find();
    let options = ScenarioOptions {
        sizes: vec![64],
        ring_bytes: 1 << 21,
        producers: 4,
        cores: Cores::choose(&[]).map_or(2, |cores| cores.count()),
        quick: false,
        lmax: lmax.as_ref().ok().cloned(),
    };
    for scenario in scenarios(&options) {
        writeln!(out, "{}: {}", scenario.name, scenario.about)?;
        let mut names: Vec<String> = Vec::new();
        for candidate in scenario.cases.iter().flat_map(|case| &case.candidates) {
            let version = match (candidate.kind, candidate.version.as_str()) {
                (SystemKind::Floor, _) => " (the floor)".to_owned(),
                (_, "") => String::new(),
                (_, version) => format!(" {version}"),
            };
            let name = format!("{}{version}", candidate.system);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            writeln!(out, "    {name}")?;
        }
    }
    writeln!(out, "\nnot measured:")?;
    for (system, why) in NOT_MEASURED {
        writeln!(out, "    {system}: {why}")?;
    }
    if let Err(missing) = &lmax {
        writeln!(out, "    {}", lmax::note(Some(missing)))?;
    }
    Ok(())
}
