//! Mutation test of ringlog's meaning: makes small changes to a copy of the source, one at a time,
//! and shows that the tests named for each fail.
//!
//! ```text
//! cargo run --release -p loom-tests --bin semantic-mutants [-- NAME]
//! ```
//!
//! A change that its tests do not notice survives, and the command fails. It also fails if a text to
//! replace is not in its file exactly once, if a changed source does not compile, or if the tests
//! fail without a change.

mod table;

use clap::Parser;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use table::{MUTANTS, Mutant};

/// An error that ends the command, in words.
type Failure = Box<dyn std::error::Error>;

/// The slowest tests take ten seconds. A test that takes longer than this hangs: the change is
/// noticed.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Changes ringlog's meaning in small ways, and shows that tests fail.
#[derive(Parser)]
struct Cli {
    /// Makes only the changes whose name contains this.
    name: Option<String>,
}

fn main() -> Result<(), Failure> {
    let Cli { name } = Cli::parse();
    let chosen = |mutant: &&Mutant| name.as_ref().is_none_or(|part| mutant.name.contains(part));
    let mutants: Vec<_> = MUTANTS.iter().filter(chosen).collect();
    if mutants.is_empty() {
        return Err("no mutant has such a name".into());
    }
    let copy = Copy::new()?;
    let mut tests = BTreeSet::new();
    for mutant in &mutants {
        copy.mutated(mutant)?; // before anything takes time
        tests.insert(mutant.tests);
    }
    for arguments in tests {
        match copy.test(arguments)? {
            Outcome::Passed => {}
            other => return Err(format!("without a change: {arguments}: {other:?}").into()),
        }
    }
    let mut survivors = Vec::new();
    for mutant in &mutants {
        let start = Instant::now();
        let (original, mutated) = copy.mutated(mutant)?;
        std::fs::write(copy.path(mutant), mutated)?;
        let outcome = copy.test(mutant.tests)?;
        std::fs::write(copy.path(mutant), original)?;
        let verdict = match outcome {
            Outcome::Passed => "SURVIVED",
            Outcome::Failed => "killed",
            Outcome::TooLong => "killed (hangs)",
            Outcome::DoesNotCompile => {
                return Err(format!("{} does not compile", mutant.name).into());
            }
        };
        println!(
            "{verdict:>14} {:5.1} s  {} ({})",
            start.elapsed().as_secs_f64(),
            mutant.name,
            mutant.file
        );
        if outcome == Outcome::Passed {
            survivors.push(mutant.name);
        }
    }
    println!(
        "{} of {} killed",
        mutants.len() - survivors.len(),
        mutants.len()
    );
    if survivors.is_empty() {
        Ok(())
    } else {
        Err(format!("not noticed: {}", survivors.join("; ")).into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Passed,
    Failed,
    TooLong,
    DoesNotCompile,
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

    /// Builds and runs `cargo test -p ringlog` with these arguments.
    fn test(&self, arguments: &str) -> Result<Outcome, Failure> {
        // The compiler is not to be counted as a test that hangs.
        let (build, _) = arguments.split_once(" -- ").unwrap_or((arguments, ""));
        let compiled = self.cargo(build).arg("--no-run").status()?;
        if !compiled.success() {
            return Ok(Outcome::DoesNotCompile);
        }
        let mut child = self.cargo(arguments).spawn()?;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(match status.success() {
                    true => Outcome::Passed,
                    false => Outcome::Failed,
                });
            }
            if start.elapsed() > TIME_LIMIT {
                // Cargo and the test: they are a process group.
                let group = format!("-{}", child.id());
                Command::new("kill")
                    .args(["-KILL", "--", &group])
                    .status()?;
                child.wait()?;
                return Ok(Outcome::TooLong);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn cargo(&self, arguments: &str) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["test", "--quiet", "--locked", "-p", "ringlog"])
            .args(arguments.split_whitespace())
            .current_dir(self.root.path())
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUSTFLAGS", "-Awarnings")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        cargo
    }
}
