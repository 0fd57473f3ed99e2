//! A first look at ringlog: a topic, keyed messages, reading, seeking back, and speed.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

use core_affinity::CoreId;
use ringlog::{
    Batch, BatchError, Broker, Consumer, ConsumerConfig, Producer, Record, TopicConfig,
    WaitStrategy,
};
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    // Queried once, before any thread is pinned: a pinned thread sees only its own core.
    let cores = core_affinity::get_core_ids().unwrap_or_default();

    let broker = Broker::new();
    first_steps(&broker)?;
    speed(&broker, &cores)?;
    Ok(())
}

// ---- five messages, three partitions ----------------------------------------------------

fn first_steps(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let topic = broker.create_topic("user-events", TopicConfig::new().partitions(3))?;

    println!("Sending to \"{}\":", topic.name());
    let mut producer = topic.producer();
    for (user, event) in [
        ("user-001", "login"),
        ("user-002", "sign-up"),
        ("user-001", "purchase"),
        ("user-003", "login"),
        ("user-002", "logout"),
    ] {
        // Equal keys go to the same partition, so each user's events keep their order.
        let sent = producer.send(Record::new(event).key(user))?;
        println!(
            "  {user} {event:9} -> partition {} offset {}",
            sent.partition, sent.offset
        );
    }

    println!("\nReading all partitions:");
    let mut consumer = broker.consumer(ConsumerConfig::new())?;
    consumer.subscribe(["user-events"])?;
    let mut read = 0;
    loop {
        // A batch borrows the records of one partition from the log, without a copy.
        let batch = consumer.poll(Duration::from_millis(10))?;
        if batch.is_empty() {
            break;
        }
        print_records(&batch);
        read += batch.len();
    }
    if read != 5 {
        return Err(format!("sent 5 records and read {read}").into());
    }

    // Records stay in the log after they are read. Partition 0, unless it has no records.
    let is_used = |&partition: &u32| topic.log_end_offset(partition).is_ok_and(|end| end > 0);
    let partition = (0..topic.partitions()).find(is_used).unwrap_or(0);
    println!("\nBack to offset 0 of partition {partition}:");
    consumer.seek(("user-events", partition), 0)?;
    let batch = consumer.poll(Duration::from_millis(10))?;
    print_records(&batch);
    if batch.partition() != Some(partition) {
        return Err("the seek did not lead back".into());
    }
    Ok(())
}

fn print_records(batch: &Batch<'_>) {
    for record in batch {
        println!(
            "  partition {} offset {}  {} {}",
            batch.partition().unwrap_or_default(),
            record.offset(),
            String::from_utf8_lossy(record.key().unwrap_or_default()),
            String::from_utf8_lossy(record.value_bytes())
        );
    }
}

// ---- millions of messages, two threads --------------------------------------------------

const MESSAGES: u64 = 5_000_000;
/// Records of one `send_batch`.
const BATCH: usize = 250;
/// Bytes of a value. Its first 8 hold the message's number.
const VALUE: usize = 64;
const USERS: usize = 1000;
/// How often all retained records are read again.
const REPLAYS: u32 = 20;

fn speed(broker: &Broker, cores: &[CoreId]) -> Result<(), Box<dyn Error>> {
    // Under back-pressure, the default, producers wait for consumers: nothing is lost.
    let config = TopicConfig::new()
        .partitions(3)
        .wait(WaitStrategy::Yield)
        .prefault(true);
    let topic = broker.create_topic("speed", config)?;
    let mut producer = topic.producer();
    let mut consumer = broker.consumer(ConsumerConfig::new().max_poll_records(4096))?;
    consumer.subscribe(["speed"])?;

    let start = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let sender = scope.spawn(move || {
            pin(cores.first());
            send_all(&mut producer).map(|()| start.elapsed())
        });
        let receiver = scope.spawn(|| {
            pin(cores.get(1));
            receive_all(&mut consumer).map(|seen| (seen, start.elapsed()))
        });
        (sender.join(), receiver.join())
    });
    let send_time = sent.map_err(|_| "the sender panicked")??;
    let (seen, read_time) = received.map_err(|_| "the receiver panicked")??;

    // Nothing is lost or duplicated: every offset of every partition, every message once.
    for (partition, &next) in seen.next_offsets.iter().enumerate() {
        if next != topic.log_end_offset(partition as u32)? {
            return Err(format!("partition {partition} was read only up to {next}").into());
        }
    }
    if (seen.records, seen.numbers) != (MESSAGES, MESSAGES * (MESSAGES - 1) / 2) {
        return Err(format!("{} of {MESSAGES} messages were read", seen.records).into());
    }
    let [a, b, c] = seen.next_offsets;
    let millions = MESSAGES / 1_000_000;
    println!("\n{millions} M keyed messages of {VALUE} bytes, batches of {BATCH}, 3 partitions:");
    println!("  all read in order: {a} + {b} + {c} offsets without a gap");

    let (replayed, replay_time) = replay(&mut consumer)?;

    println!("\n                                             ringlog    the original design");
    print_rate("sent, while a consumer reads", MESSAGES, send_time, "1.93");
    print_rate("read, while they are sent", MESSAGES, read_time, "");
    print_rate(
        "read again, nothing sent meanwhile",
        replayed,
        replay_time,
        "139",
    );
    println!(
        "\nIn millions of messages a second. The live reader cannot be faster than the sender.\n\
         Read again: the {} retained messages, {REPLAYS} times; the offset, key and value\n\
         of each are located, and the bytes are not examined. The original's figures are its\n\
         published ones, from another machine.",
        replayed / u64::from(REPLAYS)
    );
    if cores.len() < 2 {
        println!("This machine has one core: sender and receiver shared it.");
    }
    Ok(())
}

