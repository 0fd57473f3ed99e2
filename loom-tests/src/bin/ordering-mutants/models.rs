//! The test binary of the models: built once, then run one test at a time.

use crate::Failure;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time limit of one run: a weakened model may wait forever instead of failing.
const TIME_LIMIT: Duration = Duration::from_secs(300);

pub(crate) struct Models {
    binary: PathBuf,
    pub(crate) tests: Vec<String>,
}

/// How a model ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Passed,
    /// With this message, of an assertion or of a violation that loom found.
    Failed(String),
    /// Killed after [`TIME_LIMIT`].
    TooLong,
}

/// A model, and the depth of its exploration.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) test: String,
    /// The preemption bound. `None`: the model's own.
    pub(crate) preemptions: Option<u32>,
}

/// One run of one model.
pub(crate) struct Run {
    pub(crate) end: End,
    pub(crate) seconds: f64,
}

impl Models {
    /// Builds the tests with the features of `cargo test --workspace`, so that one build serves
    /// both.
    pub(crate) fn build(root: &Path) -> Result<Models, Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["test", "--workspace", "--test", "models", "--no-run"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(root)
            .stderr(Stdio::inherit())
            .output()?;
        if !built.status.success() {
            return Err("building the models failed".into());
        }
        let mut binary = None;
        for line in String::from_utf8_lossy(&built.stdout).lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            if message["target"]["name"] == "models" {
                binary = message["executable"].as_str().map(PathBuf::from);
            }
        }
        let binary = binary.ok_or("cargo did not report the executable of the models")?;
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

    /// Runs one test unweakened, and returns the sites that it reached.
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
            .args([&trial.test, "--exact", "--include-ignored"])
            .env_remove("RINGLOG_WEAKEN")
            .env_remove("RINGLOG_PREEMPTIONS")
            .env("RUST_BACKTRACE", "0")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            // The test harness prints the message of a failed test to standard output.
            .stdout(Stdio::piped())
            // A panic that aborts the process prints to standard error.
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

/// Waits until a test ends. Exit code 101 is a failed test. Any other code, or a signal without a
/// deadlock report, is an error of the command.
fn wait(mut command: Command) -> Result<End, Failure> {
    let mut child = command.spawn()?;
    let mut output = String::new();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            return Ok(End::TooLong);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut output)?;
    }
    if let Some(out) = &mut child.stderr {
        out.read_to_string(&mut output)?;
    }
    match status.code() {
        Some(0) => Ok(End::Passed),
        Some(101) => reason(&output).map(End::Failed),
        // After a deadlock, loom unwinds the sleeping threads, which may abort the process.
        None if output.contains(DEADLOCK) => reason(&output).map(End::Failed),
        _ => Err(format!("{command:?} ended with {status}").into()),
    }
}

/// How loom reports that all remaining threads sleep, which means that a wake-up was lost.
const DEADLOCK: &str = "deadlock; threads";

/// Why a model failed: an assertion of the model or of the source, a race that loom found, or a
/// deadlock. Any other failure, such as loom's limit on branches, is an error of the command.
fn reason(output: &str) -> Result<String, Failure> {
    let mut lines = output
        .lines()
        .skip_while(|line| !line.contains(" panicked at "));
    let location = lines.next().unwrap_or_default();
    let message = lines.next().unwrap_or_default().trim();
    let ours = ["loom-tests/tests/models/", "loom-tests/../src/"];
    let ours = ours.iter().any(|path| location.contains(path));
    if ours || message.starts_with("Causality violation") || message.starts_with(DEADLOCK) {
        return Ok(message.to_owned());
    }
    Err(format!("a model failed, but not by an assertion: {location} {message}").into())
}
