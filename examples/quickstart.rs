//! A first look at ringlog: a topic, keyed messages, reading, seeking back, and speed.
//!
//! ```text
//! cargo run --release --example quickstart
//! ```

use core_affinity::CoreId;
use ringlog::{
    Batch, Broker, Consumer, ConsumerConfig, GatheringConfig, Producer, Record, TopicConfig,
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
/// How often all retained records are read again, in each way.
const REPLAYS: u32 = 20;

/// How the messages are sent.
#[derive(Clone, Copy)]
enum Sending {
    Singly,
    InBatches,
    /// Singly, by a producer that gathers the records of each partition.
    Gathered,
}

/// Messages, and the time that they took.
type Rate = (u64, Duration);

struct Rates {
    sent: Rate,
    handed_out: Rate,
    looked_at: Rate,
}

fn speed(broker: &Broker, cores: &[CoreId]) -> Result<(), Box<dyn Error>> {
    let singly = rates(broker, cores, Sending::Singly)?;
    let in_batches = rates(broker, cores, Sending::InBatches)?;
    let gathered = rates(broker, cores, Sending::Gathered)?;
    let rate = |(messages, time): Rate| messages as f64 / time.as_secs_f64() / 1e6;
    println!(
        "\nMillions of messages a second      sent singly   in batches     gathered   the original"
    );
    let print = |what: &str, of: fn(&Rates) -> Rate, original: &str| {
        let [singly, in_batches, gathered] =
            [&singly, &in_batches, &gathered].map(|rates| rate(of(rates)));
        println!("  {what:30} {singly:13.1} {in_batches:12.1} {gathered:12.1} {original:>14}");
    };
    print("sent, while a consumer reads", |r| r.sent, "1.93");
    print("read again: handed out", |r| r.handed_out, "139");
    print("read again: each looked at", |r| r.looked_at, "-");
    println!(
        "\nSent: until the consumer has read and checked the last one. Read again: all retained\n\
         messages, {REPLAYS} times, while nothing is sent. Handed out is what the original counted: the\n\
         consumer gets batches, and looks at no message. Looked at: offset, key and value of each.\n\
         The original's figures are its published ones, from another machine."
    );
    if cores.len() < 2 {
        println!("This machine has one core: sender and receiver shared it.");
    }
    Ok(())
}

/// Sends all messages to one consumer, checks that it has read each of them once and in order, and
/// reads what is retained again.
fn rates(broker: &Broker, cores: &[CoreId], sending: Sending) -> Result<Rates, Box<dyn Error>> {
    // Under back-pressure, the default, producers wait for consumers: nothing is lost.
    let config = TopicConfig::new()
        .partitions(3)
        .wait(WaitStrategy::Yield)
        .prefault(true);
    let (name, how) = match sending {
        Sending::Singly => ("singly", "one by one"),
        Sending::InBatches => ("in-batches", "in batches of 250"),
        Sending::Gathered => ("gathered", "gathered by partition"),
    };
    let topic = broker.create_topic(name, config)?;
    let producer = topic.producer();
    let mut consumer = broker.consumer(ConsumerConfig::new().max_poll_records(4096))?;
    consumer.subscribe([name])?;

    let start = Instant::now();
    let (sent, received) = thread::scope(|scope| {
        let sender = scope.spawn(move || {
            pin(cores.first());
            send_all(producer, sending)
        });
        let receiver = scope.spawn(|| {
            pin(cores.get(1));
            receive_all(&mut consumer).map(|seen| (seen, start.elapsed()))
        });
        (sender.join(), receiver.join())
    });
    sent.map_err(|_| "the sender panicked")?
        .map_err(|error| error.to_string())?;
    let (seen, time) = received.map_err(|_| "the receiver panicked")??;

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
    println!("\n{millions} M keyed messages of {VALUE} bytes, sent {how} to 3 partitions:");
    println!("  all read in order: {a} + {b} + {c} offsets without a gap");

    let handed_out = replay(&mut consumer, |batch| Ok(batch.len() as u64))?;
    let looked_at = replay(&mut consumer, look_at_all)?;
    if handed_out.0 != looked_at.0 {
        return Err("not all was read again".into());
    }
    Ok(Rates {
        sent: (MESSAGES, time),
        handed_out,
        looked_at,
    })
}

/// Pins the current thread, if there is a core for it.
fn pin(core: Option<&CoreId>) {
    if let Some(&core) = core {
        core_affinity::set_for_current(core);
    }
}

fn send_all(mut producer: Producer, sending: Sending) -> Result<(), Box<dyn Error + Send + Sync>> {
    match sending {
        Sending::Singly => each_batch(|batch| {
            for &record in batch {
                producer.send(record)?;
            }
            Ok(())
        }),
        Sending::InBatches => each_batch(|batch| {
            producer.send_batch(batch)?;
            Ok(())
        }),
        Sending::Gathered => {
            let mut producer = producer.gathering(GatheringConfig::new());
            each_batch(|batch| {
                for &record in batch {
                    producer.send(record)?;
                }
                Ok(())
            })?;
            producer.flush()?;
            Ok(())
        }
    }
}

/// Makes all messages, and hands them to `send`, 250 at a time.
fn each_batch(
    mut send: impl FnMut(&[Record<'_>]) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let keys: Vec<String> = (0..USERS).map(|user| format!("user-{user:04}")).collect();
    let mut values = [[b'.'; VALUE]; BATCH];
    let mut number = 0u64;
    while number < MESSAGES {
        let first = number as usize;
        for value in &mut values {
            value[..8].copy_from_slice(&number.to_le_bytes());
            number += 1;
        }
        // Records only borrow: the send copies keys and values into the log.
        let record = |i: usize| Record::new(&values[i]).key(keys[(first + i) % USERS].as_str());
        let records: [Record<'_>; BATCH] = std::array::from_fn(record);
        send(&records)?;
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

/// Reads all retained records `REPLAYS` times; `read` returns the number of a batch's records.
fn replay(
    consumer: &mut Consumer,
    read: impl Fn(&Batch<'_>) -> Result<u64, String>,
) -> Result<Rate, Box<dyn Error>> {
    let partitions = consumer.assignment();
    let mut records = 0;
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
            records += read(&batch)?;
        }
    }
    Ok((records, start.elapsed()))
}

/// Looks at the offset, the key and the value of each record.
fn look_at_all(batch: &Batch<'_>) -> Result<u64, String> {
    let offsets = batch.first_offset().unwrap_or_default()..;
    let mut wrong = 0u64;
    for (offset, record) in offsets.zip(batch) {
        let (key, value) = (record.key().unwrap_or_default(), record.value_bytes());
        let right = record.offset() == offset
            && key.first() == Some(&b'u')
            && value.last() == Some(&b'.')
            && (key.len(), value.len()) == ("user-0000".len(), VALUE);
        wrong += u64::from(!right);
    }
    match wrong {
        0 => Ok(batch.len() as u64),
        _ => Err(format!("{wrong} records were read with other bytes")),
    }
}
