//! Keys hashed over partitions, beside the same sends without keys.

use super::{Case, Choice, Entry, PAYLOAD, Scenario};
use crate::system::Shape;
use crate::system::array_queue::CrossbeamArrayQueue;
use crate::system::each::EachPartition;
use crate::system::ringlog_routed::{
    RinglogExclusiveKeys, RinglogExclusiveKeysInGroup, RinglogExclusivePartitions,
    RinglogSharedKeys, RinglogSharedKeysInGroup, RinglogSharedPartitions,
};
use crate::system::rtrb::Rtrb;

const PARTITIONS: usize = 8;

/// Keys of 8 bytes, sent in turn.
const KEYS: usize = 256;

pub(super) fn scenario(choice: &Choice) -> Scenario {
    let shape = Shape {
        partitions: PARTITIONS,
        lanes: KEYS,
        ..Shape::one_to_one(choice.ring_bytes)
    };
    let case = |label: &str, entries| Case {
        label: label.to_owned(),
        payload: PAYLOAD,
        batch: 1,
        shape,
        rate: None,
        messages: Case::filling(&shape, PAYLOAD),
        entries,
    };
    Scenario {
        name: "keyed",
        about: "256 keys hashed over 8 partitions, beside sends to the same partitions by turns \
                without keys; the consumer outside and in a group; 1 producer, 1 consumer of all; 64 B. No peer has keys",
        cases: vec![
            case(
                "keys",
                vec![
                    Entry::lanes::<RinglogExclusiveKeys>(),
                    Entry::lanes::<RinglogSharedKeys>(),
                ],
            ),
            case(
                "keys, consumer in a group",
                vec![
                    Entry::lanes::<RinglogExclusiveKeysInGroup>(),
                    Entry::lanes::<RinglogSharedKeysInGroup>(),
                ],
            ),
            case(
                "no keys, partitions by turns",
                vec![
                    Entry::lanes::<RinglogExclusivePartitions>(),
                    Entry::lanes::<RinglogSharedPartitions>(),
                    Entry::lanes::<EachPartition<Rtrb>>().put_together("8 rings"),
                    Entry::lanes::<EachPartition<CrossbeamArrayQueue>>().put_together("8 queues"),
                ],
            ),
        ],
    }
}
