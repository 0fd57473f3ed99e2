//! Which systems are measured against each other, at what.

mod contended;
mod fan_out;
mod idle;
mod keyed;
mod one_to_one;
mod original;
mod paced;
mod ping_pong;
mod replay;
#[cfg(test)]
mod tests;
mod wake_up;

use crate::distance::round_trip;
use crate::measure::{self, Failure, Job, Outcome, Plan, Run};
use crate::report::Row;
use crate::system::lmax::Lmax;
use crate::system::{Kind, Shape, System};
use crate::tally::{InOrder, Lanes};
use crate::versions::version;
use hdrhistogram::Histogram;
use std::rc::Rc;
use std::time::Duration;

pub(crate) use one_to_one::NAMES as ONE_TO_ONE;

/// Payload bytes of the scenarios that have one size only.
const PAYLOAD: usize = 64;

/// What the command line says of scenarios.
pub(crate) struct Choice {
    /// Payload bytes of the scenarios that have several sizes.
    pub(crate) sizes: Vec<usize>,
    pub(crate) ring_bytes: usize,
    /// The most producers of `contended`.
    pub(crate) producers: usize,
    /// The LMAX Disruptor, where it can be run.
    pub(crate) lmax: Option<Rc<Lmax>>,
}

/// Systems that do the same work, in one or several ways.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) cases: Vec<Case>,
}

/// One way.
pub(crate) struct Case {
    /// What sets it apart from the scenario's other cases, beside its numbers; or nothing.
    pub(crate) label: String,
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    pub(crate) shape: Shape,
    pub(crate) rate: Option<u64>,
    pub(crate) messages: Messages,
    pub(crate) entries: Vec<Entry>,
}

/// How many messages a run sends.
#[derive(Clone, Copy)]
pub(crate) enum Messages {
    /// As many as fit the time that a run should take, between these.
    Fit { least: u64, most: u64 },
    /// As many as the rate makes in that time.
    Rate,
}

/// One system of a case.
pub(crate) struct Entry {
    pub(crate) system: String,
    pub(crate) version: String,
    pub(crate) kind: Kind,
    pub(crate) run: Run,
}

impl Entry {
    /// One lane of messages.
    fn of<S: System, const B: usize>() -> Entry {
        Self::running::<S>(measure::run_sized::<S, InOrder, B>())
    }

    /// Several lanes of messages of `PAYLOAD` bytes.
    fn lanes<S: System>() -> Entry {
        Self::running::<S>(Box::new(measure::run::<S, Lanes, PAYLOAD, 1>))
    }

    fn running<S: System>(run: Run) -> Entry {
        Entry {
            system: S::NAME.to_owned(),
            version: version(S::CRATE).to_owned(),
            kind: S::KIND,
            run,
        }
    }

    /// The LMAX Disruptor's ring for one producer or for many, where it can be run.
    fn lmax(choice: &Choice, multi: bool) -> Option<Entry> {
        let lmax = choice.lmax.as_ref()?;
        let kind = if multi { "multi" } else { "single" };
        Some(Entry {
            system: format!("LMAX {kind} (Java)"),
            version: lmax.version().to_owned(),
            kind: Kind::Peer,
            run: lmax.runs(multi),
        })
    }

    /// With what was done to the system in its name.
    fn put_together(mut self, how: &str) -> Entry {
        self.system = format!("{}, {how}", self.system);
        self
    }
}

impl Case {
    /// Messages of a run that go round the ring twice or more: the first round meets memory
    /// that is not in the caches, nor even there in some systems.
    fn filling(shape: &Shape, payload: usize) -> Messages {
        Messages::Fit {
            least: 2 * shape.slots(payload) as u64,
            most: 1 << 26,
        }
    }

