//! An order-processing program as one writes it for Kafka, in one process.
//!
//! Orders go to a topic of six partitions, keyed by customer. Two groups read all of them: three
//! `billing` workers add up what each customer owes, and two `shipping` workers count parcels.
//! Midway one billing worker is killed over a batch that it has begun to work on. The others take
//! its partitions over where it had committed, and in the end every cent and every parcel is there
//! once.
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
/// Of so many orders billed one worker dies.
const UNTIL_DEATH: u64 = ORDERS / 4;

type Failure = Box<dyn Error + Send + Sync>;

/// What customers owe, in cents, and how far that goes in each partition: changed together, as by
/// a transaction of a database.
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
    // Small segments: what a group has not committed holds the producers back.
    let config = TopicConfig::new()
        .partitions(PARTITIONS)
        .segment_records(4096);
    broker.create_topic(TOPIC, config)?;

    let books = Mutex::new(Books::default());
    let parcels = AtomicU64::new(0);
    let killed = AtomicBool::new(false);
    // The groups are there before the first order, so that they miss none.
    for group in ["billing", "shipping"] {
        let mut first = broker.consumer(ConsumerConfig::new().group(group));
        first.subscribe(&[TOPIC])?;
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

    // The same, worked out from the orders themselves.
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
        "{ORDERS} orders of {} customers, {} cents, all there once ({} seen again after the death), in {:?}",
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

/// Tells which partitions a worker has.
struct Says(u32);

impl RebalanceListener for Says {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        println!(
            "billing {}: gets {}",
            self.0,
            numbers(rebalance.partitions())
        );
    }

    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        println!(
            "billing {}: gives {}",
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
    let mut consumer = broker.consumer(config);
    consumer.subscribe_with(&[TOPIC], Says(worker))?;
    loop {
        let batch = consumer.poll(Duration::from_millis(5))?;
        let mut books = books.lock().map_err(|_| "the books are lost")?;
        if batch.is_empty() {
            if books.orders == ORDERS {
                return Ok(());
            }
            continue;
        }
        let dies = books.orders > UNTIL_DEATH && !killed.swap(true, Ordering::Relaxed);
        let partition = batch.partition();
        for record in &batch {
            // What a worker had done and not committed when it died is seen once more.
            let next = books.next.entry(partition).or_insert(0);
            if record.offset() < *next {
                books.again += 1;
                continue;
            }
            *next = record.offset() + 1;
            let customer = std::str::from_utf8(record.key().unwrap_or_default())?;
            let cents = u64::from_le_bytes(record.value().try_into()?);
            *books.owed.entry(customer.to_owned()).or_insert(0) += cents;
            books.orders += 1;
        }
        if dies {
            println!("billing {worker}: dies after {} orders", books.orders);
            return Ok(()); // without a commit
        }
        drop(batch);
        drop(books);
        match consumer.commit() {
            // It was too slow, and another has its partitions: the next poll joins again.
            Ok(()) | Err(ConsumeError::Fenced { .. }) => {}
            Err(other) => return Err(other.into()),
        }
    }
}

/// Counts parcels, and leaves the committing to its polls.
fn ship(broker: &Broker, parcels: &AtomicU64) -> Result<(), Failure> {
    let mut consumer = broker.consumer(ConsumerConfig::new().group("shipping"));
    consumer.subscribe(&[TOPIC])?;
    loop {
        let batch = consumer.poll(Duration::from_millis(5))?;
        let shipped = parcels.fetch_add(batch.len() as u64, Ordering::Relaxed);
        if batch.is_empty() && shipped == ORDERS {
            return Ok(());
        }
    }
}
