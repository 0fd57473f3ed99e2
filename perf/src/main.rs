//! Measures ringlog beside its peers: same payload, same ring, same pinned cores, every message
//! read and checked. And soaks ringlog: all of its calls at once, for minutes or hours.
//!
//! ```text
//! cargo run --release -p perf -- run [--quick] [SCENARIO..] [--json FILE] [--html FILE] [--chart FILE]
//! cargo run --release -p perf -- list
//! cargo run --release -p perf -- soak --minutes 10
//! cargo run --release -p perf -- durable --dir DIR
//! ```
//!
//! # Map
//!
//! Folders are layers, the lowest first. A file imports its own folder and lower layers only.
//! `scenarios` and `report` are side by side, and `soak` uses only `failure`.
//!
//! | layer | folder or file | its one job |
//! |---|---|---|
//! | 0 | `failure.rs` | the error of the harness |
//! | 0 | `versions.rs` | the versions of the measured crates |
//! | 1 | `machine/` | cores and pinning, the distance of two cores, facts about the machine |
//! | 1 | `message/` | what a message holds, how it is produced and checked |
//! | 2 | `systems/` | the traits of a system, and an adapter for each |
//! | 3 | `measure/` | one run: its job, threads, back-off, throughput loop and latencies |
//! | 4 | `results/` | the runs of systems, and their comparison |
//! | 5 | `scenarios/` | which systems do which work; measures a case |
//! | 5 | `report/` | the results as text, JSON, HTML and SVG |
//! | 6 | `soak/` | random work for all calls, every record checked |
//! | 6 | `durable/` | durable topics: sends beside the copier, syncs, opening and replaying, other logs in files |
//! | 7 | `commands/` | the commands `run` and `list` |
//!
//! A new peer is an adapter in `systems/` and a line in the scenarios that it can do.

mod commands;
mod durable;
mod failure;
mod machine;
mod measure;
mod message;
mod report;
mod results;
mod scenarios;
mod soak;
mod systems;
mod versions;

use clap::{Parser, Subcommand};
use commands::{list, run};
use durable::{Durable, MeasureFileLog};
use failure::Failure;
use soak::command::Soak;

/// Measures ringlog beside its peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures scenarios: all, or the named ones.
    Run(run::Run),
    /// Lists the scenarios, their systems, and the systems that are not measured.
    List,
    /// Runs random work of producers and consumers, and checks every record read.
    Soak(Soak),
    /// Measures durable topics, beside topics in memory and a bare sync.
    Durable(Durable),
    /// One measurement of `durable`, in a process of its own.
    #[command(hide = true)]
    FileLog(MeasureFileLog),
}

fn main() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Run(args) => args.run(),
        Command::Soak(args) => args.run(),
        Command::Durable(args) => args.run(),
        Command::FileLog(args) => args.run(),
        Command::List => {
            print!("{}", list::list());
            Ok(())
        }
    }
}
