//! The LMAX Disruptor: a small Java program beside this one, told what to run on its standard
//! input. It is there where `java`, `javac` and Debian's jar (libdisruptor-java) are.
//!
//! The Java machine has no call to pin a thread: its threads run where the system puts them.

use crate::measure::{Failure, Job, Outcome, Run};
use crate::tally::expected_sum;
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

const PROGRAM: &str = include_str!("lmax/Lmax.java");
const JARS: &str = "/usr/share/java";

/// The program, started when it is first asked for a run.
pub(crate) struct Lmax {
    jar: PathBuf,
    version: String,
    running: RefCell<Option<Running>>,
}

struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Lmax {
    /// Or what is missing.
    pub(crate) fn find() -> Result<Rc<Lmax>, String> {
        let jar = Path::new(JARS).join("disruptor.jar");
        if !jar.exists() {
            return Err(format!("there is no {}", jar.display()));
        }
        for tool in ["javac", "java"] {
            let mut asked = Command::new(tool);
            asked.arg("-version").stdout(Stdio::null());
            if !asked
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|s| s.success())
            {
                return Err(format!("there is no {tool}"));
            }
        }
        Ok(Rc::new(Lmax {
            jar,
            version: version().unwrap_or_else(|| "of unknown version".to_owned()),
            running: RefCell::new(None),
        }))
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Runs of its ring for one producer, or for many.
    pub(crate) fn runs(self: &Rc<Self>, multi: bool) -> Run {
        let lmax = self.clone();
        Box::new(move |job| lmax.run(multi, job))
    }

    fn run(&self, multi: bool, job: &Job<'_>) -> Result<Outcome, Failure> {
        let mut running = self.running.borrow_mut();
        let running = match &mut *running {
            Some(running) => running,
            none => none.insert(Running::start(&self.jar)?),
        };
        let answer = running.ask(&format!(
            "{} {} {} {} {}",
            if multi { "multi" } else { "single" },
            job.shape.slots(job.payload),
            job.payload / 8,
            job.batch,
            job.messages
        ))?;
        let numbers: Result<Vec<u64>, _> = answer.split(' ').map(str::parse).collect();
        let Ok(&[ns, count, sum, disorder]) = numbers.as_deref() else {
            return Err(format!("the Java program says '{answer}'").into());
        };
        let right = expected_sum(job.payload, job.messages, 1);
        if (count, sum, disorder) != (job.messages, right, 0) {
            return Err(format!(
                "{count} messages came, of sum {sum}, disorder {disorder:#x}, instead of {}, of \
                 sum {right}, in order",
                job.messages
            )
            .into());
        }
        Ok(Outcome {
            messages: count,
            time: Duration::from_nanos(ns),
            producers: None,
            latency: None,
        })
    }
}

/// Debian links the jar under a name with its version.
fn version() -> Option<String> {
    let mut files = std::fs::read_dir(JARS).ok()?.flatten();
    files.find_map(|file| {
        let name = file.file_name();
        let version = name.to_str()?.strip_prefix("disruptor-")?;
        Some(version.strip_suffix(".jar")?.to_owned())
    })
}

impl Running {
    fn start(jar: &Path) -> Result<Running, Failure> {
        let exe = std::env::current_exe()?;
        let place = exe.parent().unwrap_or(Path::new(".")).join("perf-lmax");
        std::fs::create_dir_all(&place)?;
        let source = place.join("Lmax.java");
        std::fs::write(&source, PROGRAM)?;
        let mut compile = Command::new("javac");
        compile
            .arg("-cp")
            .arg(jar)
            .arg("-d")
            .arg(&place)
            .arg(&source);
        let compiled = compile.stdin(Stdio::null()).output()?;
        if !compiled.status.success() {
            let words = String::from_utf8_lossy(&compiled.stderr);
            return Err(format!("javac: {}", words.trim()).into());
        }
        let mut java = Command::new("java");
        // No collection while a run is timed: a run allocates its ring before, and no more.
        java.args(["-XX:+UseSerialGC", "-Xms768m", "-Xmn512m", "-cp"])
            .arg(std::env::join_paths([&place, jar])?)
            .arg("Lmax")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = java.spawn()?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or("the Java program has no output")?;
        Ok(Running {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    fn ask(&mut self, line: &str) -> Result<String, Failure> {
        let input = self.input.as_mut().ok_or("the Java program has no input")?;
        writeln!(input, "{line}")?;
        input.flush()?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err("the Java program ended".into());
        }
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // At the end of its input the program ends.
        self.input = None;
        if self.child.wait().is_err() {
            self.child.kill().unwrap_or_default();
        }
    }
}
