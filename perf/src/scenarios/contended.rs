//! Several producers at once, all on one partition, or each on a partition of its own.

use super::scenario::{Candidate, Case, PAYLOAD, Scenario, ScenarioOptions};
use crate::systems::channels::CrossbeamArrayQueue;
use crate::systems::channels::CrossbeamChannel;
use crate::systems::channels::CrossfireMpsc;
use crate::systems::channels::Flume;
use crate::systems::channels::Kanal;
use crate::systems::channels::RapidfireMpsc;
use crate::systems::channels::TokioBroadcast;
use crate::systems::channels::{NexusMpsc, NexusQueueMpsc, NexusSpsc};
use crate::systems::combined::RingPerPartition;
use crate::systems::disruptor::DisruptorMulti;
use crate::systems::fetch_add::FetchAddRing;
use crate::systems::ringlog::RinglogShared;
use crate::systems::ringlog_routed::RinglogSharedPartitions;
use crate::systems::rtrb::Rtrb;
use crate::systems::system::Shape;

fn one_partition() -> Vec<Candidate> {
    vec![
        Candidate::many_streams::<RinglogShared>(),
        Candidate::many_streams::<DisruptorMulti>(),
        Candidate::many_streams::<CrossbeamArrayQueue>(),
        Candidate::many_streams::<CrossbeamChannel>(),
        Candidate::many_streams::<CrossfireMpsc>(),
        Candidate::many_streams::<Kanal>(),
        Candidate::many_streams::<Flume>(),
        Candidate::many_streams::<NexusMpsc>(),
        Candidate::many_streams::<NexusQueueMpsc>(),
        Candidate::many_streams::<RapidfireMpsc>(),
        Candidate::many_streams::<TokioBroadcast>(),
        Candidate::many_streams::<FetchAddRing>(),
    ]
}

fn own_partitions() -> Vec<Candidate> {
    vec![
        Candidate::many_streams::<RinglogSharedPartitions>(),
        Candidate::many_streams::<RingPerPartition<Rtrb>>().combined("a ring each"),
        Candidate::many_streams::<RingPerPartition<NexusSpsc>>().combined("a ring each"),
        Candidate::many_streams::<RingPerPartition<CrossbeamArrayQueue>>().combined("a queue each"),
    ]
}

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let mut cases = Vec::new();
    for producers in 2..=options.producers {
        for own in [false, true] {
            let shape = Shape {
                producers,
                partitions: if own { producers } else { 1 },
                ..Shape::one_to_one(options.ring_bytes)
            };
            let on = if own {
                "own partition"
            } else {
                "one partition"
            };
            cases.push(Case {
                label: format!("{producers} producers, {on}"),
                payload: PAYLOAD,
                batch: 1,
                shape,
                rate: None,
                messages: Case::filling(&shape, PAYLOAD),
                candidates: if own {
                    own_partitions()
                } else {
                    one_partition()
                },
            });
        }
    }
    Scenario {
        name: "contended",
        about: "2 or more producers on one partition, or each on its own; 1 consumer of all; 64 B",
        cases,
    }
}
