//! One producer, one consumer: single messages and batches.

use super::scenario::{Candidate, Case, Scenario, ScenarioOptions};
use crate::systems::channels::CrossbeamArrayQueue;
use crate::systems::channels::CrossbeamChannel;
use crate::systems::channels::Flume;
use crate::systems::channels::Kanal;
use crate::systems::channels::RapidfireMpsc;
use crate::systems::channels::TokioBroadcast;
use crate::systems::channels::{CrossfireMpsc, CrossfireSpsc};
use crate::systems::channels::{NexusMpsc, NexusSpsc};
use crate::systems::channels::{NexusQueueMpsc, NexusQueueSpsc};
use crate::systems::disruptor::{DisruptorMulti, DisruptorSingle};
use crate::systems::ringlog::{RinglogExclusive, RinglogShared};
use crate::systems::rtrb::Rtrb;
use crate::systems::system::Shape;

/// The names of the four scenarios, in order.
pub(crate) const ONE_TO_ONE: [&str; 4] = [
    "exclusive-single",
    "shared-single",
    "exclusive-batch",
    "shared-batch",
];

fn exclusive_single() -> Vec<Candidate> {
    vec![
        Candidate::one_stream::<RinglogExclusive, 1>(),
        Candidate::one_stream::<DisruptorSingle, 1>(),
        Candidate::one_stream::<Rtrb, 1>(),
        Candidate::one_stream::<NexusSpsc, 1>(),
        Candidate::one_stream::<NexusQueueSpsc, 1>(),
        Candidate::one_stream::<CrossfireSpsc, 1>(),
    ]
}

fn shared_single() -> Vec<Candidate> {
    vec![
        Candidate::one_stream::<RinglogShared, 1>(),
        Candidate::one_stream::<DisruptorMulti, 1>(),
        Candidate::one_stream::<CrossbeamArrayQueue, 1>(),
        Candidate::one_stream::<CrossbeamChannel, 1>(),
        Candidate::one_stream::<CrossfireMpsc, 1>(),
        Candidate::one_stream::<Kanal, 1>(),
        Candidate::one_stream::<Flume, 1>(),
        Candidate::one_stream::<NexusMpsc, 1>(),
        Candidate::one_stream::<NexusQueueMpsc, 1>(),
        Candidate::one_stream::<RapidfireMpsc, 1>(),
        Candidate::one_stream::<TokioBroadcast, 1>(),
    ]
}

fn exclusive_batch<const B: usize>() -> Vec<Candidate> {
    vec![
        Candidate::one_stream::<RinglogExclusive, B>(),
        Candidate::one_stream::<DisruptorSingle, B>(),
        Candidate::one_stream::<Rtrb, B>(),
    ]
}

fn shared_batch<const B: usize>() -> Vec<Candidate> {
    vec![
        Candidate::one_stream::<RinglogShared, B>(),
        Candidate::one_stream::<DisruptorMulti, B>(),
    ]
}

pub(super) fn scenarios(options: &ScenarioOptions) -> Vec<Scenario> {
    let case = |payload, batch, mut candidates: Vec<Candidate>, many| {
        candidates.extend(Candidate::lmax(options, many));
        let shape = Shape::one_to_one(options.ring_bytes);
        Case {
            label: String::new(),
            payload,
            batch,
            shape,
            rate: None,
            messages: Case::filling(&shape, payload),
            candidates,
        }
    };
    let sizes = || options.sizes.iter().copied();
    let scenario = |name, about, cases| Scenario { name, about, cases };
    let [single, many, batch, many_batch] = ONE_TO_ONE;
    vec![
        scenario(
            single,
            "one message a send, one producer allowed; 1 producer, 1 consumer",
            sizes()
                .map(|n| case(n, 1, exclusive_single(), false))
                .collect(),
        ),
        scenario(
            many,
            "one message a send, many producers allowed; 1 producer, 1 consumer",
            sizes().map(|n| case(n, 1, shared_single(), true)).collect(),
        ),
        scenario(
            batch,
            "16 or 256 messages a send, one producer allowed; 1 producer, 1 consumer",
            sizes()
                .flat_map(|n| {
                    [
                        case(n, 16, exclusive_batch::<16>(), false),
                        case(n, 256, exclusive_batch::<256>(), false),
                    ]
                })
                .collect(),
        ),
        scenario(
            many_batch,
            "16 or 256 messages a send, many producers allowed; 1 producer, 1 consumer",
            sizes()
                .flat_map(|n| {
                    [
                        case(n, 16, shared_batch::<16>(), true),
                        case(n, 256, shared_batch::<256>(), true),
                    ]
                })
                .collect(),
        ),
    ]
}
