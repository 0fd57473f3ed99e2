//! The models' test binary: built once, and run a test at a time.

use crate::Failure;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A weakened model may wait for ever instead of failing.
const MOST: Duration = Duration::from_secs(300);

pub(crate) struct Models {
    binary: PathBuf,
    pub(crate) tests: Vec<String>,
}

/// How a model ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Passed,
    /// By this: a claim of the model, or a violation that loom found.
    Failed(String),
    /// It was stopped after [`MOST`].
    TooLong,
}

/// A model, and how deep it is explored: to its own bound, or to another.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) test: String,
    pub(crate) preemptions: Option<u32>,
}

/// One run of one model.
pub(crate) struct Run {
    pub(crate) end: End,
    pub(crate) seconds: f64,
}

impl Models {
    /// Builds the tests as `cargo test --workspace` does, so that one build serves both.
    pub(crate) fn build(root: &Path) -> Result<Models, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["test", "--workspace", "--test", "models", "--no-run"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(root)
            .stderr(Stdio::inherit())
            .output()?;
        if !built.status.success() {
            return Err("the models do not build".into());
        }
        let mut binary = None;
        for line in String::from_utf8_lossy(&built.stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            if message["target"]["name"] == "models" {
                binary = message["executable"].as_str().map(PathBuf::from);
            }
        }
        let binary = binary.ok_or("cargo does not say where the models are")?;
        let list = Command::new(&binary)
            .args(["--list", "--format", "terse"])
            .output()?;
        let tests = String::from_utf8_lossy(&list.stdout)
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect();
        Ok(Models { binary, tests })
    }

    /// Runs one test as it is, and answers the sites that it came to.
    pub(crate) fn sites(&self, trial: &Trial) -> Result<(Run, BTreeSet<String>), Failure> {
        let file = tempfile::NamedTempFile::new()?;
        let run = self.run(trial, &[("RINGLOG_SITES", file.path().as_os_str())])?;
        let sites = std::fs::read_to_string(file.path())?;
        Ok((run, sites.lines().map(str::to_owned).collect()))
    }

    /// Runs one test with one site weakened: `site=ordering`.
    pub(crate) fn weakened(&self, trial: &Trial, weaken: &str) -> Result<Run, Failure> {
        self.run(trial, &[("RINGLOG_WEAKEN", weaken.as_ref())])
    }

    fn run(&self, trial: &Trial, env: &[(&str, &OsStr)]) -> Result<Run, Failure> {
        let mut command = Command::new(&self.binary);
        command
            .args([&trial.test, "--exact"])
            .env_remove("RINGLOG_WEAKEN")
            .env_remove("RINGLOG_PREEMPTIONS")
            .env("RUST_BACKTRACE", "0")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            // The test harness shows a failed test's words on its standard output.
            .stdout(Stdio::piped())
            // And what ends the process at once is told here.
            .stderr(Stdio::piped());
        if let Some(bound) = trial.preemptions {
            command.env("RINGLOG_PREEMPTIONS", bound.to_string());
        }
        let start = Instant::now();
        let end = wait(command)?;
        Ok(Run {
            end,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// Waits for a test's end. Exit code 101 is a failed test; any other, and a signal, is not an
/// answer.
fn wait(mut command: Command) -> Result<End, Failure> {
    let mut child = command.spawn()?;
    let mut told = String::new();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > MOST {
            child.kill()?;
            child.wait()?;
            return Ok(End::TooLong);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut told)?;
    }
    if let Some(out) = &mut child.stderr {
        out.read_to_string(&mut told)?;
    }
    match status.code() {
        Some(0) => Ok(End::Passed),
        Some(101) => reason(&told).map(End::Failed),
        // Unwinding what sleeps for ever, loom does not get far.
        None if told.contains(DEADLOCK) => reason(&told).map(End::Failed),
        _ => Err(format!("{command:?} ended with {status}").into()),
    }
}

/// What loom says where all threads that are left sleep: a wake-up was lost.
const DEADLOCK: &str = "deadlock; threads";

/// Why a model failed: what it says itself, or what the source asserts, or a race that loom found,
/// or a thread that sleeps for ever.
/// Anything else, as loom's limit on how much there may be to explore, is no answer.
fn reason(told: &str) -> Result<String, Failure> {
    let mut lines = told
        .lines()
        .skip_while(|line| !line.contains(" panicked at "));
    let place = lines.next().unwrap_or_default();
    let message = lines.next().unwrap_or_default().trim();
    let ours = ["loom-tests/tests/models/", "loom-tests/../src/"];
    let ours = ours.iter().any(|path| place.contains(path));
    if ours || message.starts_with("Causality violation") || message.starts_with(DEADLOCK) {
        return Ok(message.to_owned());
    }
    Err(format!("a model failed, but not by what it claims: {place} {message}").into())
}
