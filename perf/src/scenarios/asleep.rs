//! The cost of sleeping: the time on a core that a waiting consumer takes.

use super::scenario::{Candidate, Case, MessageCount, Scenario, ScenarioOptions};
use super::wake_up::open_ringlog;
use crate::failure::Failure;
use crate::machine::cores::consumer_core;
use crate::measure::backoff::LATENCY_SPINS;
use crate::measure::job::{Job, Outcome};
use crate::measure::threads::{Worker, run_together};
use crate::systems::system::{Shape, SystemKind};
use crate::versions::version;
use ringlog::WaitStrategy;
use std::time::{Duration, Instant};

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let candidate = |name: &str, wait: WaitStrategy| Candidate {
        system: format!("ringlog, {name}"),
        version: version("ringlog").to_owned(),
        kind: SystemKind::Ringlog,
        run: Box::new(move |job| wait_for_nothing(job, wait.clone())),
    };
    Scenario {
        name: "asleep",
        about: "the time on a core that a consumer takes for each millisecond in which nothing \
                arrives (10,000 ns are 1 % of a core)",
        cases: vec![Case {
            label: String::new(),
            payload: 8,
            batch: 1,
            shape: Shape::one_to_one(options.ring_bytes),
            rate: None,
            // Milliseconds of waiting.
            messages: MessageCount::Fit {
                least: 250,
                most: 250,
            },
            candidates: vec![
                candidate("Block", WaitStrategy::Block),
                candidate("Backoff", WaitStrategy::Backoff),
                candidate("Yield", WaitStrategy::Yield),
            ],
        }],
    }
}

fn wait_for_nothing(job: &Job<'_>, wait: WaitStrategy) -> Result<Outcome, Failure> {
    let (_producer, mut consumer) = open_ringlog(wait)?;
    let mut time = Duration::ZERO;
    {
        let time = &mut time;
        let worker = Worker::new(consumer_core(0, 1), move |ready, _| {
            ready.wait();
            let (begin, before) = (Instant::now(), on_core()?);
            if !consumer
                .poll(Duration::from_millis(job.messages))?
                .is_empty()
            {
                return Err("something arrived".into());
            }
            *time = on_core()?
                .saturating_sub(before)
                .max(Duration::from_nanos(1));
            Ok((begin, Instant::now()))
        });
        run_together(job, LATENCY_SPINS, vec![worker])?;
    }
    Ok(Outcome::of_time(job.messages, time))
}

/// How long this thread has been on a core.
fn on_core() -> Result<Duration, Failure> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = schedstat
        .split_whitespace()
        .next()
        .ok_or("no time in schedstat")?;
    Ok(Duration::from_nanos(ns.parse()?))
}
