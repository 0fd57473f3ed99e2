//! The plan of a round: it follows entirely from the seed and the round's number.

use crate::soak::rng::{Rng, mix};
use ringlog::{Murmur2, Overflow, Timestamps, TopicConfig, WaitStrategy};
use std::fmt;
use std::time::Duration;

/// The rounds in which every segment size meets both policies, with and without exclusive
/// producers.
#[cfg(test)]
const CYCLE: u64 = 6;

/// The topics of one round, which all run at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoundPlan {
    pub(crate) seed: u64,
    pub(crate) number: u64,
    pub(crate) topics: Vec<TopicPlan>,
}

/// The size of a topic's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentSize {
    /// A few records: every thread rolls all the time.
    Tiny,
    Medium,
    /// Some ten thousand records: most of the volume. Threads that share a core need not wait for
    /// each other after every few of them.
    Large,
}

/// A topic and its threads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    /// Makes its records different from those of all other topics.
    pub(crate) salt: u64,
    pub(crate) size: SegmentSize,
    pub(crate) overflow: Overflow,
    pub(crate) partitions: u32,
    pub(crate) segments: u32,
    pub(crate) records: u32,
    pub(crate) bytes: usize,
    pub(crate) timestamps: Timestamps,
    pub(crate) murmur2: bool,
    pub(crate) wait: WaitStrategy,
    pub(crate) max_block: Duration,
    /// Words of the values that `send_values` sends: 2, 3 or 6.
    pub(crate) width: usize,
    /// Exclusive producers use the topic, one after the other.
    pub(crate) exclusive: bool,
    pub(crate) producers: u64,
    /// Consumers that stay for the whole round, and threads whose consumers come and go.
    pub(crate) steady: u64,
    pub(crate) transient: u64,
}

impl RoundPlan {
    pub(crate) fn new(seed: u64, number: u64) -> RoundPlan {
        let sizes = [SegmentSize::Tiny, SegmentSize::Medium, SegmentSize::Large];
        let topics = (0..).zip(sizes).map(|(i, size)| {
            // Policies and kinds of producers alternate: chance alone may omit a combination.
            let overflow = match (number + i) % 2 {
                0 => Overflow::Backpressure,
                _ => Overflow::DropOldest,
            };
            let exclusive = (number / 2 + i) % 3 == 0;
            let rng = &mut Rng::new(seed, &[number, i]);
            TopicPlan::new(format!("topic-{i}"), size, overflow, exclusive, rng)
        });
        RoundPlan {
            seed,
            number,
            topics: topics.collect(),
        }
    }
}

impl TopicPlan {
    fn new(
        name: String,
        size: SegmentSize,
        overflow: Overflow,
        exclusive: bool,
        rng: &mut Rng,
    ) -> TopicPlan {
        let (records, bytes) = match size {
            SegmentSize::Tiny => (rng.between(1, 9), rng.between(200, 900)),
            SegmentSize::Medium => (rng.between(50, 4_000), rng.between(4_000, 130_000)),
            SegmentSize::Large => (rng.between(15_001, 60_000), rng.between(400_000, 2_000_000)),
        };
        TopicPlan {
            name,
            salt: mix(rng.next()),
            size,
            overflow,
            partitions: rng.between(1, if size == SegmentSize::Tiny { 5 } else { 3 }) as u32,
            segments: rng.between(2, 6) as u32,
            records: records as u32,
            bytes: bytes as usize,
            timestamps: rng.pick([Timestamps::Append, Timestamps::Given]),
            murmur2: rng.one_in(4),
            // Not `BusySpin`: with more threads than cores it keeps the thread that it waits for
            // from running.
            wait: match rng.between(0, 3) {
                0 => WaitStrategy::Yield,
                1 => WaitStrategy::Backoff,
                _ => WaitStrategy::Block,
            },
            // Under `Backpressure` short enough that `send` is refused sometimes. Under
            // `DropOldest` a refusal is a fault, so a slow machine gets more time.
            max_block: match overflow {
                Overflow::Backpressure => rng.pick([2, 20, 200].map(Duration::from_millis)),
                Overflow::DropOldest => Duration::from_secs(30),
            },
            width: rng.pick([2, 2, 3, 6]),
            exclusive,
            producers: rng.between(2, if exclusive { 2 } else { 4 }),
            steady: rng.between(1, 2),
            transient: rng.between(1, 2),
        }
    }

    pub(crate) fn gated(&self) -> bool {
        self.overflow == Overflow::Backpressure
    }

    pub(crate) fn config(&self) -> TopicConfig {
        let config = TopicConfig::new()
            .partitions(self.partitions)
            .segments(self.segments)
            .segment_records(self.records)
            .segment_bytes(self.bytes)
            .overflow(self.overflow)
            .timestamps(self.timestamps)
            .wait(self.wait.clone())
            .max_block(self.max_block);
        if self.murmur2 {
            config.partitioner(Murmur2)
        } else {
            config
        }
    }

    /// The length of the value that fills a segment, in a record with a timestamp only.
    pub(crate) fn largest(&self) -> usize {
        self.bytes.next_multiple_of(8) - 8
    }
}

/// `policy partitions x segments x records/bytes, producers > steady + transient consumers`.
impl fmt::Display for TopicPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = match self.overflow {
            Overflow::Backpressure => "backpressure",
            Overflow::DropOldest => "drop-oldest",
        };
        let kind = if self.exclusive { "x" } else { "" };
        write!(
            f,
            "{policy} {}x{}x{}/{} {}{kind}>{}+{}",
            self.partitions,
            self.segments,
            self.records,
            self.bytes,
            self.producers,
            self.steady,
            self.transient
        )
    }
}

/// One line that describes the round.
impl fmt::Display for RoundPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.topics.iter().map(TopicPlan::to_string).collect();
        write!(f, "round {:3}: {}", self.number, topics.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_round_can_be_repeated_and_differs_from_all_others() {
        assert_eq!(RoundPlan::new(5, 9), RoundPlan::new(5, 9));
        assert_ne!(RoundPlan::new(5, 9).topics, RoundPlan::new(5, 10).topics);
        assert_ne!(RoundPlan::new(5, 9).topics, RoundPlan::new(6, 9).topics);
    }

    #[test]
    fn a_cycle_has_every_mix() {
        let mixes: HashSet<_> = (0..CYCLE)
            .flat_map(|number| RoundPlan::new(1, number).topics)
            .map(|topic| (topic.size as u8, topic.overflow, topic.exclusive))
            .collect();
        assert_eq!(mixes.len(), 3 * 2 * 2);
    }

    #[test]
    fn every_plan_is_a_topic() {
        let broker = ringlog::Broker::new();
        for number in 0..20 {
            for topic in RoundPlan::new(3, number).topics {
                broker.create_topic(&topic.name, topic.config()).unwrap();
                broker.delete_topic(&topic.name).unwrap();
            }
        }
    }
}
