//! ringlog beside other logs and stores that keep records in files: the same records, synced as
//! often.
//!
//! Each measurement runs in a process of its own (the hidden command `file-log`), so that threads
//! and memory of one system do not disturb the next one. Threads are not pinned: the systems start
//! their own.

mod fjall;
mod kafko;
mod ringlog;
mod walrus;

use super::{Bench, Rounds, VALUE, percentile};
use crate::failure::Failure;
use crate::versions::version;
use clap::ValueEnum;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is appended is synced within this time, where nothing waits for it: ringlog's default.
const SYNC_WITHIN: Duration = Duration::from_millis(5);

/// Records of which each is waited for until it is durable.
const WAITED_FOR: usize = 200;

/// Records that are appended one by one, and in batches.
const RECORDS: u64 = 1_000_000;

/// A measurement that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(60);

/// Records of a batch.
const BATCH: usize = 256;

/// When what is appended is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syncs {
    /// Before the append returns.
    Each,
    /// Within [`SYNC_WITHIN`].
    Within,
}

/// A log in a directory.
trait FileLog {
    /// Appends a record, and waits until it is durable. The log was opened with [`Syncs::Each`].
    fn append_durably(&mut self) -> Result<(), Failure>;

    /// Appends records, one a call, and waits until all of them are durable.
    fn append(&mut self, records: u64) -> Result<(), Failure>;

    /// Appends records, [`BATCH`] a call, and waits until all of them are durable.
    fn append_batches(&mut self, records: u64) -> Result<(), Failure>;

    /// Reads all records that are there: how many, and the sum of their first bytes.
    fn read(&mut self) -> Result<(u64, u64), Failure>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum System {
    Ringlog,
    Kafko,
    WalrusRust,
    Fjall,
}

impl System {
    const ALL: [System; 4] = [
        System::Ringlog,
        System::Kafko,
        System::WalrusRust,
        System::Fjall,
    ];

    fn name(self) -> &'static str {
        match self {
            System::Ringlog => "ringlog",
            System::Kafko => "kafko",
            System::WalrusRust => "walrus-rust",
            System::Fjall => "fjall",
        }
    }

    fn open(self, dir: &Path, syncs: Syncs) -> Result<Box<dyn FileLog>, Failure> {
        Ok(match self {
            System::Ringlog => Box::new(ringlog::Log::open(dir)?),
            System::Kafko => Box::new(kafko::Log::open(dir, syncs)?),
            System::WalrusRust => Box::new(walrus::Log::open(syncs)?),
            System::Fjall => Box::new(fjall::Log::open(dir, syncs)?),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// The median time of an append that waits until it is durable, in microseconds.
    Waits,
    /// Million records a second, one a call.
    Appends,
    /// The same in batches.
    Batches,
    /// Million records a second that are read again by the next process.
    Reads,
}

impl Measurement {
    /// In this order: what batches have appended is read.
    const ALL: [Measurement; 4] = [
        Measurement::Waits,
        Measurement::Appends,
        Measurement::Batches,
        Measurement::Reads,
    ];

    fn about(self) -> (&'static str, &'static str) {
        match self {
            Measurement::Waits => ("append and wait until it is durable, p50", "us"),
            Measurement::Appends => ("durable records, one a call", "M/s"),
            Measurement::Batches => ("durable records, 256 a call", "M/s"),
            Measurement::Reads => ("read from the files again", "M/s"),
        }
    }
}

/// The arguments of `file-log`: one measurement of one system.
#[derive(clap::Args)]
pub(crate) struct MeasureFileLog {
    system: System,
    measurement: Measurement,
    dir: PathBuf,
}

impl MeasureFileLog {
    /// Prints the result.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        println!("{}", self.measure()?);
        Ok(())
    }

    fn measure(&self) -> Result<f64, Failure> {
        let syncs = match self.measurement {
            Measurement::Waits => Syncs::Each,
            _ => Syncs::Within,
        };
        let mut log = self.system.open(&self.dir, syncs)?;
        let start = Instant::now();
        let records = match self.measurement {
            Measurement::Waits => {
                let mut times = Vec::new();
                for _ in 0..WAITED_FOR {
                    let start = Instant::now();
                    log.append_durably()?;
                    times.push(start.elapsed());
                }
                return Ok(percentile(&mut times, 0.5));
            }
            Measurement::Appends => {
                log.append(RECORDS)?;
                RECORDS
            }
            Measurement::Batches => {
                let records = RECORDS / BATCH as u64 * BATCH as u64;
                log.append_batches(records)?;
                records
            }
            Measurement::Reads => {
                let (records, sum) = log.read()?;
                if records == 0 || sum != records * u64::from(VALUE[0]) {
                    let name = self.system.name();
                    return Err(format!("{name}: {records} records, their sum is {sum}").into());
                }
                records
            }
        };
        Ok(records as f64 / start.elapsed().as_secs_f64() / 1e6)
    }
}

impl Bench {
    pub(super) fn peers(&self) -> Result<(), Failure> {
        let mut rows = Measurement::ALL.map(|_| System::ALL.map(|_| Rounds::default()));
        for _ in 0..self.rounds {
            for (rows, measurement) in rows.iter_mut().zip(Measurement::ALL) {
                for (row, system) in rows.iter_mut().zip(System::ALL) {
                    let value = self.in_a_process(system, measurement)?;
                    if !value.is_nan() {
                        row.add(value);
                    }
                }
            }
        }
        for (rows, measurement) in rows.iter().zip(Measurement::ALL) {
            let (what, unit) = measurement.about();
            println!("{what}:");
            for (row, system) in rows.iter().zip(System::ALL) {
                let name = system.name();
                row.print(&format!("    {name} {}", version(name)), unit);
            }
        }
        Ok(())
    }

    fn in_a_process(&self, system: System, measurement: Measurement) -> Result<f64, Failure> {
        let dir = self.path(&format!("peer-{}", system.name()));
        if measurement != Measurement::Reads {
            if dir.exists() {
                fs::remove_dir_all(&dir)?;
            }
            fs::create_dir_all(&dir)?;
        }
        let dir = dir.canonicalize()?;
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map(|value| value.get_name().to_owned())
        };
        let system_name = name(&|| system.to_possible_value()).unwrap_or_default();
        let measured = name(&|| measurement.to_possible_value()).unwrap_or_default();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["file-log", &system_name, &measured])
            .arg(&dir)
            .env("WALRUS_DATA_DIR", &dir)
            .env("WALRUS_QUIET", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let start = Instant::now();
        while child.try_wait()?.is_none() {
            if start.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                println!("{system_name} {measured}: given up after {LIMIT:?}");
                return Ok(f64::NAN);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{system_name} {measured}: {reason}").into());
        }
        let result = text.lines().last().and_then(|line| line.parse().ok());
        result.ok_or_else(|| format!("{system_name} {measured} has printed {text:?}").into())
    }
}
