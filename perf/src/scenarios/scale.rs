//! More and more producers and consumers, up to the number of cores, and beyond it.
//!
//! A case has one kind of work for a number of threads. A further way to send, such as another
//! gathering, is a system in `systems/ringlog_default.rs` and a line in the function of its kind.

use super::scenario::{Candidate, Case, PAYLOAD, Scenario, ScenarioOptions};
use crate::systems::channels::{CrossbeamArrayQueue, CrossfireMpsc, NexusSpsc};
use crate::systems::combined::RingPerPair;
use crate::systems::disruptor::DisruptorMulti;
use crate::systems::fetch_add::FetchAddRing;
use crate::systems::ringlog::RinglogShared;
use crate::systems::ringlog_default::{
    DefaultKeys, DefaultKeysBatch, DefaultKeysGathered, DefaultKeysValues, DefaultPartitions,
    DefaultPartitionsValues,
};
use crate::systems::ringlog_routed::RinglogPartitionPairs;
use crate::systems::rtrb::Rtrb;
use crate::systems::system::Shape;

/// Keys of each producer.
const KEYS: usize = 128;

/// Partitions for each producer, where messages have keys.
const PARTITIONS: usize = 4;

/// Threads for each core in the largest cases.
const MOST_PER_CORE: usize = 4;

/// Each producer sends to its partition, and each partition has a consumer.
fn own_partitions() -> Vec<Candidate> {
    vec![
        Candidate::many_streams::<RinglogPartitionPairs>(),
        Candidate::many_streams::<DefaultPartitions>(),
        Candidate::many_streams::<DefaultPartitionsValues>(),
        Candidate::many_streams::<RingPerPair<Rtrb>>().combined("a ring each"),
        Candidate::many_streams::<RingPerPair<NexusSpsc>>().combined("a ring each"),
    ]
}

/// Each producer sends to all partitions, by key.
fn keyed() -> Vec<Candidate> {
    vec![
        Candidate::many_streams::<DefaultKeys>(),
        Candidate::many_streams::<DefaultKeysGathered>(),
        // Gathered by hand.
        Candidate::many_streams::<DefaultKeysValues>(),
        Candidate::many_streams::<DefaultKeysBatch>(),
    ]
}

/// All producers send to one partition, which one consumer reads.
fn one_partition() -> Vec<Candidate> {
    vec![
        Candidate::many_streams::<RinglogShared>(),
        Candidate::many_streams::<DefaultPartitions>(),
        Candidate::many_streams::<DefaultPartitionsValues>(),
        Candidate::many_streams::<CrossbeamArrayQueue>(),
        Candidate::many_streams::<CrossfireMpsc>(),
        Candidate::many_streams::<DisruptorMulti>(),
        Candidate::many_streams::<FetchAddRing>(),
    ]
}

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let case = |kind: &str, shape: Shape, candidates| Case {
        label: format!("{kind}, {}P {}C", shape.producers, shape.consumers),
        payload: PAYLOAD,
        batch: 1,
        shape,
        rate: None,
        messages: Case::filling(&shape, PAYLOAD),
        candidates,
    };
    let mut cases = Vec::new();
    for pairs in pairs(options) {
        // Twice the payload, for keys and times.
        let shape = Shape {
            producers: pairs,
            consumers: pairs,
            partitions: pairs,
            ..Shape::one_to_one(2 * options.ring_bytes * pairs)
        };
        cases.push(case("own partition each", shape, own_partitions()));
        let shape = Shape {
            partitions: PARTITIONS * pairs,
            streams: KEYS,
            ..shape
        };
        let partitions = shape.partitions;
        cases.push(case(
            &format!("keyed, {partitions} partitions"),
            shape,
            keyed(),
        ));
    }
    for producers in producers(options) {
        let shape = Shape {
            producers,
            ..Shape::one_to_one(2 * options.ring_bytes)
        };
        cases.push(case("one partition", shape, one_partition()));
    }
    Scenario {
        name: "scale",
        about: "P producers and C consumers at once, up to all cores and to four threads a core; \
                each on its own partition, keyed over 4 x P partitions which the consumers share, \
                or all producers on one partition; time per message of all producers together, \
                and million messages a second in all; 64 B",
        cases,
    }
}

/// The numbers of producers, each with a consumer: powers of two up to all cores, and then up to
/// the most threads.
fn pairs(options: &ScenarioOptions) -> Vec<usize> {
    let powers = (0..).map(|power| 1 << power);
    let numbers = powers.take_while(|pairs| 2 * pairs <= MOST_PER_CORE * options.cores);
    let numbers: Vec<usize> = numbers.collect();
    let fitting = |&pairs: &usize| pairs == 1 || 2 * pairs <= options.cores;
    let between = |&pairs: &usize| !fitting(&pairs) && Some(&pairs) != numbers.last();
    let kept = numbers.iter().copied();
    kept.filter(|pairs| !(options.quick && between(pairs)))
        .collect()
}

/// The numbers of producers of one partition: powers of two, and all cores but the consumer's;
/// then as many threads as two and four a core.
fn producers(options: &ScenarioOptions) -> Vec<usize> {
    let fitting = options.cores.saturating_sub(1).max(1);
    let powers = (0..).map(|power| 1 << power);
    let mut numbers: Vec<usize> = powers.take_while(|&number| number < fitting).collect();
    numbers.push(fitting);
    if !options.quick {
        numbers.push(2 * options.cores - 1);
    }
    numbers.push(MOST_PER_CORE * options.cores - 1);
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(cores: usize, quick: bool) -> ScenarioOptions {
        ScenarioOptions {
            sizes: vec![64],
            ring_bytes: 1 << 16,
            producers: 2,
            cores,
            quick,
            lmax: None,
        }
    }

    #[test]
    fn threads_go_up_to_all_cores_and_to_four_times_as_many() {
        assert_eq!(pairs(&options(2, false)), [1, 2, 4]);
        assert_eq!(pairs(&options(16, false)), [1, 2, 4, 8, 16, 32]);
        assert_eq!(producers(&options(2, false)), [1, 3, 7]);
        assert_eq!(producers(&options(16, false)), [1, 2, 4, 8, 15, 31, 63]);
        assert_eq!(pairs(&options(1, false)), [1, 2]);
        assert_eq!(producers(&options(1, false)), [1, 3]);
    }

    #[test]
    fn quick_leaves_out_what_lies_between_the_cores_and_the_most_threads() {
        assert_eq!(pairs(&options(2, true)), [1, 4]);
        assert_eq!(pairs(&options(16, true)), [1, 2, 4, 8, 32]);
        assert_eq!(producers(&options(2, true)), [1, 7]);
        assert_eq!(producers(&options(16, true)), [1, 2, 4, 8, 15, 63]);
    }
}
