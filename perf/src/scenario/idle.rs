//! What partitions, topics and consumers cost that nobody uses: one record is sent, polled and read
//! at a time, on one thread, beside more and more of them.

use super::{Case, Entry, Messages, PAYLOAD, Scenario};
use crate::cores::consumer_place;
use crate::measure::{Failure, Job, Outcome};
use crate::source::Source;
use crate::system::{Kind, Shape};
use crate::tally::{InOrder, Reader, Tally};
use crate::versions::version;
use ringlog::{
    Broker, Consumer, ConsumerConfig, ExclusiveProducer, Overflow, Record, Timestamps, TopicConfig,
};
use std::thread;
use std::time::Instant;

/// The topic that is used.
const TOPIC: &str = "used";

/// Records of a segment: few, so that ten thousand partitions fit into any machine's memory.
const RECORDS: u32 = 256;

/// What there is.
#[derive(Clone, Copy)]
struct There {
    /// Partitions of the topic, of which one is used. The consumer reads all.
    partitions: u32,
    /// Topics, of which one is used. The consumer reads that.
    topics: u32,
    /// Consumers of the topic, of which one polls.
    consumers: u32,
}

const ONE: There = There {
    partitions: 1,
    topics: 1,
    consumers: 1,
};

pub(super) fn scenario() -> Scenario {
    let case = |label: &str, all: Vec<(u32, There)>| Case {
        label: label.to_owned(),
        payload: PAYLOAD,
        batch: 1,
        shape: Shape {
            producers: 0,
            ..Shape::one_to_one(0)
        },
        rate: None,
        messages: Messages::Fit {
            least: 1 << 10,
            most: 1 << 22,
        },
        entries: all
            .into_iter()
            .map(|(count, there)| entry(count, there))
            .collect(),
    };
    let partitions = |partitions| (partitions, There { partitions, ..ONE });
    let topics = |topics| (topics, There { topics, ..ONE });
    let consumers = |consumers| (consumers, There { consumers, ..ONE });
    Scenario {
        name: "idle",
        about: "one record sent, polled and read at a time on one thread, beside partitions that \
                the consumer reads as well, topics, or consumers that nobody uses; 64 B",
        cases: vec![
            case(
                "partitions",
                [1, 10, 100, 1_000, 10_000].map(partitions).into(),
            ),
            case("topics", [1, 10_000].map(topics).into()),
            case("consumers", [1, 100].map(consumers).into()),
        ],
    }
}

fn entry(count: u32, there: There) -> Entry {
    Entry {
        system: format!("ringlog exclusive, {count}"),
        version: version("ringlog").to_owned(),
        kind: Kind::Ringlog,
        run: Box::new(move |job| {
            let cores = &job.plan.cores;
            thread::scope(|scope| {
                let thread = scope.spawn(move || {
                    cores.pin(consumer_place(0, 1))?;
                    run(job, there)
                });
                thread.join().map_err(|_| "the thread panicked")?
            })
        }),
    }
}

fn run(job: &Job<'_>, there: There) -> Result<Outcome, Failure> {
    let broker = Broker::new();
    let (mut producer, mut consumer) = open(&broker, there)?;
    let _idle: Vec<Consumer> = (1..there.consumers)
        .map(|_| subscribed(&broker))
        .collect::<Result<_, _>>()?;
    let partition = there.partitions / 2;
    let mut source = Source::<PAYLOAD, 1>::new(0, 1);
    let mut tally = <InOrder as Tally<PAYLOAD>>::new(1);
    let start = Instant::now();
    while Tally::<PAYLOAD>::count(&tally) < job.messages {
        for [message] in source.next() {
            producer.send(Record::new(message).partition(partition))?;
            for record in &consumer.try_poll()? {
                tally.read(<&[u8; PAYLOAD]>::try_from(record.value())?);
            }
        }
    }
    let time = start.elapsed();
    Tally::<PAYLOAD>::check(&tally, job.messages)?;
    Ok(Outcome {
        messages: job.messages,
        time,
        producers: None,
        latency: None,
    })
}

fn open(broker: &Broker, there: There) -> Result<(ExclusiveProducer, Consumer), Failure> {
    let config = |partitions| {
        TopicConfig::new()
            .partitions(partitions)
            .segments(2)
            .segment_records(RECORDS)
            .segment_bytes(RECORDS as usize * PAYLOAD)
            // Consumers that never poll do not hold it back.
            .overflow(Overflow::DropOldest)
            .timestamps(Timestamps::Given)
    };
    let topic = broker.create_topic(TOPIC, config(there.partitions))?;
    for idle in 1..there.topics {
        broker.create_topic(&format!("idle-{idle}"), config(1))?;
    }
    Ok((topic.exclusive_producer()?, subscribed(broker)?))
}

fn subscribed(broker: &Broker) -> Result<Consumer, Failure> {
    let mut consumer = broker.consumer(ConsumerConfig::new());
    consumer.subscribe(&[TOPIC])?;
    Ok(consumer)
}
