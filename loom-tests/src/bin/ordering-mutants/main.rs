//! Weakens every memory ordering of ringlog, one at a time, and shows which model fails.
//!
//! ```text
//! cargo run --release -p loom-tests --bin ordering-mutants [-- --json FILE]
//! ```
//!
//! An ordering that can be weakened without any model failing is either not needed or not
//! modelled: the command fails, as it does for a site that no model comes to, for an ordering
//! outside `ord!` and `fence!`, and for an exception that is not one.

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

/// What went wrong, in words.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Weakenings that no model can see, each with the reason why it changes nothing.
const REVIEWED: [Reviewed; 0] = [];

struct Reviewed {
    site: &'static str,
    to: &'static str,
    reason: &'static str,
}

/// Weakens every memory ordering of ringlog, one at a time, and shows which model fails.
#[derive(Parser)]
struct Cli {
    /// Writes the table here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Only sites whose name holds this.
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
    /// The model that failed, and by what.
    killed_by: Option<String>,
    by: Option<String>,
    /// Models that ran, the last one the killer.
    models_run: usize,
    seconds: f64,
    /// Why it is known to survive.
    reviewed: Option<&'static str>,
}

fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let start = Instant::now();
    let sites = sites::scan(&root).map_err(|wrong| wrong.to_string())?;
    let models = Models::build(&root)?;
    println!(
        "{} sites, {} tests; first as they are",
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
        return Err("there is no such site".into());
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

/// What to try a mutant with: each model at one preemption, where it passes at that as it is,
/// and at its own bound. Most mutants are killed at one, in a fraction of the time.
struct Reach(Vec<Reached>);

/// A trial that passes as it is: how long it takes, and the sites it comes to.
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
                // It asserts outcomes that take more preemptions.
                (End::Failed(_), Some(_)) => {}
                (end, _) => return Err(format!("{trial:?} as it is: {end:?}").into()),
            }
        }
        reach.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        Ok(Reach(reach))
    }

    /// Every site is reached, and nothing else is.
    fn check(&self, sites: &[Site]) -> Result<(), Failure> {
        let reached: BTreeSet<&String> = self.0.iter().flat_map(|r| &r.sites).collect();
        let all: BTreeSet<&String> = sites.iter().map(|site| &site.name).collect();
        if reached != all {
            let missed: Vec<_> = all.difference(&reached).collect();
            let unknown: Vec<_> = reached.difference(&all).collect();
            return Err(format!(
                "no model comes to {missed:?}; not found in the source: {unknown:?}"
            )
            .into());
        }
        Ok(())
    }

    /// The trials that come to a site, the quickest first.
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
            End::TooLong => return Err(format!("{weaken}: {trial:?} does not end").into()),
        }
    }
    Ok(mutant)
}

/// Every survivor is reviewed, and every review is of a survivor.
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
                "{} as {} is reviewed, but is no mutant",
                r.site, r.to
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(wrong.join("; ").into())
}

/// Does the jobs on all cores, and shows and answers their results in the jobs' order.
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
                    // The receiver goes only when there is an error to tell.
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
