//! The command `durable`: sends beside the copier of a durable topic, durable records a second,
//! acknowledgement times, opening and replaying a directory, and other logs in files.
//!
//! What is compared is measured in turn, round after round: a topic in memory and a durable one, a
//! bare `fdatasync` and a wait for a durable record. Each row has the median of the rounds, with
//! the lowest and the highest. The directory is on the disk that is measured; its files stay in the
//! page cache.

mod peers;
mod replay;
mod sends;
mod syncs;

pub(crate) use peers::MeasureFileLog;

use crate::failure::Failure;
use crate::machine::cores::{Cores, consumer_core, producer_core};
use ringlog::{Broker, Storage, StorageConfig};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long beside every wait.
const LONG: Duration = Duration::from_secs(600);

/// A record's value.
const VALUE: [u8; 64] = [7; 64];

/// The arguments of `durable`.
#[derive(clap::Args)]
pub(crate) struct Durable {
    /// The directory to write to, which must not exist; it is removed afterwards. It says which
    /// disk is measured.
    #[arg(long, default_value = "ringlog-durable")]
    dir: PathBuf,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The rate of the paced sends, in records a second.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Seconds of each paced run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Pin to these cores: the producer to the first, the storage's threads to the second.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
}

/// What all measurements share.
pub(crate) struct Bench {
    dir: PathBuf,
    cores: Cores,
    rounds: u32,
    rate: u64,
    paced: Duration,
}

/// Removes the directory, whatever happens.
struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Durable {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.dir.exists() {
            return Err(format!("{} exists: name another --dir", self.dir.display()).into());
        }
        fs::create_dir_all(&self.dir)?;
        let _cleanup = Cleanup(self.dir.clone());
        let bench = Bench {
            dir: self.dir.clone(),
            cores: Cores::choose(&self.cores)?,
            rounds: self.rounds,
            rate: self.rate,
            paced: Duration::from_secs(self.seconds),
        };
        println!("medians of {} rounds, [lowest .. highest]", bench.rounds);
        bench.syncs()?;
        bench.paced_sends()?;
        bench.rates()?;
        bench.replays()?;
        bench.peers()
    }
}

impl Bench {
    /// Pins the caller as the producer.
    fn pin(&self) -> Result<(), Failure> {
        self.cores.pin(producer_core(0))
    }

    fn storage(&self, name: &str) -> StorageConfig {
        let cores = self.cores.clone();
        Storage::dir(self.path(name)).on_thread_start(move || {
            // On a machine of one core there is no other.
            let _ = cores.pin(consumer_core(0, 1) % cores.count().max(1));
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Opens an empty directory of this name.
    fn fresh(&self, name: &str) -> Result<Broker, Failure> {
        let path = self.path(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        Ok(Broker::open(self.storage(name))?.0)
    }
}

/// The values of all rounds.
#[derive(Default)]
struct Rounds(Vec<f64>);

impl Rounds {
    fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Prints a row: what was measured, and in which unit.
    fn print(&self, what: &str, unit: &str) {
        let lowest = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.0.iter().copied().fold(0.0, f64::max);
        let median = self.median();
        println!("{what:<52} {median:>9.2} {unit:<6} [{lowest:.2} .. {highest:.2}]");
    }
}

/// A percentile of some times, in microseconds.
fn percentile(times: &mut [Duration], part: f64) -> f64 {
    times.sort();
    let at = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| micros(*time))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Bytes of all files below a directory.
fn bytes_below(dir: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}
