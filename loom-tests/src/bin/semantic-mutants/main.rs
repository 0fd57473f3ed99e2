//! Mutation test of ringlog's meaning: makes small changes to a copy of the source, one at a time,
//! and shows that the tests named for each fail.
//!
//! ```text
//! cargo run --release -p loom-tests --bin semantic-mutants [-- NAME...]
//! ```
//!
//! `NAME` is a part of a change's name, or of its file's path: `src/log/files`, `src/storage`.
//!
//! A change that its tests do not notice survives, and the command fails. It also fails if a text to
//! replace is not in its file exactly once, if a changed source does not compile, if the tests fail
//! without a change, or if they notice a change that is listed as one that makes no difference.

mod durable;
mod table;

use clap::Parser;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use table::{MUTANTS, Mutant};

/// An error that ends the command, in words.
type Failure = Box<dyn std::error::Error>;

/// Tests that take longer than this, and than [`PATIENCE`] times what they take without a change, hang:
/// the change is noticed.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const PATIENCE: u32 = 8;

/// Starts the tests. The compiler stays a stable one.
const RUNNER: &str = r#"target."cfg(all())".runner = ["env", "RUSTC_BOOTSTRAP=1"]"#;

/// Changes ringlog's meaning in small ways, and shows that tests fail.
#[derive(Parser)]
struct Cli {
    /// Makes only the changes whose name or file contains one of these.
    names: Vec<String>,
}

/// All changes: each with the reason why no test can notice it, if that is so.
fn all() -> impl Iterator<Item = (&'static Mutant, Option<&'static str>)> {
    let noticed = [
        &MUTANTS[..],
        durable::SYNCS,
        durable::RECOVERY,
        durable::CHECKS,
        durable::STORAGE,
    ];
    let noticed = noticed.into_iter().flatten().map(|mutant| (mutant, None));
    let alike = durable::NO_DIFFERENCE.iter();
    noticed.chain(alike.map(|(mutant, reason)| (mutant, Some(*reason))))
}

fn main() -> Result<(), Failure> {
    let Cli { names } = Cli::parse();
    let chosen = |mutant: &Mutant| {
        let contains = |part: &String| mutant.name.contains(part) || mutant.file.contains(part);
        names.is_empty() || names.iter().any(contains)
    };
    let mutants: Vec<_> = all().filter(|(mutant, _)| chosen(mutant)).collect();
    if mutants.is_empty() {
        return Err("no mutant has such a name or file".into());
    }
    let copy = Copy::new()?;
    let mut limits = BTreeMap::new();
    for (mutant, _) in &mutants {
        copy.mutated(mutant)?; // before anything takes time
        limits.insert(mutant.tests, Duration::ZERO);
    }
    for (arguments, limit) in &mut limits {
        match copy.test(arguments, Duration::MAX)? {
            (Outcome::Passed, took) => *limit = TIME_LIMIT.max(took * PATIENCE),
            (other, _) => return Err(format!("without a change: {arguments}: {other:?}").into()),
        }
    }
    let (mut killed, mut unexpected) = (0, Vec::new());
    for (mutant, no_difference) in &mutants {
        let start = Instant::now();
        let (original, mutated) = copy.mutated(mutant)?;
        std::fs::write(copy.path(mutant), mutated)?;
        let (outcome, _) = copy.test(mutant.tests, limits[mutant.tests])?;
        std::fs::write(copy.path(mutant), original)?;
        let verdict = match (&outcome, no_difference) {
            (Outcome::DoesNotCompile, _) => {
                return Err(format!("{} does not compile", mutant.name).into());
            }
            (Outcome::Passed, None) => "SURVIVED".to_owned(),
            (Outcome::Passed, Some(reason)) => format!("no difference: {reason}"),
            (Outcome::Failed(by), None) => format!("killed by {by}"),
            (Outcome::Failed(by), Some(_)) => format!("NOTICED by {by}"),
            (Outcome::TooLong, None) => "killed: it hangs".to_owned(),
            (Outcome::TooLong, Some(_)) => "NOTICED: it hangs".to_owned(),
        };
        let (name, file) = (mutant.name, mutant.file);
        let seconds = start.elapsed().as_secs_f64();
        println!("{seconds:5.1} s  {name} ({file})\n         {verdict}");
        let survived = outcome == Outcome::Passed;
        killed += usize::from(!survived);
        if survived != no_difference.is_some() {
            unexpected.push(name);
        }
    }
    println!("{killed} of {} killed", mutants.len());
    if unexpected.is_empty() {
        Ok(())
    } else {
        Err(format!("not as listed: {}", unexpected.join("; ")).into())
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Passed,
    /// The names of the tests that failed.
    Failed(String),
    TooLong,
    DoesNotCompile,
}

/// The names of the tests that failed, by what the harness has written.
fn failed_tests(mut output: File) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    let output = String::from_utf8_lossy(&bytes);
    let heads = output
        .lines()
        .filter_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    let names: Vec<_> = heads.collect();
    Ok(match names.is_empty() {
        true => "the end of the process".to_owned(),
        false => names.join(", "),
    })
}

