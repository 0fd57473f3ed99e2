//! One producer, one consumer: single messages and batches.

use super::{Case, Choice, Entry, Scenario};
use crate::system::Shape;
use crate::system::array_queue::CrossbeamArrayQueue;
use crate::system::crossbeam_channel::CrossbeamChannel;
use crate::system::crossfire::{CrossfireMpsc, CrossfireSpsc};
use crate::system::disruptor::{DisruptorMulti, DisruptorSingle};
use crate::system::flume::Flume;
use crate::system::kanal::Kanal;
use crate::system::nexus_logbuf::{NexusMpsc, NexusSpsc};
use crate::system::ringlog::{RinglogExclusive, RinglogShared};
use crate::system::rtrb::Rtrb;
use crate::system::tokio_broadcast::TokioBroadcast;

/// The names of the four, in order.
pub(crate) const NAMES: [&str; 4] = [
    "exclusive-single",
    "shared-single",
    "exclusive-batch",
    "shared-batch",
];

fn exclusive_single() -> Vec<Entry> {
    vec![
        Entry::of::<RinglogExclusive, 1>(),
        Entry::of::<DisruptorSingle, 1>(),
        Entry::of::<Rtrb, 1>(),
        Entry::of::<NexusSpsc, 1>(),
        Entry::of::<CrossfireSpsc, 1>(),
    ]
}

fn shared_single() -> Vec<Entry> {
    vec![
        Entry::of::<RinglogShared, 1>(),
        Entry::of::<DisruptorMulti, 1>(),
        Entry::of::<CrossbeamArrayQueue, 1>(),
        Entry::of::<CrossbeamChannel, 1>(),
        Entry::of::<CrossfireMpsc, 1>(),
        Entry::of::<Kanal, 1>(),
        Entry::of::<Flume, 1>(),
        Entry::of::<NexusMpsc, 1>(),
        Entry::of::<TokioBroadcast, 1>(),
    ]
}

fn exclusive_batch<const B: usize>() -> Vec<Entry> {
    vec![
        Entry::of::<RinglogExclusive, B>(),
        Entry::of::<DisruptorSingle, B>(),
        Entry::of::<Rtrb, B>(),
    ]
}

fn shared_batch<const B: usize>() -> Vec<Entry> {
    vec![
        Entry::of::<RinglogShared, B>(),
        Entry::of::<DisruptorMulti, B>(),
    ]
}

pub(super) fn scenarios(choice: &Choice) -> Vec<Scenario> {
    let case = |payload, batch, mut entries: Vec<Entry>, many| {
        entries.extend(Entry::lmax(choice, many));
        let shape = Shape::one_to_one(choice.ring_bytes);
        Case {
            label: String::new(),
            payload,
            batch,
            shape,
            rate: None,
            messages: Case::filling(&shape, payload),
            entries,
        }
    };
    let sizes = || choice.sizes.iter().copied();
    let scenario = |name, about, cases| Scenario { name, about, cases };
    let [single, many, batch, many_batch] = NAMES;
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
