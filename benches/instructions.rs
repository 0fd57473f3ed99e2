//! The number of instructions that each operation takes: the one measure of speed without noise.
//!
//! ```text
//! cargo bench --bench instructions                  compare with benches/instructions.txt
//! cargo bench --bench instructions -- --record      write it
//! ```
//!
//! Each operation runs under valgrind's callgrind for two repeat counts. The difference in
//! instructions, divided by the difference in counts, is the cost of one operation, its share of
//! the rolls included. A cost more than 3 % away from the recorded one, in either direction, is a
//! failure; an intended change is recorded. The numbers are those of one compiler; with another
//! one, they are shown and not judged.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)]

use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, ExclusiveProducer, Overflow, Producer, Record,
    Timestamps, Topic, TopicConfig,
};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Command, ExitCode};

/// A name, and a function that repeats the operation.
type Operation = (&'static str, fn(u64));

/// The counted operations.
const OPERATIONS: [Operation; 16] = [
    ("send, exclusive, 8 B", |n| {
        send(topic(1).exclusive_producer().unwrap(), [1; 8], n)
    }),
    ("send, exclusive, 64 B", |n| {
        send(topic(1).exclusive_producer().unwrap(), [1; 64], n)
    }),
    ("send, shared, 8 B", |n| {
        send(topic(1).producer(), [1; 8], n)
    }),
    ("send, shared, 64 B", |n| {
        send(topic(1).producer(), [1; 64], n)
    }),
    ("send, shared, 256 B", |n| {
        send(topic(1).producer(), [1; 256], n)
    }),
    ("send, shared, 64 B, keyed over 8 partitions", |n| {
        let mut producer = topic(8).producer();
        for i in 0..n {
            let key = black_box(i).to_ne_bytes();
            let record = Record::new(&[1; 64]).key(&key);
            black_box(producer.send(record).unwrap());
        }
    }),
    (
        "send_batch, 256 keyed over 3 partitions, 64 B, a record",
        |n| {
            let mut producer = topic(3).producer();
            let keys: Vec<_> = (0..256u64).map(u64::to_ne_bytes).collect();
            let records: Vec<_> = keys
                .iter()
                .map(|key| Record::new(&[1; 64]).key(key))
                .collect();
            for _ in 0..n / 256 {
                black_box(producer.send_batch(black_box(&records)).unwrap());
            }
        },
    ),
    (
        "send_batch, 256 without keys on one partition, 64 B, a record",
        |n| {
            let mut producer = topic(1).producer();
            let records = [Record::new(&[1; 64]); 256];
            for _ in 0..n / 256 {
                black_box(producer.send_batch(black_box(&records)).unwrap());
            }
        },
    ),
    ("send_values, 256 of 64 B, a record", |n| {
        let mut producer = topic(1).producer();
        let values = vec![[1u8; 64]; 256];
        for _ in 0..n / 256 {
            black_box(
                producer
                    .send_values(Destination::Any, black_box(&values))
                    .unwrap(),
            );
        }
    }),
    ("poll and read, 64 B, a record", |n| {
        read(|producer| drop(producer.send(Record::new(&[1; 64]))), 1, n);
    }),
    ("poll and read, batches of 256 keyed, 64 B, a record", |n| {
        let keys: Vec<_> = (0..256).map(|i| format!("user-{i:03}")).collect();
        let batch: Vec<_> = keys
            .iter()
            .map(|k| Record::new(&[1; 64][..]).key(k))
            .collect();
        read(|producer| drop(producer.send_batch(&batch)), 256, n);
    }),
    ("poll and read values, 256 of 64 B, a record", |n| {
        let values = vec![[1u8; 64]; 256];
        read(
            |producer| drop(producer.send_values(Destination::Any, &values)),
            256,
            n,
        );
    }),
    ("poll that finds nothing", |n| {
        let (_, mut consumer) = pair(ConsumerConfig::new());
        for _ in 0..n {
            black_box(consumer.try_poll().unwrap().len());
        }
    }),
    ("send, poll and read of one record, 64 B, exclusive", |n| {
        send_and_poll(ConsumerConfig::new(), n, |_| {});
    }),
    (
        "send, poll and read of one record, 64 B, by a group's member",
        |n| {
            let group = ConsumerConfig::new().group("g");
            send_and_poll(group, n, |_| {});
        },
    ),
    ("the same with a commit of each record", |n| {
        let group = ConsumerConfig::new().group("g").auto_commit(false);
        send_and_poll(group, n, |consumer| consumer.commit().unwrap());
    }),
];

/// Sends a record and reads it, `n` times, and calls `after` each time.
#[inline(always)]
fn send_and_poll(config: ConsumerConfig, n: u64, after: impl Fn(&mut Consumer)) {
    let (topic, mut consumer) = pair(config);
    let mut producer = topic.exclusive_producer().unwrap();
    let value = black_box([1u8; 64]);
    for _ in 0..n {
        producer.one(Record::new(&value));
        for record in &consumer.try_poll().unwrap() {
            black_box(record.value_bytes()[0]);
        }
        after(&mut consumer);
    }
}

/// A topic under `Backpressure` and its one consumer.
fn pair(config: ConsumerConfig) -> (Topic, Consumer) {
    let broker = Broker::new();
    let topic_config = TopicConfig::new()
        .segments(4)
        .segment_bytes(512 * 1024)
        .segment_records(16_384)
        .timestamps(Timestamps::Given);
    let topic = broker.create_topic("t", topic_config).unwrap();
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    (topic, consumer)
}

fn topic(partitions: u32) -> Topic {
    let config = TopicConfig::new()
        .partitions(partitions)
        .segments(4)
        .segment_bytes(512 * 1024)
        .segment_records(16_384)
        .overflow(Overflow::DropOldest)
        .timestamps(Timestamps::Given);
    Broker::new().create_topic("t", config).unwrap()
}

trait Sends {
    fn one(&mut self, record: Record<'_>);
}

impl Sends for Producer {
    #[inline(always)]
    fn one(&mut self, record: Record<'_>) {
        black_box(self.send(record).unwrap());
    }
}

impl Sends for ExclusiveProducer {
    #[inline(always)]
    fn one(&mut self, record: Record<'_>) {
        black_box(self.send(record).unwrap());
    }
}

fn send<const N: usize>(mut producer: impl Sends, mut value: [u8; N], n: u64) {
    for i in 0..n {
        value[..8].copy_from_slice(&i.to_ne_bytes());
        producer.one(Record::new(black_box(&value)));
    }
}

/// Fills a topic once and reads it repeatedly, until `n` records are read.
fn read(send: impl Fn(&mut Producer), records: u64, n: u64) {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(8_192)
        .segment_bytes(1 << 20)
        .timestamps(Timestamps::Given);
    let topic = broker.create_topic("t", config).unwrap();
    let mut producer = topic.producer();
    for _ in 0..8_192 / records {
        send(&mut producer);
    }
    let mut consumer: Consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    let mut sum = 0u64;
    let mut left = n;
    while left > 0 {
        let batch = consumer.try_poll().unwrap();
        left = left.saturating_sub(batch.len() as u64);
        if batch.is_empty() {
            consumer.seek(("t", 0), 0).unwrap();
            continue;
        }
        for record in &batch {
            sum += u64::from(record.value_bytes()[0]);
        }
    }
    black_box(sum);
}

// ---- counting ---------------------------------------------------------------------------

/// A multiple of every batch size, and several laps of the ring.
const FEW: u64 = 65_536;
const MANY: u64 = 4 * FEW;

/// The share by which a count may change.
const TOLERANCE: f64 = 0.03;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, child, operation, n] = &arguments[..] {
        if child == "--count" {
            let (_, run) = OPERATIONS[operation.parse::<usize>().unwrap()];
            run(n.parse().unwrap());
            return ExitCode::SUCCESS;
        }
    }
    match compare(arguments.iter().any(|a| a == "--record")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

fn compare(record: bool) -> Result<(), String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
    let recorded = std::fs::read_to_string(file).unwrap_or_default();
    let mut lines = recorded.lines();
    let judged = lines.next() == Some(&compiler()?);
    let old: BTreeMap<&str, f64> = lines
        .filter_map(|line| {
            let (count, name) = line.trim().split_once("  ")?;
            Some((name.trim(), count.parse().ok()?))
        })
        .collect();
    let mut new = format!("{}\n", compiler()?);
    let mut wrong = Vec::new();
    for (i, (name, _)) in OPERATIONS.iter().enumerate() {
        let count = (collected(i, MANY)? - collected(i, FEW)?) as f64 / (MANY - FEW) as f64;
        new += &format!("{count:8.1}  {name}\n");
        let change = old.get(name).map(|&old| count / old - 1.0);
        let shown = change.map_or("new".to_owned(), |c| format!("{:+.1} %", c * 100.0));
        println!("{count:8.1}  {shown:>8}  {name}");
        if change.is_none_or(|change| change.abs() > TOLERANCE) {
            wrong.push(format!("{name}: {shown}"));
        }
    }
    if record {
        return std::fs::write(file, new).map_err(|e| format!("{file}: {e}"));
    }
    if !judged {
        println!("recorded with another compiler, so not judged");
        return Ok(());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {} % away from benches/instructions.txt: {}. If the change is intended, \
         record it: cargo bench --bench instructions -- --record",
        TOLERANCE * 100.0,
        wrong.join("; ")
    ))
}

fn compiler() -> Result<String, String> {
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_err(|e| format!("rustc: {e}"))?;
    let version = String::from_utf8_lossy(&rustc.stdout);
    Ok(format!("{} {}", version.trim(), std::env::consts::ARCH))
}

/// Instructions of this program when it repeats operation `i` `n` times.
fn collected(i: usize, n: u64) -> Result<u64, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["--count", &i.to_string(), &n.to_string()])
        .output()
        .map_err(|e| format!("this bench needs valgrind (Debian package `valgrind`): {e}"))?;
    let output = String::from_utf8_lossy(&run.stderr);
    let count = output
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind did not count {}:\n{output}", OPERATIONS[i].0))
}
