//! The job of the design that this project began as: keyed messages into a broker, then all
//! of them out by polls, on one thread.

use super::{Case, Entry, Messages, PAYLOAD, Scenario};
use crate::cores::producer_place;
use crate::measure::{Failure, Outcome};
use crate::source::Source;
use crate::system::original::{Job as BrokerJob, Log, Original};
use crate::system::{Kind, Shape};
use crate::tally::{Lanes, Reader, Tally, lane};
use crate::versions::version;
use ringlog::{ExclusiveProducer, Producer};
use std::thread;
use std::time::Instant;

const KEYS: usize = 256;

/// Which half is timed. Both are done, and checked.
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
            lanes: KEYS,
            ..Shape::one_to_one(0)
        },
        rate: None,
        messages: Messages::Fit {
            least: 1 << 12,
            // Nothing is thrown away: this many are in memory at once.
            most: 1 << 19,
        },
        entries: vec![
            entry::<Log<ExclusiveProducer>>("ringlog exclusive", half),
            entry::<Log<Producer>>("ringlog shared", half),
            entry::<Original>("one lock, slices", half),
        ],
    };
    Scenario {
        name: "original",
        about: "the job of the Go design that this project began as: keyed 64-byte values to 3 \
                partitions by one call each, then all out by polls of up to 500; one thread. \
                The peer is that design: one lock round the broker, slices of pointers",
        cases: vec![
            case(Half::Produce, "produce"),
            case(Half::Consume, "consume"),
        ],
    }
}

fn entry<J: BrokerJob + Send>(system: &str, half: Half) -> Entry {
    let ours = system.starts_with("ringlog");
    Entry {
        system: system.to_owned(),
        version: if ours { version("ringlog") } else { "" }.to_owned(),
        kind: if ours { Kind::Ringlog } else { Kind::Peer },
        run: Box::new(move |job| {
            let cores = &job.plan.cores;
            thread::scope(|scope| {
                let thread = scope.spawn(move || {
                    cores.pin(producer_place(0))?;
                    run::<J>(job.messages, half)
                });
                thread.join().map_err(|_| "the thread panicked")?
            })
        }),
    }
}

fn run<J: BrokerJob>(messages: u64, half: Half) -> Result<Outcome, Failure> {
    let mut broker = J::new(messages, PAYLOAD)?;
    let keys: Vec<String> = (0..KEYS).map(|key| format!("user-{key:03}")).collect();
    let mut source = Source::<PAYLOAD, 1>::new(0, KEYS);
    let mut tally = <Lanes as Tally<PAYLOAD>>::new(KEYS);
    let start = Instant::now();
    let mut sent = 0;
    while sent < messages {
        for [message] in source.next() {
            broker.produce(&keys[lane(message)], message)?;
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
    Ok(Outcome {
        messages,
        time: match half {
            Half::Produce => produced.duration_since(start),
            Half::Consume => consumed,
        },
        producers: None,
        latency: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_send_evenly() {
        for case in scenario().cases {
            assert_eq!(case.shape.lanes, KEYS);
            assert_eq!(case.shape.threads(), 1);
        }
        let outcome = run::<Original>(KEYS as u64 * 16, Half::Consume);
        assert_eq!(outcome.unwrap().messages, KEYS as u64 * 16);
    }

    #[test]
    fn an_uneven_run_is_told() {
        let failure = run::<Original>(KEYS as u64 + 16, Half::Produce).err();
        assert!(failure.is_some());
    }
}
