//! Measures ringlog beside its peers: same payload, same ring, same pinned cores, every
//! message read and checked. And soaks it: everything at once, for minutes or hours.
//!
//! ```text
//! cargo run --release -p perf -- run [--quick] [--json FILE] [SCENARIO..]
//! cargo run --release -p perf -- list
//! cargo run --release -p perf -- soak --minutes 10
//! ```

mod measure;
mod report;
mod scenario;
mod soak;
mod system;

use clap::{Parser, Subcommand};
use measure::{Cores, Failure, Plan};
use report::Report;
use scenario::{Scenario, scenarios};
use soak::Soak;
use std::path::PathBuf;

/// Measures ringlog beside its peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures scenarios: all of them, unless some are named.
    Run(Run),
    /// Lists the scenarios and their systems.
    List,
    /// Mixes all that producers and consumers can do, and checks every record read.
    Soak(Soak),
}

#[derive(clap::Args)]
struct Run {
    /// 3 counted runs of a quarter of the messages, instead of 7 of all.
    #[arg(long)]
    quick: bool,
    /// Counted runs of each system.
    #[arg(long)]
    runs: Option<usize>,
    /// Payload bytes: 8, 64, 256 or 1024. All, unless some are named.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// The ring's payload in KiB: a power of two, 256 at least (it holds several batches).
    #[arg(long, default_value_t = 2048)]
    ring: usize,
    /// The cores of producer and consumer, as the system numbers them. The first two,
    /// unless named. Two hardware threads of one core share its caches and its time.
    #[arg(long, value_delimiter = ',', num_args = 1)]
    cores: Vec<usize>,
    /// Writes every run's result here as well.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Which scenarios.
    scenarios: Vec<String>,
}

fn main() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Soak(args) => args.run(),
        Command::List => {
            for scenario in scenarios() {
                let systems: Vec<_> = scenario.entries.iter().map(|e| e.system).collect();
                println!("{:18} {}", scenario.name, scenario.about);
                println!("{:18} {}", "", systems.join(", "));
            }
            Ok(())
        }
    }
}

fn run(args: &Run) -> Result<(), Failure> {
    if args.ring < 256 || !args.ring.is_power_of_two() {
        return Err("--ring takes a power of two, 256 or more".into());
    }
    let sizes: Vec<usize> = match args.sizes.as_slice() {
        [] => measure::SIZES.to_vec(),
        some => some.to_vec(),
    };
    let plan = Plan {
        ring_bytes: args.ring * 1024,
        runs: args.runs.unwrap_or(if args.quick { 3 } else { 7 }).max(1),
        quick: args.quick,
        cores: Cores::choose(&args.cores)?,
    };
    let chosen = choose(&args.scenarios)?;
    let mut report = Report::new(&plan);
    report.print_head();
    for scenario in &chosen {
        for &size in &sizes {
            let rows = scenario.measure(size, &plan)?;
            report.add(
                scenario.name,
                size,
                plan.messages(size, scenario.batch),
                rows,
            );
        }
    }
    if let Some(file) = &args.json {
        std::fs::write(file, report.to_json()?)?;
    }
    Ok(())
}

/// The scenarios of these names, in the order of the list.
fn choose(names: &[String]) -> Result<Vec<Scenario>, Failure> {
    let mut all = scenarios();
    if let Some(unknown) = names.iter().find(|&n| all.iter().all(|s| s.name != n)) {
        return Err(format!("there is no scenario '{unknown}': see `perf list`").into());
    }
    all.retain(|s| names.is_empty() || names.iter().any(|n| n == s.name));
    Ok(all)
}
