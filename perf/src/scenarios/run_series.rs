//! Measuring a case: every system is warmed up, then the counted runs alternate.

use super::scenario::{Candidate, Case, MessageCount};
use crate::failure::Failure;
use crate::machine::round_trip::round_trip;
use crate::measure::job::{Job, Outcome, Plan, Run};
use crate::results::row::Row;
use hdrhistogram::Histogram;
use std::time::Duration;

impl Case {
    /// Warms a system up, and determines how many messages its counted runs send.
    fn warm_up<'p>(&self, candidate: &Candidate, plan: &'p Plan) -> Result<Job<'p>, Failure> {
        let (least, most) = match self.messages {
            MessageCount::Fit { least, most } => (least, most),
            MessageCount::Rate => {
                let rate = self.rate.unwrap_or_default() as f64;
                let messages = (rate * plan.budget.as_secs_f64()) as u64;
                (messages, messages)
            }
        };
        let mut messages = least;
        loop {
            let outcome = (candidate.run)(&self.job(plan, messages))?;
            if outcome.time >= plan.budget / 8 || messages >= most {
                let fit = plan.budget.as_secs_f64() * 1e9 / outcome.ns_per_message();
                return Ok(self.job(plan, (fit as u64).clamp(least, most)));
            }
            messages = (messages * 8).min(most);
        }
    }

    /// Measures every system. The runs of the systems alternate, so that other load of the machine
    /// affects all of them alike. A system that fails is reported, and the others continue.
    pub(crate) fn measure(&self, plan: &Plan, mut done: impl FnMut()) -> Vec<Row> {
        let mut all: Vec<RunSeries<'_>> = Vec::new();
        for candidate in &self.candidates {
            all.push(RunSeries::new(self.warm_up(candidate, plan)));
            done();
        }
        for _ in 0..plan.runs {
            for (candidate, series) in self.candidates.iter().zip(&mut all) {
                series.take(&candidate.run);
                done();
            }
        }
        let rows = self.candidates.iter().zip(all);
        rows.map(|(candidate, series)| series.row(self, candidate, plan))
            .collect()
    }
}

/// The counted runs of one system, collected one by one.
struct RunSeries<'p> {
    job: Option<Job<'p>>,
    failure: Option<String>,
    runs: Vec<f64>,
    round_trips: Vec<[f64; 2]>,
    producer_runs: Vec<f64>,
    latencies: Vec<Histogram<u64>>,
}

impl<'p> RunSeries<'p> {
    fn new(job: Result<Job<'p>, Failure>) -> Self {
        let failure = job.as_ref().err().map(|e| format!("warming up: {e}"));
        RunSeries {
            job: job.ok(),
            failure,
            runs: Vec::new(),
            round_trips: Vec::new(),
            producer_runs: Vec::new(),
            latencies: Vec::new(),
        }
    }

    fn take(&mut self, run: &Run) {
        if self.failure.is_some() {
            return;
        }
        let done = self.job.as_ref().map(|job| {
            let distance = || match job.shape.threads() {
                ..2 => Ok(None),
                _ => round_trip(&job.plan.cores),
            };
            let before = distance()?;
            let outcome = run(job)?;
            Ok((outcome, before.zip(distance()?)))
        });
        let added = done.transpose().and_then(|done| match done {
            Some((outcome, distance)) => self.add(outcome, distance),
            None => Ok(()),
        });
        self.failure = added.err().map(|failure| failure.to_string());
    }

    fn add(&mut self, outcome: Outcome, distance: Option<(f64, f64)>) -> Result<(), Failure> {
        if outcome.time == Duration::ZERO || outcome.messages == 0 {
            return Err("nothing was measured".into());
        }
        self.runs.push(outcome.ns_per_message());
        self.round_trips.extend(distance.map(<[f64; 2]>::from));
        self.producer_runs.extend(outcome.producer_ns_per_message());
        self.latencies.extend(outcome.latency);
        Ok(())
    }

    fn row(self, case: &Case, candidate: &Candidate, plan: &Plan) -> Row {
        Row {
            system: candidate.system.clone(),
            version: candidate.version.clone(),
            kind: candidate.kind,
            messages: self.job.map_or(0, |job| job.messages),
            runs: self.runs,
            round_trips: self.round_trips,
            producer_runs: self.producer_runs,
            latencies: self.latencies,
            failure: self.failure,
            oversubscribed: !plan.cores.suffice(case.shape.threads()),
        }
    }
}
