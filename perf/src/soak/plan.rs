//! What a round is made of: all of it follows from the seed and the round's number.

use super::dice::{Dice, mix};
use ringlog::{Murmur2, Overflow, Timestamps, TopicConfig, WaitStrategy};
use std::fmt;
use std::time::Duration;

/// Rounds until every size of segments has had both policies with and without exclusive
/// producers.
#[cfg(test)]
const CYCLE: u64 = 6;

/// The topics of one round, which run at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoundPlan {
    pub(crate) seed: u64,
    pub(crate) number: u64,
    pub(crate) topics: Vec<TopicPlan>,
}

/// How large a topic's segments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A few records: every thread rolls all the time.
    Tiny,
    Medium,
    /// Some ten thousand records, so that threads that take turns on a core need not wait for
    /// each other after every few of them: the bulk goes here.
    Large,
}

/// A topic and its threads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicPlan {
    pub(crate) name: String,
    /// Makes its records different from those of all other topics.
    pub(crate) salt: u64,
    pub(crate) size: Size,
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
    /// Producers take the topic for themselves, one after the other.
    pub(crate) exclusive: bool,
    pub(crate) producers: u64,
    /// Consumers that stay for the whole round, and threads of consumers that come and go.
    pub(crate) steady: u64,
    pub(crate) transient: u64,
}

impl RoundPlan {
    pub(crate) fn new(seed: u64, number: u64) -> RoundPlan {
        let sizes = [Size::Tiny, Size::Medium, Size::Large];
        let topics = (0..).zip(sizes).map(|(i, size)| {
            // Policy and kind of producers take turns: chance alone may leave a mix out.
            let overflow = match (number + i) % 2 {
                0 => Overflow::Backpressure,
                _ => Overflow::DropOldest,
            };
            let exclusive = (number / 2 + i) % 3 == 0;
            let dice = &mut Dice::new(seed, &[number, i]);
            TopicPlan::new(format!("topic-{i}"), size, overflow, exclusive, dice)
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
        size: Size,
        overflow: Overflow,
        exclusive: bool,
        dice: &mut Dice,
    ) -> TopicPlan {
        let (records, bytes) = match size {
            Size::Tiny => (dice.between(1, 9), dice.between(200, 900)),
            Size::Medium => (dice.between(50, 4_000), dice.between(4_000, 130_000)),
            Size::Large => (
                dice.between(15_001, 60_000),
                dice.between(400_000, 2_000_000),
            ),
        };
        TopicPlan {
            name,
            salt: mix(dice.next()),
            size,
            overflow,
            partitions: dice.between(1, if size == Size::Tiny { 5 } else { 3 }) as u32,
            segments: dice.between(2, 6) as u32,
            records: records as u32,
            bytes: bytes as usize,
            timestamps: dice.pick([Timestamps::Append, Timestamps::Given]),
            murmur2: dice.one_in(4),
            // Not `BusySpin`: with more threads than cores it keeps from running whoever it
            // waits for.
            wait: match dice.between(0, 3) {
                0 => WaitStrategy::Yield,
                1 => WaitStrategy::Backoff,
                _ => WaitStrategy::Block,
            },
            // Under `Backpressure` short enough that `send` comes to refuse as well.
            // Under `DropOldest` a refusal is a failure, so a slow machine gets its time.
            max_block: match overflow {
                Overflow::Backpressure => dice.pick([2, 20, 200].map(Duration::from_millis)),
                Overflow::DropOldest => Duration::from_secs(30),
            },
            width: dice.pick([2, 2, 3, 6]),
            exclusive,
            producers: dice.between(2, if exclusive { 2 } else { 4 }),
            steady: dice.between(1, 2),
            transient: dice.between(1, 2),
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

    /// The value of a record with a time and nothing else that fills a segment to its end.
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

/// One line that says what runs.
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
    fn a_round_can_be_made_again_and_no_other_is_like_it() {
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
