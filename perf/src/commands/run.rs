//! The command `run`: measures scenarios, and writes their reports.

use crate::failure::Failure;
use crate::machine::cores::Cores;
use crate::measure::job::Plan;
use crate::measure::throughput::SIZES;
use crate::report::contents::Report;
use crate::report::html::page::page;
use crate::report::html::summary_chart::summary_chart;
use crate::report::json::to_json;
use crate::report::text::{conditions, table};
use crate::scenarios::list::scenarios;
use crate::scenarios::one_to_one::ONE_TO_ONE;
use crate::scenarios::scenario::{Scenario, ScenarioOptions};
use crate::systems::lmax::{self, Lmax};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// The arguments of `run`.
#[derive(clap::Args)]
pub(crate) struct Run {
    /// Counts 3 runs of about 40 ms, instead of 7 of about 80 ms, and leaves out some cases of
    /// `scale`, `read` and `idle`.
    #[arg(long)]
    quick: bool,
    /// The number of counted runs of each system.
    #[arg(long)]
    runs: Option<usize>,
    /// Payload bytes of the four scenarios with one producer and one consumer: 8, 64, 256 or
    /// 1024. Default: all.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// The ring's payload in KiB: a power of two, at least 256 (room for several batches).
    #[arg(long, default_value_t = 2048)]
    ring: usize,
    /// Measures only the systems whose names contain one of these.
    #[arg(long, value_delimiter = ',', num_args = 1)]
    systems: Vec<String>,
    /// The largest number of producers of `contended`.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=64))]
    producers: u8,
    /// The cores of the first producer, the first consumer and further threads, by the system's
    /// numbers. Default: all. Two hardware threads of one core share its caches and its time.
    #[arg(long, value_delimiter = ',', num_args = 1)]
    cores: Vec<usize>,
    /// Writes every run's result to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes a page with charts to this file, as HTML.
    #[arg(long)]
    html: Option<PathBuf>,
    /// Writes one chart of the four scenarios with one producer and one consumer to this file, as
    /// SVG.
    #[arg(long)]
    chart: Option<PathBuf>,
    /// The scenarios to measure. Default: all.
    scenarios: Vec<String>,
}

impl Run {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.ring < 256 || !self.ring.is_power_of_two() {
            return Err("--ring takes a power of two, 256 or more".into());
        }
        if let Some(wrong) = self.sizes.iter().find(|s| !SIZES.contains(s)) {
            return Err(format!("{wrong} is not one of the sizes {:?}", SIZES).into());
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
        let mut chosen = choose(
            &self.scenarios,
            scenarios(&self.options(&plan.cores, lmax.ok())),
        )?;
        keep_systems(&self.systems, &mut chosen)?;
        let mut report = Report::new(&plan);
        for line in conditions(&report) {
            println!("{line}");
        }
        println!("{}", lmax::note(missing.as_deref()));
        measure_all(&chosen, &plan, &mut report)?;
        let about = |name: &str| {
            let scenario = chosen.iter().find(|scenario| scenario.name == name);
            scenario.map_or("", |scenario| scenario.about)
        };
        write(self.json.as_ref(), || to_json(&report))?;
        write(self.html.as_ref(), || Ok(page(&report, &about)))?;
        write(self.chart.as_ref(), || {
            Ok(summary_chart(&report, &ONE_TO_ONE))
        })?;
        let failures = report.failures();
        if failures.is_empty() {
            return Ok(());
        }
        Err(format!("not verified:\n  {}", failures.join("\n  ")).into())
    }

    fn options(&self, cores: &Cores, lmax: Option<Rc<Lmax>>) -> ScenarioOptions {
        ScenarioOptions {
            sizes: match self.sizes.as_slice() {
                [] => SIZES.to_vec(),
                some => some.to_vec(),
            },
            ring_bytes: self.ring * 1024,
            producers: self.producers.into(),
            cores: cores.count(),
            quick: self.quick,
            lmax,
        }
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

/// Measures the scenarios one after the other, and prints each case when it is done.
fn measure_all(chosen: &[Scenario], plan: &Plan, report: &mut Report) -> Result<(), Failure> {
    let cases = || chosen.iter().flat_map(|scenario| &scenario.cases);
    let runs: usize = cases().map(|c| c.candidates.len() * (plan.runs + 1)).sum();
    // On standard error, and hidden if that is no terminal.
    let bar = ProgressBar::new(runs as u64);
    bar.set_style(ProgressStyle::with_template(
        "{wide_bar} {pos}/{len} runs, {eta} left, {msg}",
    )?);
    for scenario in chosen {
        for case in &scenario.cases {
            bar.set_message(scenario.name);
            let rows = case.measure(plan, || bar.inc(1));
            let block = case.block(scenario.name, rows);
            bar.suspend(|| print!("{}", table(&block)));
            report.blocks.push(block);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The scenarios with these names, in the order of the list.
fn choose(names: &[String], mut all: Vec<Scenario>) -> Result<Vec<Scenario>, Failure> {
    if let Some(unknown) = names.iter().find(|&n| all.iter().all(|s| s.name != n)) {
        return Err(format!("there is no scenario '{unknown}': see `perf list`").into());
    }
    all.retain(|s| names.is_empty() || names.iter().any(|n| n == s.name));
    Ok(all)
}

/// Keeps only the systems whose names contain one of these; without names, keeps all.
fn keep_systems(names: &[String], chosen: &mut [Scenario]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let cases = || chosen.iter().flat_map(|scenario| &scenario.cases);
    let candidates = || cases().flat_map(|case| &case.candidates);
    if let Some(unknown) = names
        .iter()
        .find(|&name| candidates().all(|e| !e.system.contains(name)))
    {
        return Err(format!("no system of these scenarios has '{unknown}' in its name").into());
    }
    for case in chosen.iter_mut().flat_map(|scenario| &mut scenario.cases) {
        let wanted = |system: &str| names.iter().any(|name| system.contains(name));
        case.candidates
            .retain(|candidate| wanted(&candidate.system));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen() -> Vec<Scenario> {
        let options = ScenarioOptions {
            sizes: vec![8],
            ring_bytes: 1 << 16,
            producers: 2,
            cores: 2,
            quick: false,
            lmax: None,
        };
        choose(&["exclusive-single".into()], scenarios(&options)).unwrap()
    }

    fn systems(chosen: &[Scenario]) -> Vec<&str> {
        let cases = chosen.iter().flat_map(|scenario| &scenario.cases);
        let candidates = cases.flat_map(|case| &case.candidates);
        candidates
            .map(|candidate| candidate.system.as_str())
            .collect()
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
    fn an_unknown_system_is_refused_by_its_name() {
        let refused = keep_systems(&["rtrb".into(), "kafka".into()], &mut chosen());
        assert!(refused.unwrap_err().to_string().contains("'kafka'"));
    }
}
