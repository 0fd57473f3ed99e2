//! Mutation test of ringlog's memory orderings: weakens each one in turn, and shows which model
//! fails.
//!
//! ```text
//! cargo run --release -p loom-tests --bin ordering-mutants [-- --json FILE]
//! ```
//!
//! An ordering that can be weakened while every model passes is either not needed or not
//! modelled. The command fails for such a survivor. It also fails for a site that no model
//! reaches, for an ordering outside of `ord!` and `fence!`, and for a reviewed exception that does
//! not survive.

mod models;
mod sites;

use clap::Parser;
use models::{End, Models, Trial};
use serde::Serialize;
use sites::Site;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

/// An error that ends the command, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Mutants that no model can kill, each with the reason why the weakening changes nothing.
const REVIEWED: [Reviewed; 0] = [];

struct Reviewed {
    site: &'static str,
    to: &'static str,
    reason: &'static str,
}

/// Weakens each memory ordering of ringlog in turn, and shows which model fails.
#[derive(Parser)]
struct Cli {
    /// Also writes the results to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Weakens only the sites whose name contains this.
    site: Option<String>,
}

/// One ordering, weakened.
#[derive(Serialize)]
struct Mutant {
    site: String,
    row: String,
    file: String,
    original: String,
    weakened_to: &'static str,
    /// The model that failed.
    killed_by: Option<String>,
    /// The message it failed with.
    by: Option<String>,
    /// How many models ran. The last one is the one that failed, if any did.
    models_run: usize,
    seconds: f64,
    /// The reason in [`REVIEWED`] why it survives.
    reviewed: Option<&'static str>,
}

fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let start = Instant::now();
    let sites = sites::scan(&root).map_err(|wrong| wrong.to_string())?;
    let models = Models::build(&root)?;
    println!(
        "{} sites, {} tests; running them unweakened first",
        sites.len(),
        models.tests.len()
    );
    let reach = Reach::find(&models)?;
    reach.check(&sites)?;
    println!("all pass in {:.0} s\n", start.elapsed().as_secs_f64());

    let chosen = |site: &&Site| {
        cli.site
            .as_ref()
            .is_none_or(|part| site.name.contains(part))
    };
    let mutants = sites
        .iter()
        .filter(chosen)
        .flat_map(|site| site.weaker().iter().map(move |&to| (site, to)));
    let mutants: Vec<_> = mutants.collect();
    if mutants.is_empty() {
        return Err("no site has such a name".into());
    }
    println!(
        "{:24} {:4} {:8} {:8} {:>6}  killed by",
        "site", "row", "original", "to", "s"
    );
    let mutants = in_parallel(
        &mutants,
        |&(site, to)| try_mutant(&models, &reach, site, to),
        |mutant| {
            let end = mutant.killed_by.as_deref().unwrap_or("SURVIVED");
            println!(
                "{:24} {:4} {:8} {:8} {:6.1}  {end}",
                mutant.site, mutant.row, mutant.original, mutant.weakened_to, mutant.seconds
            );
        },
    )?;
    if let Some(file) = &cli.json {
        std::fs::write(file, serde_json::to_string_pretty(&mutants)?)?;
    }
    judge(&mutants, cli.site.is_none())
}

/// The trials to run for a mutant, sorted by duration. Each model runs at its own preemption bound,
/// and also at one preemption if it passes there unweakened. Most mutants are killed at one, in a
/// fraction of the time.
struct Reach(Vec<Reached>);

/// A trial that passes unweakened: its duration, and the sites it reaches.
struct Reached {
    trial: Trial,
    seconds: f64,
    sites: BTreeSet<String>,
}

impl Reach {
    fn find(models: &Models) -> Result<Reach, Failure> {
        let trial = |test: &String, preemptions| Trial {
            test: test.clone(),
            preemptions,
        };
        let tests = models.tests.iter();
        let trials: Vec<_> = tests
            .flat_map(|test| [trial(test, None), trial(test, Some(1))])
            .collect();
        let runs = in_parallel(&trials, |trial| models.sites(trial), |_| {})?;
        let mut reach = Vec::new();
        for (trial, (run, sites)) in trials.into_iter().zip(runs) {
            match (run.end, trial.preemptions) {
                (End::Passed, _) => reach.push(Reached {
                    trial,
                    seconds: run.seconds,
                    sites,
                }),
                // The model asserts outcomes that need more preemptions.
                (End::Failed(_), Some(_)) => {}
                (end, _) => return Err(format!("{trial:?} fails unweakened: {end:?}").into()),
            }
        }
        reach.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        Ok(Reach(reach))
    }

