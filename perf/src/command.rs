//! The commands `run` and `list`.

use crate::cores::Cores;
use crate::measure::{self, Failure, Plan};
use crate::report::{Block, Report};
use crate::scenario::{Choice, Scenario, scenarios};
use crate::system::Kind;
use crate::system::lmax::Lmax;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Systems that one might look for, and why they are not measured.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "kafko 0.3",
        "every append and read is an async call that goes to a file",
    ),
    (
        "Kafka, Redpanda, Aeron, iggy",
        "other processes: their figures are of another job",
    ),
];

#[derive(clap::Args)]
pub(crate) struct Run {
    /// 3 counted runs of about 40 ms, instead of 7 of about 80 ms.
    #[arg(long)]
    quick: bool,
    /// Counted runs of each system.
    #[arg(long)]
    runs: Option<usize>,
    /// Payload bytes of the four scenarios with one producer and one consumer: 8, 64, 256 or
    /// 1024. All, unless some are named.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// The ring's payload in KiB: a power of two, 256 at least (it holds several batches).
    #[arg(long, default_value_t = 2048)]
    ring: usize,
    /// Only the systems whose names contain one of these.
    #[arg(long, value_delimiter = ',', num_args = 1)]
    systems: Vec<String>,
    /// The most producers of `contended`.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=64))]
    producers: u8,
    /// The cores of the first producer, the first consumer and further threads, as the system
    /// numbers them. All, unless named. Two hardware threads of one core share its caches and
    /// its time.
    #[arg(long, value_delimiter = ',', num_args = 1)]
    cores: Vec<usize>,
    /// Writes every run's result here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes a page with charts here.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Writes one chart, SVG, of the four scenarios with one producer and one consumer here.
    #[arg(long)]
    chart: Option<PathBuf>,
    /// Which scenarios.
    scenarios: Vec<String>,
}

impl Run {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.ring < 256 || !self.ring.is_power_of_two() {
            return Err("--ring takes a power of two, 256 or more".into());
        }
        if let Some(wrong) = self.sizes.iter().find(|s| !measure::SIZES.contains(s)) {
            return Err(format!("{wrong} is not one of the sizes {:?}", measure::SIZES).into());
        }
        let (runs, budget) = if self.quick { (3, 40) } else { (7, 80) };
        let plan = Plan {
            ring_bytes: self.ring * 1024,
            runs: self.runs.unwrap_or(runs).max(1),
            budget: Duration::from_millis(budget),
            quick: self.quick,
            cores: Cores::choose(&self.cores)?,
        };
        let lmax = Lmax::find();
        let missing = lmax.as_ref().err().cloned();
        let mut chosen = choose(&self.scenarios, scenarios(&self.choice(lmax.ok())))?;
        keep_systems(&self.systems, &mut chosen)?;
        let mut report = Report::new(&plan);
        for line in report.head() {
            println!("{line}");
        }
        println!("{}", lmax_note(missing.as_deref()));
        measure_all(&chosen, &plan, &mut report)?;
        let about = |name: &str| {
            let scenario = chosen.iter().find(|scenario| scenario.name == name);
            scenario.map_or("", |scenario| scenario.about)
        };
        write(self.json.as_ref(), || report.to_json())?;
        write(self.html.as_ref(), || Ok(report.to_html(&about)))?;
        write(self.chart.as_ref(), || Ok(report.to_chart()))?;
        let failures = report.failures();
        if failures.is_empty() {
            return Ok(());
        }
        Err(format!("not verified:\n  {}", failures.join("\n  ")).into())
    }

    fn choice(&self, lmax: Option<Rc<Lmax>>) -> Choice {
        Choice {
            sizes: match self.sizes.as_slice() {
                [] => measure::SIZES.to_vec(),
                some => some.to_vec(),
            },
            ring_bytes: self.ring * 1024,
            producers: self.producers.into(),
            lmax,
        }
    }
}

/// How the LMAX Disruptor is run, or why it is not.
fn lmax_note(missing: Option<&str>) -> String {
    match missing {
        None => "LMAX Disruptor: in a Java machine of its own, which cannot pin its threads".into(),
        Some(missing) => format!("LMAX Disruptor: not measured, {missing}"),
    }
}

fn write(
    file: Option<&PathBuf>,
    text: impl FnOnce() -> Result<String, Failure>,
) -> Result<(), Failure> {
    let Some(file) = file else {
        return Ok(());
    };
    std::fs::write(file, text()?).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(())
}

