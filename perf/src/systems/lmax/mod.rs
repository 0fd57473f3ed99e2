//! The LMAX Disruptor, run by a small Java program that reads its jobs from standard input.
//!
//! It is available where `java`, `javac` and Debian's jar (libdisruptor-java) are installed. Java
//! has no call to pin a thread, so its threads run where the system schedules them.

use crate::failure::Failure;
use crate::message::content::expected_sum;
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

const PROGRAM: &str = include_str!("Lmax.java");
const JARS: &str = "/usr/share/java";

/// The Java program, started by its first run.
pub(crate) struct Lmax {
    jar: PathBuf,
    version: String,
    process: RefCell<Option<JavaProcess>>,
}

struct JavaProcess {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// One run of the Java program.
pub(crate) struct LmaxJob {
    /// The ring for many producers, rather than the one for a single producer.
    pub(crate) multi: bool,
    pub(crate) slots: usize,
    /// Bytes of a message.
    pub(crate) payload: usize,
    /// Messages of a send.
    pub(crate) batch: usize,
    pub(crate) messages: u64,
}

impl Lmax {
    /// Finds the Disruptor and Java, or returns what is missing.
    pub(crate) fn find() -> Result<Rc<Lmax>, String> {
        let jar = Path::new(JARS).join("disruptor.jar");
        if !jar.exists() {
            return Err(format!("there is no {}", jar.display()));
        }
        for tool in ["javac", "java"] {
            let mut command = Command::new(tool);
            command.arg("-version").stdout(Stdio::null());
            if !command
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
            process: RefCell::new(None),
        }))
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Runs a job once; returns the time from the first send to the last message read.
    pub(crate) fn run(&self, job: &LmaxJob) -> Result<Duration, Failure> {
        let mut process = self.process.borrow_mut();
        let process = match &mut *process {
            Some(process) => process,
            none => none.insert(JavaProcess::start(&self.jar)?),
        };
        let answer = process.ask(&format!(
            "{} {} {} {} {}",
            if job.multi { "multi" } else { "single" },
            job.slots,
            job.payload / 8,
            job.batch,
            job.messages
        ))?;
        let numbers: Result<Vec<u64>, _> = answer.split(' ').map(str::parse).collect();
        let Ok(&[ns, count, sum, disorder]) = numbers.as_deref() else {
            return Err(format!("the Java program says '{answer}'").into());
        };
        let expected = expected_sum(job.payload, job.messages, &[0]);
        if (count, sum, disorder) != (job.messages, expected, 0) {
            return Err(format!(
                "{count} messages arrived with sum {sum}, disorder {disorder:#x}, instead of {} \
                 with sum {expected}, in order",
                job.messages
            )
            .into());
        }
        Ok(Duration::from_nanos(ns))
    }
}

/// How the LMAX Disruptor is run, or why it is not.
pub(crate) fn note(missing: Option<&str>) -> String {
    match missing {
        None => "LMAX Disruptor: in a Java process of its own, which cannot pin its threads".into(),
        Some(missing) => format!("LMAX Disruptor: not measured, {missing}"),
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

impl JavaProcess {
    fn start(jar: &Path) -> Result<JavaProcess, Failure> {
        let exe = std::env::current_exe()?;
        let folder = exe.parent().unwrap_or(Path::new(".")).join("perf-lmax");
        std::fs::create_dir_all(&folder)?;
        let source = folder.join("Lmax.java");
        std::fs::write(&source, PROGRAM)?;
        let mut compile = Command::new("javac");
        compile
            .arg("-cp")
            .arg(jar)
            .arg("-d")
            .arg(&folder)
            .arg(&source);
        let compiled = compile.stdin(Stdio::null()).output()?;
        if !compiled.status.success() {
            let words = String::from_utf8_lossy(&compiled.stderr);
            return Err(format!("javac: {}", words.trim()).into());
        }
        let mut java = Command::new("java");
        // No garbage collection while a run is timed: a run allocates its ring before, and nothing
        // after.
        java.args(["-XX:+UseSerialGC", "-Xms768m", "-Xmn512m", "-cp"])
            .arg(std::env::join_paths([&folder, jar])?)
            .arg("Lmax")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = java.spawn()?;
        let input = child.stdin.take();
        let output = child
            .stdout
            .take()
            .ok_or("the Java program has no output")?;
        Ok(JavaProcess {
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

impl Drop for JavaProcess {
    fn drop(&mut self) {
        // The program ends at the end of its input.
        self.input = None;
        if self.child.wait().is_err() {
            self.child.kill().unwrap_or_default();
        }
    }
}
