//! Facts about the machine, and warnings about it, without which figures mean nothing.

use super::cores::Cores;
use serde::Serialize;
use std::fs::read_to_string;

/// What a report says about the machine.
#[derive(Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    /// How many cores this process may use.
    pub(crate) cores: usize,
    /// The cores that threads are pinned to: the first producer's, the first consumer's, then
    /// the other producers' and the other consumers'. Empty if nothing is pinned.
    pub(crate) pinned: Vec<usize>,
    pub(crate) os: String,
    pub(crate) arch: &'static str,
    /// The load average of the minute before: threads that ran or were ready to (Linux).
    pub(crate) load: Option<f64>,
    pub(crate) warnings: Vec<String>,
}

/// A load above this is the work of other processes.
const IDLE: f64 = 0.5;

impl Machine {
    /// Must be called before anything is measured, or the load is the measurement's own.
    pub(crate) fn inspect(cores: &Cores) -> Machine {
        let load = read_to_string("/proc/loadavg").ok();
        let load = load.and_then(|all| all.split_whitespace().next()?.parse().ok());
        Machine {
            cpu: cpu_model(),
            cores: cores.available(),
            pinned: cores.ids(),
            os: os(),
            arch: std::env::consts::ARCH,
            load,
            warnings: warnings(cores, load),
        }
    }
}

fn warnings(cores: &Cores, load: Option<f64>) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |words: String| warnings.push(words);
    if cfg!(debug_assertions) {
        warn("not a release build: the times mean nothing".to_owned());
    }
    if cores.ids().is_empty() {
        warn("no list of cores here, so no thread is pinned".to_owned());
    } else if !cores.suffice(2) {
        warn(
            "fewer than 2 cores. Producer and consumer share one, so the times show how they hand \
             over, not how fast they are"
                .to_owned(),
        );
    } else if !cores.suffice(4) {
        warn(format!(
            "{} cores: scenarios with more threads are marked 'oversubscribed', their threads \
             share cores",
            cores.ids().len()
        ));
    }
    if let Some(load) = load.filter(|&load| load > IDLE) {
        warn(format!(
            "other processes were using the cores: the load of the last minute was {load:.1}. \
             Compare within a run only, and look at the minima"
        ));
    }
    if let [first, second, ..] = cores.ids()[..]
        && siblings(first).contains(&second)
    {
        warn(format!(
            "cores {first} and {second} are hardware threads of one core: they share its caches \
             and its time"
        ));
    }
    warnings
}

/// The hardware threads that share a physical core with `core`, as Linux numbers them.
fn siblings(core: usize) -> Vec<usize> {
    let file = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let list = read_to_string(file).unwrap_or_default();
    let mut all = Vec::new();
    // Such as "0,4" or "0-1".
    for range in list.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(from), Ok(to)) = (from.parse(), to.parse::<usize>()) {
            all.extend(from..=to);
        }
    }
    all
}

/// The processor's name, where `/proc/cpuinfo` has it.
fn cpu_model() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| "unknown processor".to_owned())
}

fn os() -> String {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim())
        .trim()
        .to_owned()
}
