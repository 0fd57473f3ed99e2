//! Scenarios: systems that do the same work, in one or several cases.

use crate::failure::Failure;
use crate::measure::job::{Job, Outcome, Plan, Run};
use crate::measure::throughput;
use crate::message::tally::{ManyStreamsTally, OneStreamTally};
use crate::results::block::Block;
use crate::results::row::Row;
use crate::systems::lmax::{Lmax, LmaxJob};
use crate::systems::system::{Shape, System, SystemKind};
use crate::versions::version;
use std::rc::Rc;

/// Payload bytes of the scenarios that have one size only.
pub(crate) const PAYLOAD: usize = 64;

/// A number of bytes, in words.
pub(super) fn mebibytes(bytes: usize) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        more => format!("{more} MiB"),
    }
}

/// The options of the scenarios from the command line.
pub(crate) struct ScenarioOptions {
    /// Payload bytes of the scenarios that have several sizes.
    pub(crate) sizes: Vec<usize>,
    pub(crate) ring_bytes: usize,
    /// The most producers of `contended`.
    pub(crate) producers: usize,
    /// The cores that threads are pinned to.
    pub(crate) cores: usize,
    /// Leaves out the cases between the smallest and the largest.
    pub(crate) quick: bool,
    /// The LMAX Disruptor, if it can be run.
    pub(crate) lmax: Option<Rc<Lmax>>,
}

/// Systems that do the same work, in one or several cases.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cases: Vec<Case>,
}

/// One variant of the work, and the systems that do it.
pub(crate) struct Case {
    /// What distinguishes it from the scenario's other cases, beside its numbers. May be empty.
    pub(crate) label: String,
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    pub(crate) shape: Shape,
    pub(crate) rate: Option<u64>,
    pub(crate) messages: MessageCount,
    pub(crate) candidates: Vec<Candidate>,
}

/// How many messages a run sends.
#[derive(Clone, Copy)]
pub(crate) enum MessageCount {
    /// As many as fit the time that a run should take, within these bounds.
    Fit { least: u64, most: u64 },
    /// As many as the rate yields in that time.
    Rate,
}

/// One system of a case.
pub(crate) struct Candidate {
    pub(crate) system: String,
    pub(crate) version: String,
    pub(crate) kind: SystemKind,
    pub(crate) run: Run,
}

impl Candidate {
    /// Sends one stream of messages.
    pub(super) fn one_stream<S: System, const B: usize>() -> Candidate {
        Self::with_run::<S>(throughput::run_sized::<S, OneStreamTally, B>())
    }

    /// Sends several streams of messages of `PAYLOAD` bytes.
    pub(super) fn many_streams<S: System>() -> Candidate {
        Self::with_run::<S>(Box::new(throughput::run::<S, ManyStreamsTally, PAYLOAD, 1>))
    }

    /// Does the work with a run of its own.
    pub(super) fn with_run<S: System>(run: Run) -> Candidate {
        Candidate {
            system: S::NAME.to_owned(),
            version: version(S::CRATE).to_owned(),
            kind: S::KIND,
            run,
        }
    }

    /// The LMAX Disruptor's ring for one producer or for many, if it can be run.
    pub(super) fn lmax(options: &ScenarioOptions, multi: bool) -> Option<Candidate> {
        let lmax = options.lmax.clone()?;
        let kind = if multi { "multi" } else { "single" };
        Some(Candidate {
            system: format!("LMAX {kind} (Java)"),
            version: lmax.version().to_owned(),
            kind: SystemKind::Peer,
            run: Box::new(move |job| lmax_run(&lmax, multi, job)),
        })
    }

    /// Gives it another name.
    pub(super) fn named(mut self, system: &str) -> Candidate {
        system.clone_into(&mut self.system);
        self
    }

    /// Adds to the name how several of the system are combined.
    pub(super) fn combined(mut self, how: &str) -> Candidate {
        self.system = format!("{}, {how}", self.system);
        self
    }
}

fn lmax_run(lmax: &Lmax, multi: bool, job: &Job<'_>) -> Result<Outcome, Failure> {
    let time = lmax.run(&LmaxJob {
        multi,
        slots: job.shape.slots(job.payload),
        payload: job.payload,
        batch: job.batch,
        messages: job.messages,
    })?;
    Ok(Outcome::of_time(job.messages, time))
}

impl Case {
    /// Enough messages to fill the ring at least twice. The first pass meets memory that is not
    /// in the caches, and in some systems not even mapped.
    pub(super) fn filling(shape: &Shape, payload: usize) -> MessageCount {
        MessageCount::Fit {
            least: 2 * shape.slots(payload) as u64,
            most: 1 << 26,
        }
    }

    /// A run of about `messages` messages.
    pub(super) fn job<'p>(&self, plan: &'p Plan, messages: u64) -> Job<'p> {
        let mut job = Job {
            plan,
            shape: self.shape,
            payload: self.payload,
            batch: self.batch,
            messages,
            rate: self.rate,
        };
        job.messages = messages.max(1).next_multiple_of(job.step());
        job
    }

    /// The results of the case's systems.
    pub(crate) fn block(&self, scenario: &'static str, rows: Vec<Row>) -> Block {
        Block {
            scenario,
            label: self.label.clone(),
            payload: self.payload,
            batch: self.batch,
            producers: self.shape.producers,
            consumers: self.shape.consumers,
            partitions: self.shape.partitions,
            rate: self.rate,
            rows,
        }
    }
}