/// Pins the current thread, if there is a core for it.
fn pin(core: Option<&CoreId>) {
    if let Some(&core) = core {
        core_affinity::set_for_current(core);
    }
}

fn send_all(producer: &mut Producer) -> Result<(), BatchError> {
    let keys: Vec<String> = (0..USERS).map(|user| format!("user-{user:04}")).collect();
    let mut values = [[b'.'; VALUE]; BATCH];
    let mut number = 0u64;
    while number < MESSAGES {
        for value in &mut values {
            value[..8].copy_from_slice(&number.to_le_bytes());
            number += 1;
        }
        let first = number as usize - BATCH;
        // Records only borrow: the send copies keys and values into the log.
        let records: [Record<'_>; BATCH] = std::array::from_fn(|i| {
            Record::new(&values[i]).key(keys[(first + i) % USERS].as_str())
        });
        producer.send_batch(&records)?;
    }
    Ok(())
}

/// What the reader has read.
#[derive(Default)]
struct Seen {
    records: u64,
    /// The sum of the numbers of all messages.
    numbers: u64,
    next_offsets: [u64; 3],
}

fn receive_all(consumer: &mut Consumer) -> Result<Seen, String> {
    let mut seen = Seen::default();
    while seen.records < MESSAGES {
        let polled = consumer.poll(Duration::from_secs(5));
        let batch = polled.map_err(|error| error.to_string())?;
        let Some(partition) = batch.partition() else {
            return Err("no message for 5 seconds".to_owned());
        };
        let next = &mut seen.next_offsets[partition as usize];
        for record in &batch {
            if record.offset() != *next {
                return Err(format!("read offset {} instead of {next}", record.offset()));
            }
            *next += 1;
            let number = record
                .value_bytes()
                .first_chunk()
                .ok_or("a value is too short")?;
            seen.numbers += u64::from_le_bytes(*number);
        }
        seen.records += batch.len() as u64;
    }
    Ok(seen)
}

/// Reads all retained records `REPLAYS` times; returns the number of records, and the time.
fn replay(consumer: &mut Consumer) -> Result<(u64, Duration), Box<dyn Error>> {
    let partitions = consumer.assignment();
    let (mut records, mut bytes) = (0u64, 0u64);
    let start = Instant::now();
    for _ in 0..REPLAYS {
        for at in &partitions {
            consumer.seek_to_beginning(at)?;
        }
        loop {
            let batch = consumer.try_poll()?;
            if batch.is_empty() {
                break;
            }
            let mut offset = None;
            for record in &batch {
                if offset.is_some_and(|last| record.offset() != last + 1) {
                    return Err("an offset is missing".into());
                }
                offset = Some(record.offset());
                bytes += (record.value_bytes().len() + record.key().map_or(0, <[u8]>::len)) as u64;
            }
            records += batch.len() as u64;
        }
    }
    let time = start.elapsed();
    if bytes != records * (VALUE + "user-0000".len()) as u64 {
        return Err("a record was read with other bytes".into());
    }
    Ok((records, time))
}

fn print_rate(what: &str, messages: u64, time: Duration, original: &str) {
    let rate = messages as f64 / time.as_secs_f64() / 1e6;
    println!("  {what:36} {rate:>13.1} {original:>22}");
}
