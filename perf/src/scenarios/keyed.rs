//! Keys hashed over partitions: beside the same sends without keys, beside the same producer alone,
//! and what a keyed send consists of.

use super::alone::{self, Times};
use super::scenario::{Candidate, Case, PAYLOAD, Scenario, ScenarioOptions, mebibytes};
use crate::systems::channels::CrossbeamArrayQueue;
use crate::systems::combined::RingPerPartition;
use crate::systems::ringlog_default::DefaultKeys;
use crate::systems::ringlog_routed::{
    RinglogExclusiveKeys, RinglogExclusiveKeysInGroup, RinglogExclusivePartitions,
    RinglogSharedKeys, RinglogSharedKeysInGroup, RinglogSharedPartitions,
};
use crate::systems::rtrb::Rtrb;
use crate::systems::system::Shape;

const PARTITIONS: usize = 8;

/// Keys of 8 bytes, sent in turn.
const KEYS: usize = 256;

/// Partitions of the pairs, and whether their ring fits into the cache.
const PAIRS: [(usize, bool); 5] = [(4, true), (8, true), (4, false), (8, false), (32, false)];

/// The partitions of what a keyed send consists of.
const ALONE: usize = 4;

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let case = |label: String, shape, candidates| Case {
        label,
        payload: PAYLOAD,
        batch: 1,
        shape,
        rate: None,
        messages: Case::filling(&shape, PAYLOAD),
        candidates,
    };
    let shape = |partitions, ring_bytes| Shape {
        partitions,
        streams: KEYS,
        ..Shape::one_to_one(ring_bytes)
    };
    let ring = |in_cache| match in_cache {
        true => options.ring_bytes / 2,
        false => options.ring_bytes * 16,
    };
    let usual = shape(PARTITIONS, options.ring_bytes);
    let mut cases = vec![
        case(
            "keys".to_owned(),
            usual,
            vec![
                Candidate::many_streams::<RinglogExclusiveKeys>(),
                Candidate::many_streams::<RinglogSharedKeys>(),
            ],
        ),
        case(
            "keys, consumer in a group".to_owned(),
            usual,
            vec![
                Candidate::many_streams::<RinglogExclusiveKeysInGroup>(),
                Candidate::many_streams::<RinglogSharedKeysInGroup>(),
            ],
        ),
        case(
            "no keys, each partition in turn".to_owned(),
            usual,
            vec![
                Candidate::many_streams::<RinglogExclusivePartitions>(),
                Candidate::many_streams::<RinglogSharedPartitions>(),
                Candidate::many_streams::<RingPerPartition<Rtrb>>().combined("8 rings"),
                Candidate::many_streams::<RingPerPartition<CrossbeamArrayQueue>>()
                    .combined("8 queues"),
            ],
        ),
    ];
    for (partitions, in_cache) in PAIRS {
        let ring = ring(in_cache);
        let size = mebibytes(ring);
        cases.push(case(
            format!("pair and producer alone, {partitions} partitions of {size} in all"),
            shape(partitions, ring),
            vec![
                Candidate::many_streams::<DefaultKeys>().named("ringlog, pair"),
                alone::candidate("producer alone", true, Times::System),
            ],
        ));
    }
    let ring = ring(true);
    let alone = Shape {
        consumers: 0,
        ..shape(ALONE, ring)
    };
    cases.push(case(
        format!(
            "producer alone, {ALONE} partitions of {} in all",
            mebibytes(ring)
        ),
        alone,
        vec![
            alone::candidate("key, system's clock", true, Times::System),
            alone::candidate("key, ManualClock", true, Times::Manual),
            alone::candidate("key, no time", true, Times::None),
            alone::candidate("no key, system's clock", false, Times::System),
            alone::candidate("no key, no time", false, Times::None),
            alone::floor(),
        ],
    ));
    Scenario {
        name: "keyed",
        about: "256 keys hashed over 8 partitions, compared with sends to the same partitions in \
                turn without keys; the consumer outside and in a group; 1 producer, 1 consumer of \
                all; 64 B. No peer has keys. Then a pair with the default settings beside the \
                same producer alone, whose log drops its oldest records and has no reader; and \
                what the time of the producer alone consists of",
        cases,
    }
}
