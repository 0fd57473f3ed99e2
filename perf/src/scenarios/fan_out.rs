//! Several consumers that each read every message.

use super::scenario::{Candidate, Case, PAYLOAD, Scenario, ScenarioOptions};
use crate::systems::channels::Bus;
use crate::systems::channels::TokioBroadcast;
use crate::systems::combined::RingPerConsumer;
use crate::systems::disruptor::{DisruptorFanOut, DisruptorSingle};
use crate::systems::ringlog::RinglogExclusive;
use crate::systems::rtrb::Rtrb;
use crate::systems::system::Shape;

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let case = |consumers| {
        let shape = Shape {
            consumers,
            ..Shape::one_to_one(options.ring_bytes)
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
            candidates: vec![
                Candidate::one_stream::<RinglogExclusive, 1>(),
                if consumers == 1 {
                    Candidate::one_stream::<DisruptorSingle, 1>()
                } else {
                    Candidate::one_stream::<DisruptorFanOut, 1>()
                },
                Candidate::one_stream::<RingPerConsumer<Rtrb>, 1>().combined("a ring each"),
                Candidate::one_stream::<Bus, 1>(),
                Candidate::one_stream::<TokioBroadcast, 1>(),
            ],
        }
    };
    Scenario {
        name: "fan-out",
        about: "1 producer, and 1, 2 or 3 consumers that each read every message; 64 B; with the \
                producer's time",
        cases: (1..=3).map(case).collect(),
    }
}