/// Measures the scenarios one after the other, and prints each case as it is done.
fn measure_all(chosen: &[Scenario], plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let cases = || chosen.iter().flat_map(|scenario| &scenario.cases);
    let runs: usize = cases().map(|c| c.entries.len() * (plan.runs + 1)).sum();
    // On standard error, and hidden where that is no terminal.
    let bar = ProgressBar::new(runs as u64);
    bar.set_style(ProgressStyle::with_template(
        "{wide_bar} {pos}/{len} runs, {eta} left, {msg}",
    )?);
    for scenario in chosen {
        for case in &scenario.cases {
            bar.set_message(scenario.name);
            let rows = case.measure(plan, || bar.inc(1));
            let block = Block::new(scenario.name, case, rows);
            bar.suspend(|| print!("{}", block.table()));
            report.blocks.push(block);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The scenarios of these names, in the order of the list.
fn choose(names: &[String], mut all: Vec<Scenario>) -> Result<Vec<Scenario>, Failure> {
    if let Some(unknown) = names.iter().find(|&n| all.iter().all(|s| s.name != n)) {
        return Err(format!("there is no scenario '{unknown}': see `perf list`").into());
    }
    all.retain(|s| names.is_empty() || names.iter().any(|n| n == s.name));
    Ok(all)
}

/// Leaves only the systems whose names contain one of these; no names leave all of them.
fn keep_systems(names: &[String], chosen: &mut [Scenario]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let cases = || chosen.iter().flat_map(|scenario| &scenario.cases);
    let entries = || cases().flat_map(|case| &case.entries);
    if let Some(unknown) = names
        .iter()
        .find(|&name| entries().all(|e| !e.system.contains(name)))
    {
        return Err(format!("no system of these scenarios has '{unknown}' in its name").into());
    }
    for case in chosen.iter_mut().flat_map(|scenario| &mut scenario.cases) {
        let wanted = |system: &str| names.iter().any(|name| system.contains(name));
        case.entries.retain(|entry| wanted(&entry.system));
    }
    Ok(())
}

/// The scenarios and their systems, as text.
pub(crate) fn list() -> String {
    let mut out = String::new();
    write_list(&mut out).unwrap_or_default();
    out
}

fn write_list(out: &mut String) -> std::fmt::Result {
    let lmax = Lmax::find();
    let choice = Choice {
        sizes: vec![64],
        ring_bytes: 1 << 21,
        producers: 4,
        lmax: lmax.as_ref().ok().cloned(),
    };
    for scenario in scenarios(&choice) {
        writeln!(out, "{}: {}", scenario.name, scenario.about)?;
        let mut told: Vec<String> = Vec::new();
        for entry in scenario.cases.iter().flat_map(|case| &case.entries) {
            let version = match (entry.kind, entry.version.as_str()) {
                (Kind::Floor, _) => " (the floor)".to_owned(),
                (_, "") => String::new(),
                (_, version) => format!(" {version}"),
            };
            let name = format!("{}{version}", entry.system);
            if !told.contains(&name) {
                told.push(name);
            }
        }
        for name in told {
            writeln!(out, "    {name}")?;
        }
    }
    writeln!(out, "\nnot measured:")?;
    for (system, why) in LEFT_OUT {
        writeln!(out, "    {system}: {why}")?;
    }
    if let Err(missing) = &lmax {
        writeln!(out, "    {}", lmax_note(Some(missing)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen() -> Vec<Scenario> {
        let choice = Choice {
            sizes: vec![8],
            ring_bytes: 1 << 16,
            producers: 2,
            lmax: None,
        };
        choose(&["exclusive-single".into()], scenarios(&choice)).unwrap()
    }

    fn systems(chosen: &[Scenario]) -> Vec<&str> {
        let cases = chosen.iter().flat_map(|scenario| &scenario.cases);
        let entries = cases.flat_map(|case| &case.entries);
        entries.map(|entry| entry.system.as_str()).collect()
    }

    #[test]
    fn only_the_systems_named_are_measured() {
        let mut some = chosen();
        keep_systems(&["ringlog".into(), "rtrb".into()], &mut some).unwrap();
        assert_eq!(systems(&some), ["ringlog exclusive", "rtrb"]);
        let mut all = chosen();
        keep_systems(&[], &mut all).unwrap();
        assert!(systems(&all).len() > 2);
    }

    #[test]
    fn a_system_that_nobody_has_is_refused_by_its_name() {
        let refused = keep_systems(&["rtrb".into(), "kafka".into()], &mut chosen());
        assert!(refused.unwrap_err().to_string().contains("'kafka'"));
    }
}
