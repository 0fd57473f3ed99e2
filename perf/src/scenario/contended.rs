//! Several producers at once, all on one partition, or each on its own.

use super::{Case, Choice, Entry, PAYLOAD, Scenario};
use crate::system::Shape;
use crate::system::array_queue::CrossbeamArrayQueue;
use crate::system::crossbeam_channel::CrossbeamChannel;
use crate::system::crossfire::CrossfireMpsc;
use crate::system::disruptor::DisruptorMulti;
use crate::system::each::EachPartition;
use crate::system::flume::Flume;
use crate::system::kanal::Kanal;
use crate::system::nexus_logbuf::{NexusMpsc, NexusSpsc};
use crate::system::ringlog::RinglogShared;
use crate::system::ringlog_routed::RinglogSharedPartitions;
use crate::system::rtrb::Rtrb;
use crate::system::tokio_broadcast::TokioBroadcast;

fn one_partition() -> Vec<Entry> {
    vec![
        Entry::lanes::<RinglogShared>(),
        Entry::lanes::<DisruptorMulti>(),
        Entry::lanes::<CrossbeamArrayQueue>(),
        Entry::lanes::<CrossbeamChannel>(),
        Entry::lanes::<CrossfireMpsc>(),
        Entry::lanes::<Kanal>(),
        Entry::lanes::<Flume>(),
        Entry::lanes::<NexusMpsc>(),
        Entry::lanes::<TokioBroadcast>(),
    ]
}

fn own_partition() -> Vec<Entry> {
    vec![
        Entry::lanes::<RinglogSharedPartitions>(),
        Entry::lanes::<EachPartition<Rtrb>>().put_together("a ring each"),
        Entry::lanes::<EachPartition<NexusSpsc>>().put_together("a ring each"),
        Entry::lanes::<EachPartition<CrossbeamArrayQueue>>().put_together("a queue each"),
    ]
}

pub(super) fn scenario(choice: &Choice) -> Scenario {
    let mut cases = Vec::new();
    for producers in 2..=choice.producers {
        for own in [false, true] {
            let shape = Shape {
                producers,
                partitions: if own { producers } else { 1 },
                ..Shape::one_to_one(choice.ring_bytes)
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
                entries: if own {
                    own_partition()
                } else {
                    one_partition()
                },
            });
        }
    }
    Scenario {
        name: "contended",
        about: "2 and more producers on one partition, or each on its own; 1 consumer of all; 64 B",
        cases,
    }
}
