//! The cost of idle partitions, topics and consumers: one record at a time is sent, polled and
//! read on one thread, beside more and more of them.

use super::scenario::{Candidate, Case, MessageCount, PAYLOAD, Scenario, ScenarioOptions};
use crate::failure::Failure;
use crate::machine::cores::consumer_core;
use crate::measure::job::{Job, Outcome};
use crate::message::source::Source;
use crate::message::tally::{OneStreamTally, Reader, Tally};
use crate::systems::system::{Shape, SystemKind};
use crate::versions::version;
use ringlog::{
    Broker, Consumer, ConsumerConfig, ExclusiveProducer, Overflow, Record, Timestamps, TopicConfig,
};
use std::thread;
use std::time::Instant;

/// The topic in use.
const TOPIC: &str = "used";

/// Records of a segment: few, so that ten thousand partitions fit into memory.
const RECORDS: u32 = 256;

/// The parts of the broker.
#[derive(Clone, Copy)]
struct BrokerParts {
    /// Partitions of the topic, one of them in use. The consumer reads all.
    partitions: u32,
    /// Topics, one of them in use. The consumer reads that one.
    topics: u32,
    /// Consumers of the topic, one of which polls.
    consumers: u32,
}

const ONE: BrokerParts = BrokerParts {
    partitions: 1,
    topics: 1,
    consumers: 1,
};

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let case = |label: &str, all: Vec<(u32, BrokerParts)>| Case {
        label: label.to_owned(),
        payload: PAYLOAD,
        batch: 1,
        shape: Shape {
            producers: 0,
            ..Shape::one_to_one(0)
        },
        rate: None,
        messages: MessageCount::Fit {
            least: 1 << 10,
            most: 1 << 22,
        },
        candidates: all
            .into_iter()
            .map(|(count, parts)| candidate(count, parts))
            .collect(),
    };
    // Creating a topic copies the list of all, so ten thousand take most of a second.
    let most_topics = if options.quick { 1_000 } else { 10_000 };
    let partitions = |partitions| (partitions, BrokerParts { partitions, ..ONE });
    let topics = |topics| (topics, BrokerParts { topics, ..ONE });
    let consumers = |consumers| (consumers, BrokerParts { consumers, ..ONE });
    Scenario {
        name: "idle",
        about: "one record at a time sent, polled and read on one thread, beside idle partitions \
                that the consumer reads as well, idle topics, or idle consumers; 64 B",
        cases: vec![
            case(
                "partitions",
                [1, 10, 100, 1_000, 10_000].map(partitions).into(),
            ),
            case("topics", [1, most_topics].map(topics).into()),
            case("consumers", [1, 100].map(consumers).into()),
        ],
    }
}

fn candidate(count: u32, parts: BrokerParts) -> Candidate {
    Candidate {
        system: format!("ringlog exclusive, {count}"),
        version: version("ringlog").to_owned(),
        kind: SystemKind::Ringlog,
        run: Box::new(move |job| {
            let cores = &job.plan.cores;
            thread::scope(|scope| {
                let thread = scope.spawn(move || {
                    cores.pin(consumer_core(0, 1))?;
                    run(job, parts)
                });
                thread.join().map_err(|_| "the thread panicked")?
            })
        }),
    }
}

fn run(job: &Job<'_>, parts: BrokerParts) -> Result<Outcome, Failure> {
    let broker = Broker::new();
    let (mut producer, mut consumer) = open(&broker, parts)?;
    let _idle: Vec<Consumer> = (1..parts.consumers)
        .map(|_| subscribed(&broker))
        .collect::<Result<_, _>>()?;
    let partition = parts.partitions / 2;
    let mut source = Source::<PAYLOAD, 1>::new(0, 1);
    let mut tally = <OneStreamTally as Tally<PAYLOAD>>::new(1);
    let start = Instant::now();
    while Tally::<PAYLOAD>::count(&tally) < job.messages {
        for [message] in source.next() {
            producer.send(Record::new(message).partition(partition))?;
            for record in &consumer.try_poll()? {
                tally.read(<&[u8; PAYLOAD]>::try_from(record.value_bytes())?);
            }
        }
    }
    let time = start.elapsed();
    Tally::<PAYLOAD>::check(&tally, job.messages)?;
    Ok(Outcome::of_time(job.messages, time))
}

fn open(broker: &Broker, parts: BrokerParts) -> Result<(ExclusiveProducer, Consumer), Failure> {
    let config = |partitions| {
        TopicConfig::new()
            .partitions(partitions)
            .segments(2)
            .segment_records(RECORDS)
            .segment_bytes(RECORDS as usize * PAYLOAD)
            // Consumers that never poll do not hold back the producer.
            .overflow(Overflow::DropOldest)
            .timestamps(Timestamps::Given)
    };
    let topic = broker.create_topic(TOPIC, config(parts.partitions))?;
    for idle in 1..parts.topics {
        broker.create_topic(&format!("idle-{idle}"), config(1))?;
    }
    Ok((topic.exclusive_producer()?, subscribed(broker)?))
}

fn subscribed(broker: &Broker) -> Result<Consumer, Failure> {
    let mut consumer = broker.consumer(ConsumerConfig::new())?;
    consumer.subscribe([TOPIC])?;
    Ok(consumer)
}