    fn job<'p>(&self, plan: &'p Plan, messages: u64) -> Job<'p> {
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

    /// Warms a system up, and finds how many messages its counted runs take.
    fn warm_up<'p>(&self, entry: &Entry, plan: &'p Plan) -> Result<Job<'p>, Failure> {
        let (least, most) = match self.messages {
            Messages::Fit { least, most } => (least, most),
            Messages::Rate => {
                let rate = self.rate.unwrap_or_default() as f64;
                let messages = (rate * plan.budget.as_secs_f64()) as u64;
                (messages, messages)
            }
        };
        let mut messages = least;
        loop {
            let outcome = (entry.run)(&self.job(plan, messages))?;
            if outcome.time >= plan.budget / 8 || messages >= most {
                let fit = plan.budget.as_secs_f64() * 1e9 / outcome.ns_per_message();
                return Ok(self.job(plan, (fit as u64).clamp(least, most)));
            }
            messages = (messages * 8).min(most);
        }
    }

    /// Measures every system. They take turns, run by run, so that what else the machine does
    /// meets all of them alike. A system that fails is told as such, and the others go on.
    pub(crate) fn measure(&self, plan: &Plan, mut done: impl FnMut()) -> Vec<Row> {
        let mut turns: Vec<Turns<'_>> = Vec::new();
        for entry in &self.entries {
            turns.push(Turns::new(self.warm_up(entry, plan)));
            done();
        }
        for _ in 0..plan.runs {
            for (entry, turns) in self.entries.iter().zip(&mut turns) {
                turns.take(&entry.run);
                done();
            }
        }
        let rows = self.entries.iter().zip(turns);
        rows.map(|(entry, turns)| turns.row(self, entry, plan))
            .collect()
    }
}

/// The counted runs of one system, as they come in.
struct Turns<'p> {
    job: Option<Job<'p>>,
    failure: Option<String>,
    runs: Vec<f64>,
    round_trips: Vec<f64>,
    producer_runs: Vec<f64>,
    latency: Option<Histogram<u64>>,
}

impl<'p> Turns<'p> {
    fn new(job: Result<Job<'p>, Failure>) -> Self {
        let failure = job.as_ref().err().map(|e| format!("warming up: {e}"));
        Turns {
            job: job.ok(),
            failure,
            runs: Vec::new(),
            round_trips: Vec::new(),
            producer_runs: Vec::new(),
            latency: None,
        }
    }

    fn take(&mut self, run: &Run) {
        if self.failure.is_some() {
            return;
        }
        let done = self.job.as_ref().map(|job| {
            let distance = match job.shape.threads() {
                ..2 => None,
                _ => round_trip(&job.plan.cores)?,
            };
            Ok((run(job)?, distance))
        });
        let added = done.transpose().and_then(|done| match done {
            Some((outcome, distance)) => self.add(outcome, distance),
            None => Ok(()),
        });
        self.failure = added.err().map(|failure| failure.to_string());
    }

    fn add(&mut self, outcome: Outcome, distance: Option<f64>) -> Result<(), Failure> {
        if outcome.time == Duration::ZERO || outcome.messages == 0 {
            return Err("nothing was measured".into());
        }
        self.runs.push(outcome.ns_per_message());
        self.round_trips.extend(distance);
        self.producer_runs.extend(outcome.producer_ns_per_message());
        match (&mut self.latency, outcome.latency) {
            (Some(all), Some(more)) => all.add(more)?,
            (latency, more) => *latency = more,
        }
        Ok(())
    }

    fn row(self, case: &Case, entry: &Entry, plan: &Plan) -> Row {
        Row {
            system: entry.system.clone(),
            version: entry.version.clone(),
            kind: entry.kind,
            messages: self.job.map_or(0, |job| job.messages),
            runs: self.runs,
            round_trips: self.round_trips,
            producer_runs: self.producer_runs,
            latency: self.latency,
            failure: self.failure,
            oversubscribed: !plan.cores.apart(case.shape.threads()),
        }
    }
}

/// All scenarios.
pub(crate) fn scenarios(choice: &Choice) -> Vec<Scenario> {
    let mut all = one_to_one::scenarios(choice);
    all.push(contended::scenario(choice));
    all.push(keyed::scenario(choice));
    all.push(fan_out::scenario(choice));
    all.push(replay::scenario(choice));
    all.push(idle::scenario());
    all.push(original::scenario());
    all.push(ping_pong::scenario(choice));
    all.push(paced::scenario(choice));
    all.push(wake_up::scenario(choice));
    all.push(wake_up::asleep(choice));
    all
}
