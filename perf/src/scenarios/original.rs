//! The job of the design that this project began as: keyed messages are sent to a broker, then
//! all of them are polled, on one thread.

use super::scenario::{Candidate, Case, MessageCount, PAYLOAD, Scenario};
use crate::failure::Failure;
use crate::machine::cores::producer_core;
use crate::measure::job::Outcome;
use crate::message::content::stream;
use crate::message::source::Source;
use crate::message::tally::{ManyStreamsTally, Reader, Tally};
use crate::systems::original::{KeyedBroker, OriginalBroker, RinglogBroker};
use crate::systems::system::{Shape, SystemKind};
use crate::versions::version;
use ringlog::{ExclusiveProducer, Producer};
use std::thread;
use std::time::Instant;

const KEYS: usize = 256;

/// The half that is timed. Both are run and checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Produce,
    Consume,
}

pub(super) fn scenario() -> Scenario {
    let case = |half, label: &str| Case {
        label: label.to_owned(),
        payload: PAYLOAD,
        batch: 1,
        shape: Shape {
            producers: usize::from(half == Half::Produce),
            consumers: usize::from(half == Half::Consume),
            partitions: 3,
            streams: KEYS,
            ..Shape::one_to_one(0)
        },
        rate: None,
        messages: MessageCount::Fit {
            least: 1 << 12,
            // No message is deleted: this many are in memory at once.
            most: 1 << 19,
        },
        candidates: vec![
            candidate::<RinglogBroker<ExclusiveProducer>>("ringlog exclusive", half),
            candidate::<RinglogBroker<Producer>>("ringlog shared", half),
            candidate::<OriginalBroker>("one lock, slices", half),
        ],
    };
    Scenario {
        name: "original",
        about: "the job of the Go design that this project began as: keyed 64-byte values are sent \
                to 3 partitions by one call each, then polled by up to 500; one thread. The peer \
                is that design: one lock around the broker, slices of pointers",
        cases: vec![
            case(Half::Produce, "produce"),
            case(Half::Consume, "consume"),
        ],
    }
}

fn candidate<J: KeyedBroker + Send>(system: &str, half: Half) -> Candidate {
    let ours = system.starts_with("ringlog");
    Candidate {
        system: system.to_owned(),
        version: if ours { version("ringlog") } else { "" }.to_owned(),
        kind: if ours {
            SystemKind::Ringlog
        } else {
            SystemKind::Peer
        },
        run: Box::new(move |job| {
            let cores = &job.plan.cores;
            thread::scope(|scope| {
                let thread = scope.spawn(move || {
                    cores.pin(producer_core(0))?;
                    run::<J>(job.messages, half)
                });
                thread.join().map_err(|_| "the thread panicked")?
            })
        }),
    }
}

fn run<J: KeyedBroker>(messages: u64, half: Half) -> Result<Outcome, Failure> {
    let mut broker = J::new(messages, PAYLOAD)?;
    let keys: Vec<String> = (0..KEYS).map(|key| format!("user-{key:03}")).collect();
    let mut source = Source::<PAYLOAD, 1>::new(0, KEYS);
    let mut tally = <ManyStreamsTally as Tally<PAYLOAD>>::new(KEYS);
    let start = Instant::now();
    let mut sent = 0;
    while sent < messages {
        for [message] in source.next() {
            broker.produce(&keys[stream(message)], message)?;
            sent += 1;
        }
    }
    let produced = Instant::now();
    broker.consume(|value| {
        let message: &[u8; PAYLOAD] = value.try_into()?;
        tally.read(message);
        Ok(())
    })?;
    let consumed = produced.elapsed();
    Tally::<PAYLOAD>::check(&tally, messages)?;
    let time = match half {
        Half::Produce => produced.duration_since(start),
        Half::Consume => consumed,
    };
    Ok(Outcome::of_time(messages, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_send_evenly() {
        for case in scenario().cases {
            assert_eq!(case.shape.streams, KEYS);
            assert_eq!(case.shape.threads(), 1);
        }
        let outcome = run::<OriginalBroker>(KEYS as u64 * 16, Half::Consume);
        assert_eq!(outcome.unwrap().messages, KEYS as u64 * 16);
    }

    #[test]
    fn an_uneven_run_is_refused() {
        let failure = run::<OriginalBroker>(KEYS as u64 + 16, Half::Produce).err();
        assert!(failure.is_some());
    }
}