/// A copy of the tracked files, with their changes that are not committed. It is built in one
/// target directory, so that a change compiles ringlog and the tests only.
struct Copy {
    root: tempfile::TempDir,
    target: PathBuf,
}

impl Copy {
    fn new() -> Result<Copy, Failure> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = tempfile::tempdir()?;
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--", ".", ":!fuzz"])
            .current_dir(&source)
            .output()?;
        if !listed.status.success() {
            return Err("git ls-files failed".into());
        }
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let (from, to) = (source.join(name), root.path().join(name));
            if let (true, Some(folder)) = (from.is_file(), to.parent()) {
                std::fs::create_dir_all(folder)?;
                std::fs::copy(from, to)?;
            }
        }
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => PathBuf::from(target),
            None => source.join("target"),
        };
        let target = std::path::absolute(target)?.join("semantic-mutants");
        Ok(Copy { root, target })
    }

    fn path(&self, mutant: &Mutant) -> PathBuf {
        self.root.path().join(mutant.file)
    }

    /// The file of a mutant, as it is and changed.
    fn mutated(&self, mutant: &Mutant) -> Result<(String, String), Failure> {
        let original = std::fs::read_to_string(self.path(mutant))?;
        let found = original.matches(mutant.old).count();
        if found != 1 {
            let (name, file) = (mutant.name, mutant.file);
            return Err(format!("{name}: its text is {found} times in {file}").into());
        }
        let mutated = original.replace(mutant.old, mutant.new);
        Ok((original, mutated))
    }

    /// Runs one command after another, until one fails. Returns how long they ran, too.
    fn test(&self, commands: &str, limit: Duration) -> Result<(Outcome, Duration), Failure> {
        let mut all = Duration::ZERO;
        for arguments in commands.split(" && ") {
            let (outcome, took) = self.test_once(arguments, limit)?;
            all += took;
            if outcome != Outcome::Passed {
                return Ok((outcome, all));
            }
        }
        Ok((Outcome::Passed, all))
    }

    /// Builds and runs `cargo test -p ringlog` with these arguments.
    fn test_once(&self, arguments: &str, limit: Duration) -> Result<(Outcome, Duration), Failure> {
        // The compiler is not to be counted as a test that hangs.
        let (build, _) = arguments.split_once(" -- ").unwrap_or((arguments, ""));
        let compiled = self.cargo(build).arg("--no-run").status()?;
        if !compiled.success() {
            return Ok((Outcome::DoesNotCompile, Duration::ZERO));
        }
        // The first test that fails decides. libtest offers that to nightly toolchains alone.
        let is_filtered = arguments.contains(" -- ");
        let before = if is_filtered { "" } else { " --" };
        let fail_fast = format!("{arguments}{before} -Zunstable-options --fail-fast");
        let output = tempfile::tempfile()?;
        let mut child = self.cargo(&fail_fast).stdout(output.try_clone()?).spawn()?;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                let outcome = match status.success() {
                    true => Outcome::Passed,
                    false => Outcome::Failed(failed_tests(output)?),
                };
                return Ok((outcome, start.elapsed()));
            }
            if start.elapsed() > limit {
                // Cargo and the test: they are a process group.
                let group = format!("-{}", child.id());
                Command::new("kill")
                    .args(["-KILL", "--", &group])
                    .status()?;
                child.wait()?;
                return Ok((Outcome::TooLong, start.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn cargo(&self, arguments: &str) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        // Unit tests are short: a change is compiled and tested in less time without optimisation.
        let config = match arguments.starts_with("--lib") {
            true => "profile.dev.package.ringlog.opt-level=0",
            false => "profile.dev.package.ringlog.opt-level=2",
        };
        cargo
            .args(["test", "--quiet", "--locked", "-p", "ringlog"])
            .args(["--config", config])
            .args(["--config", "profile.dev.package.crc32c.opt-level=2"])
            .args(["--config", RUNNER])
            .args(arguments.split_whitespace())
            .current_dir(self.root.path())
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "-Awarnings")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        cargo
    }
}
