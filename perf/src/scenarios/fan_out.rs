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
        about: "1 producer, and 1, 2, 3 and more consumers, as many as there are cores, that each \
                read every message; 64 B; with the producer's time",
        cases: numbers(options.cores).into_iter().map(case).collect(),
    }
}

/// The numbers of consumers: 1 to 3 everywhere; then powers of two, and all that have a core beside
/// the producer's.
fn numbers(cores: usize) -> Vec<usize> {
    let most = cores.saturating_sub(1);
    let mut numbers = vec![1, 2, 3];
    numbers.extend(
        (2..)
            .map(|power| 1 << power)
            .take_while(|&number| number < most),
    );
    numbers.extend((most > 3).then_some(most));
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_go_up_to_all_cores_but_the_producers() {
        assert_eq!(numbers(1), [1, 2, 3]);
        assert_eq!(numbers(4), [1, 2, 3]);
        assert_eq!(numbers(5), [1, 2, 3, 4]);
        assert_eq!(numbers(16), [1, 2, 3, 4, 8, 15]);
        assert_eq!(numbers(32), [1, 2, 3, 4, 8, 16, 31]);
    }
}