    /// Checks that the sites reached by models are exactly those in the source.
    fn check(&self, sites: &[Site]) -> Result<(), Failure> {
        let reached: BTreeSet<&String> = self.0.iter().flat_map(|r| &r.sites).collect();
        let all: BTreeSet<&String> = sites.iter().map(|site| &site.name).collect();
        if reached != all {
            let missed: Vec<_> = all.difference(&reached).collect();
            let unknown: Vec<_> = reached.difference(&all).collect();
            return Err(format!(
                "no model reaches {missed:?}; not found in the source: {unknown:?}"
            )
            .into());
        }
        Ok(())
    }

    /// The trials that reach a site, the fastest first.
    fn of(&self, site: &str) -> impl Iterator<Item = &Trial> {
        let all = self.0.iter().filter(move |r| r.sites.contains(site));
        all.map(|r| &r.trial)
    }
}

fn try_mutant(
    models: &Models,
    reach: &Reach,
    site: &Site,
    to: &'static str,
) -> Result<Mutant, Failure> {
    let reviewed = REVIEWED.iter().find(|r| r.site == site.name && r.to == to);
    let mut mutant = Mutant {
        site: site.name.clone(),
        row: site.row.clone(),
        file: site.file.clone(),
        original: site.ordering.clone(),
        weakened_to: to,
        killed_by: None,
        by: None,
        models_run: 0,
        seconds: 0.0,
        reviewed: reviewed.map(|r| r.reason),
    };
    let weaken = format!("{}={to}", site.name);
    for trial in reach.of(&site.name) {
        let run = models.weakened(trial, &weaken)?;
        mutant.models_run += 1;
        mutant.seconds += run.seconds;
        match run.end {
            End::Passed => {}
            End::Failed(by) => {
                mutant.by = Some(by);
                mutant.killed_by = Some(trial.test.clone());
                break;
            }
            End::TooLong => {
                return Err(
                    format!("{weaken}: {trial:?} did not end within the time limit").into(),
                );
            }
        }
    }
    Ok(mutant)
}

/// Checks that every survivor is reviewed, and that every reviewed mutant survives.
fn judge(mutants: &[Mutant], all: bool) -> Result<(), Failure> {
    let killed = mutants.iter().filter(|m| m.killed_by.is_some()).count();
    println!("\n{killed} killed, {} survived", mutants.len() - killed);
    let mut wrong = Vec::new();
    for m in mutants {
        let name = format!("{} as {}", m.site, m.weakened_to);
        match (&m.killed_by, m.reviewed) {
            (None, None) => wrong.push(format!("{name} survived")),
            (Some(test), Some(_)) => {
                wrong.push(format!(
                    "{name} is on the reviewed list, but {test} kills it"
                ));
            }
            (None, Some(reason)) => println!("reviewed: {name}: {reason}"),
            (Some(_), None) => {}
        }
    }
    for r in &REVIEWED {
        let of = |m: &Mutant| m.site == r.site && m.weakened_to == r.to;
        if all && !mutants.iter().any(of) {
            wrong.push(format!(
                "{} as {} is on the reviewed list, but there is no such mutant",
                r.site, r.to
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("; ").into())
}

/// Runs the jobs on all cores. Shows and returns their results in the order of the jobs.
fn in_parallel<J: Sync, R: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<R, Failure> + Sync,
    show: impl Fn(&R),
) -> Result<Vec<R>, Failure> {
    let workers = std::thread::available_parallelism()?.get();
    let next = AtomicUsize::new(0);
    let (send, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(i) else { break };
                    // The receiver is dropped early only to return an error.
                    if send.send((i, work(job))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut done = Vec::new();
        for (i, result) in results {
            waiting.insert(i, result?);
            while let Some(result) = waiting.remove(&done.len()) {
                show(&result);
                done.push(result);
            }
        }
        Ok(done)
    })
}
