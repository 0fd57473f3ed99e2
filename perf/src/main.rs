//! Measures ringlog beside its peers: same payload, same ring, same pinned cores, every
//! message read and checked. And soaks it: everything at once, for minutes or hours.
//!
//! ```text
//! cargo run --release -p perf -- run [--quick] [SCENARIO..] [--json FILE] [--html FILE] [--chart FILE]
//! cargo run --release -p perf -- list
//! cargo run --release -p perf -- soak --minutes 10
//! ```

mod command;
mod cores;
mod distance;
mod html;
mod json;
mod latency;
mod machine;
mod measure;
mod pause;
mod report;
mod scenario;
mod soak;
mod source;
mod system;
mod tally;
mod threads;
mod versions;

use clap::{Parser, Subcommand};
use measure::Failure;
use soak::Soak;

/// Measures ringlog beside its peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures scenarios: all of them, unless some are named.
    Run(command::Run),
    /// Lists the scenarios, their systems, and which systems are not there and why.
    List,
    /// Mixes all that producers and consumers can do, and checks every record read.
    Soak(Soak),
}

fn main() -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Run(args) => args.run(),
        Command::Soak(args) => args.run(),
        Command::List => {
            print!("{}", command::list());
            Ok(())
        }
    }
}
