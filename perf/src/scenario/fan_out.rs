//! Several consumers that each read all.

use super::{Case, Choice, Entry, PAYLOAD, Scenario};
use crate::system::Shape;
use crate::system::bus::Bus;
use crate::system::disruptor::{DisruptorFanOut, DisruptorSingle};
use crate::system::each::EachConsumer;
use crate::system::ringlog::RinglogExclusive;
use crate::system::rtrb::Rtrb;
use crate::system::tokio_broadcast::TokioBroadcast;

pub(super) fn scenario(choice: &Choice) -> Scenario {
    let case = |consumers| {
        let shape = Shape {
            consumers,
            ..Shape::one_to_one(choice.ring_bytes)
        };
        Case {
            label: match consumers {
                1 => "1 consumer".to_owned(),
                more => format!("{more} consumers"),
            },
            payload: PAYLOAD,
            batch: 1,
            shape,
            rate: None,
            messages: Case::filling(&shape, PAYLOAD),
            entries: vec![
                Entry::of::<RinglogExclusive, 1>(),
                if consumers == 1 {
                    Entry::of::<DisruptorSingle, 1>()
                } else {
                    Entry::of::<DisruptorFanOut, 1>()
                },
                Entry::of::<EachConsumer<Rtrb>, 1>().put_together("a ring each"),
                Entry::of::<Bus, 1>(),
                Entry::of::<TokioBroadcast, 1>(),
            ],
        }
    };
    Scenario {
        name: "fan-out",
        about: "1 producer, and 1, 2 or 3 consumers that each read all; 64 B; with the time of \
                the producer's side",
        cases: (1..=3).map(case).collect(),
    }
}
