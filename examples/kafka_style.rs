//! Order processing as it is written for Kafka, in one process.
//!
//! Orders are sent to a topic of six partitions, keyed by customer. Two groups read every order:
//! three
//! `billing` workers add up what each customer owes, and two `shipping` workers count parcels.
//! Midway, one billing worker is killed while it handles a batch. The other workers take over its
//! partitions at its committed offsets. In the end, every cent and every parcel is counted once.
//!
//! ```text
//! cargo run --release --example kafka_style
//! ```

use ringlog::{
    Broker, ConsumeError, ConsumerConfig, Rebalance, RebalanceListener, Record, TopicConfig,
    TopicPartition,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TOPIC: &str = "orders";
const PARTITIONS: u32 = 6;
const ORDERS: u64 = 300_000;
const CUSTOMERS: u64 = 1_000;
/// One worker is killed after this many orders.
const KILL_AFTER: u64 = ORDERS / 4;

type Failure = Box<dyn Error + Send + Sync>;

/// The cents that each customer owes, and the next offset to bill in each partition. Both change
/// together, as in a transaction of a database.
#[derive(Default)]
struct Books {
    owed: BTreeMap<String, u64>,
    next: BTreeMap<u32, u64>,
    orders: u64,
    again: u64,
}

fn main() -> Result<(), Failure> {
    let start = Instant::now();
    let broker = Broker::new();
    // Small segments: uncommitted records of a group hold the producers back.
    let config = TopicConfig::new()
        .partitions(PARTITIONS)
        .segment_records(4096);
    broker.create_topic(TOPIC, config)?;

    let books = Mutex::new(Books::default());
    let parcels = AtomicU64::new(0);
    let killed = AtomicBool::new(false);
    // The groups exist before the first order, so that they miss none.
    for group in ["billing", "shipping"] {
        let mut first = broker.consumer(ConsumerConfig::new().group(group))?;
        first.subscribe([TOPIC])?;
        first.try_poll()?;
    }
    thread::scope(|scope| -> Result<(), Failure> {
        let mut threads = vec![scope.spawn(|| take_orders(&broker))];
        for worker in 0..3 {
            let (broker, books, killed) = (&broker, &books, &killed);
            threads.push(scope.spawn(move || bill(broker, worker, books, killed)));
        }
        for _ in 0..2 {
            threads.push(scope.spawn(|| ship(&broker, &parcels)));
        }
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })?;

    // The same sums, computed from the orders themselves.
    let mut expected = BTreeMap::new();
    for (customer, cents) in (0..ORDERS).map(order) {
        *expected.entry(customer).or_insert(0) += cents;
    }
    let books = books.into_inner()?;
    assert!(killed.into_inner());
    assert_eq!(books.owed, expected);
    assert_eq!(books.orders, ORDERS);
    assert_eq!(parcels.into_inner(), ORDERS);
    for name in broker.group_names() {
        let group = broker.describe_group(&name)?;
        assert!(group.partitions.iter().all(|p| p.lag() == Some(0)));
        println!(
            "{name}: {} partitions read to their ends, in {} generations",
            group.partitions.len(),
            group.generation
        );
    }
    println!(
        "{ORDERS} orders of {} customers, {} cents, each billed once \
         ({} read again after the kill), in {:?}",
        books.owed.len(),
        books.owed.values().sum::<u64>(),
        books.again,
        start.elapsed()
    );
    Ok(())
}

/// Customer and cents of an order.
fn order(number: u64) -> (String, u64) {
    let customer = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % CUSTOMERS;
    (format!("customer-{customer:03}"), 100 + number % 9_900)
}

fn take_orders(broker: &Broker) -> Result<(), Failure> {
    let mut producer = broker.topic(TOPIC)?.producer();
    for number in 0..ORDERS {
        let (customer, cents) = order(number);
        // A customer's orders stay in order, in one partition.
        producer.send(Record::new(&cents.to_le_bytes()).key(&customer))?;
    }
    Ok(())
}

/// Prints the partitions that a worker is assigned and loses.
struct Print(u32);

impl RebalanceListener for Print {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        println!(
            "billing {}: assigned {}",
            self.0,
            numbers(rebalance.partitions())
        );
    }

    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        println!(
            "billing {}: revoked {}",
            self.0,
            numbers(rebalance.partitions())
        );
    }
}

fn numbers(partitions: &[TopicPartition]) -> String {
    let numbers = partitions.iter().map(|p| p.partition.to_string());
    numbers.collect::<Vec<_>>().join(" ")
}

/// Bills orders, and commits each batch once it is in the books.
fn bill(
    broker: &Broker,
    worker: u32,
    books: &Mutex<Books>,
    killed: &AtomicBool,
) -> Result<(), Failure> {
    let config = ConsumerConfig::new().group("billing").auto_commit(false);
    let mut consumer = broker.consumer(config)?;
    consumer.subscribe_with([TOPIC], Print(worker))?;
    loop {
        let batch = consumer.poll(Duration::from_millis(5))?;
        let mut books = books.lock().map_err(|_| "another worker panicked")?;
        let Some(partition) = batch.partition() else {
            if books.orders == ORDERS {
                return Ok(());
            }
            continue;
        };
        let kill = books.orders > KILL_AFTER && !killed.swap(true, Ordering::Relaxed);
        for record in &batch {
            // Orders that the killed worker billed and did not commit are read again.
            let next = books.next.entry(partition).or_insert(0);
            if record.offset() < *next {
                books.again += 1;
                continue;
            }
            *next = record.offset() + 1;
            let customer = std::str::from_utf8(record.key().unwrap_or_default())?;
            let cents = u64::from_le_bytes(record.value_bytes().try_into()?);
            *books.owed.entry(customer.to_owned()).or_insert(0) += cents;
            books.orders += 1;
        }
        if kill {
            println!("billing {worker}: killed after {} orders", books.orders);
            return Ok(()); // without a commit
        }
        drop(books);
        match consumer.commit() {
            // Too slow: another worker has its partitions. The next poll joins again.
            Ok(()) | Err(ConsumeError::Fenced { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
}

/// Counts parcels; its polls commit automatically.
fn ship(broker: &Broker, parcels: &AtomicU64) -> Result<(), Failure> {
    let mut consumer = broker.consumer(ConsumerConfig::new().group("shipping"))?;
    consumer.subscribe([TOPIC])?;
    loop {
        let batch = consumer.poll(Duration::from_millis(5))?;
        let shipped = parcels.fetch_add(batch.len() as u64, Ordering::Relaxed);
        if batch.is_empty() && shipped == ORDERS {
            return Ok(());
        }
    }
}
