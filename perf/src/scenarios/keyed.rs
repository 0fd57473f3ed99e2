//! Keys hashed over partitions, compared with the same sends without keys.

use super::scenario::{Candidate, Case, PAYLOAD, Scenario, ScenarioOptions};
use crate::systems::channels::CrossbeamArrayQueue;
use crate::systems::combined::RingPerPartition;
use crate::systems::ringlog_routed::{
    RinglogExclusiveKeys, RinglogExclusiveKeysInGroup, RinglogExclusivePartitions,
    RinglogSharedKeys, RinglogSharedKeysInGroup, RinglogSharedPartitions,
};
use crate::systems::rtrb::Rtrb;
use crate::systems::system::Shape;

const PARTITIONS: usize = 8;

/// Keys of 8 bytes, sent in turn.
const KEYS: usize = 256;

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let shape = Shape {
        partitions: PARTITIONS,
        streams: KEYS,
        ..Shape::one_to_one(options.ring_bytes)
    };
    let case = |label: &str, candidates| Case {
        label: label.to_owned(),
        payload: PAYLOAD,
        batch: 1,
        shape,
        rate: None,
        messages: Case::filling(&shape, PAYLOAD),
        candidates,
    };
    Scenario {
        name: "keyed",
        about: "256 keys hashed over 8 partitions, compared with sends to the same partitions in \
                turn without keys; the consumer outside and in a group; 1 producer, 1 consumer of \
                all; 64 B. No peer has keys",
        cases: vec![
            case(
                "keys",
                vec![
                    Candidate::many_streams::<RinglogExclusiveKeys>(),
                    Candidate::many_streams::<RinglogSharedKeys>(),
                ],
            ),
            case(
                "keys, consumer in a group",
                vec![
                    Candidate::many_streams::<RinglogExclusiveKeysInGroup>(),
                    Candidate::many_streams::<RinglogSharedKeysInGroup>(),
                ],
            ),
            case(
                "no keys, partitions by turns",
                vec![
                    Candidate::many_streams::<RinglogExclusivePartitions>(),
                    Candidate::many_streams::<RinglogSharedPartitions>(),
                    Candidate::many_streams::<RingPerPartition<Rtrb>>().combined("8 rings"),
                    Candidate::many_streams::<RingPerPartition<CrossbeamArrayQueue>>()
                        .combined("8 queues"),
                ],
            ),
        ],
    }
}
