//! A monitored program: a live page, and a scrape target for Prometheus.
//!
//! ```text
//! cargo run --release --example dashboard --features prometheus
//! cargo run --release --example dashboard --features prometheus -- --port 9102 --seconds 60
//! ```
//!
//! Three topics show every kind of reader. `ticks` drops its oldest records: one of its two
//! consumers keeps up, and the other is lapped repeatedly. `orders` is shared by the two members of
//! a group, one of which joins and leaves from time to time. `mail` has a slow consumer that its
//! producer has to wait for.
//!
//! `/` is the page, `/metrics` the text for Prometheus, and `/snapshot.json` the data that the page
//! draws. The server is minimal, for this example only: it listens on 127.0.0.1 alone.

mod server;

use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Destination, Overflow, Record, SendError,
    Topic, TopicConfig,
};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// Set when the threads have to stop.
static STOPPED: AtomicBool = AtomicBool::new(false);

fn is_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

fn main() -> Result<(), Failure> {
    let (port, seconds) = arguments()?;
    let broker = Broker::new();
    let small = TopicConfig::new().segment_bytes(64 * 1024);
    let ticks = small.clone().partitions(2).segments(8).segment_records(512);
    let ticks = broker.create_topic("ticks", ticks.overflow(Overflow::DropOldest))?;
    let orders = small.clone().partitions(3).segments(6).segment_records(512);
    let orders = broker.create_topic("orders", orders)?;
    let mail = small.segments(4).segment_records(128);
    let mail = mail.max_block(Duration::from_millis(400));
    let mail = broker.create_topic("mail", mail)?;

    let named = |name| ConsumerConfig::new().client_id(name);
    let subscribed = |config, topic: &str| {
        let mut consumer = broker.consumer(config)?;
        consumer.subscribe([topic]).map(|()| consumer)
    };
    let chart = subscribed(named("chart"), "ticks")?;
    let audit = subscribed(named("audit").max_poll_records(150), "ticks")?;
    let mailer = subscribed(named("mailer").max_poll_records(20), "mail")?;
    let worker = subscribed(named("worker-1").group("billing"), "orders")?;

    let server = server::Server::bind(port)?;
    println!("http://{}/", server.address()?);
    thread::scope(|scope| -> Result<(), Failure> {
        let mut threads = vec![
            scope.spawn(|| tick(&ticks)),
            scope.spawn(|| order(&orders)),
            scope.spawn(|| write_mail(&mail)),
            scope.spawn(|| read(chart, Duration::ZERO)),
            scope.spawn(|| read(audit, Duration::from_millis(330))),
            scope.spawn(|| read(mailer, Duration::from_millis(120))),
            scope.spawn(|| read(worker, Duration::from_millis(4))),
            scope.spawn(|| come_and_go(&broker)),
        ];
        let (serving, watched) = (&server, &broker);
        threads.push(scope.spawn(move || serving.serve(watched, &STOPPED)));
        let start = Instant::now();
        while seconds.is_none_or(|limit| start.elapsed() < limit) {
            thread::sleep(Duration::from_millis(20));
            if threads.iter().any(|thread| thread.is_finished()) {
                break; // it failed: joining it below returns the error
            }
        }
        report(&broker);
        STOPPED.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

/// The port, and how long to run.
fn arguments() -> Result<(u16, Option<Duration>), Failure> {
    let (mut port, mut seconds) = (9102, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next().ok_or(format!("{option} needs a number"))?;
        let wrong = |e: &dyn Error| format!("{option} {value}: {e}");
        match option.as_str() {
            "--port" => port = value.parse().map_err(|e| wrong(&e))?,
            "--seconds" => {
                let number = value.parse().map_err(|e| wrong(&e))?;
                seconds = Some(Duration::from_secs(number));
            }
            _ => return Err(format!("{option}: the options are --port and --seconds").into()),
        }
    }
    Ok((port, seconds))
}

// ---- producers ----------------------------------------------------------------------------

/// Sends about two thousand records a second, a batch of values at a time.
fn tick(topic: &Topic) -> Result<(), Failure> {
    let mut producer = topic.producer();
    for round in 0u64.. {
        if is_stopped() {
            break;
        }
        let values = [round; 20];
        producer.send_values(Destination::Partition((round % 2) as u32), &values)?;
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Sends orders at a varying rate. Every 400th time, it also aborts a claim.
fn order(topic: &Topic) -> Result<(), Failure> {
    let mut producer = topic.producer();
    let start = Instant::now();
    for number in 0u64.. {
        if is_stopped() {
            break;
        }
        let key = format!("customer-{}", number * 7 % 1000);
        if number % 400 == 399 {
            let key = key.as_bytes();
            drop(unless_full(producer.claim(
                Destination::Key(key),
                Some(key),
                8,
            ))?);
        }
        unless_full(producer.send(Record::new(&number.to_ne_bytes()).key(&key)))?;
        let wave = (start.elapsed().as_secs_f64() / 4.0).sin();
        let pause = 1_500.0 - 1_200.0 * wave;
        thread::sleep(Duration::from_micros(pause as u64));
    }
    Ok(())
}

/// Sends faster than its consumer reads, so that it has to wait and is sometimes refused.
fn write_mail(topic: &Topic) -> Result<(), Failure> {
    let mut producer = topic.producer();
    while !is_stopped() {
        unless_full(producer.send(Record::new("a letter of some length, as letters are")))?;
        thread::sleep(Duration::from_millis(4));
    }
    Ok(())
}

/// Skips a record that gets no room in time, as a program may.
fn unless_full<T>(sent: Result<T, SendError>) -> Result<Option<T>, SendError> {
    match sent {
        Ok(sent) => Ok(Some(sent)),
        Err(SendError::Full { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

// ---- consumers ----------------------------------------------------------------------------

/// Reads, and spends `work` on each batch.
fn read(mut consumer: Consumer, work: Duration) -> Result<(), Failure> {
    while !is_stopped() {
        read_once(&mut consumer, work)?;
    }
    Ok(())
}

fn read_once(consumer: &mut Consumer, work: Duration) -> Result<(), ConsumeError> {
    let read = consumer.poll(Duration::from_millis(50))?.len();
    if read > 0 {
        thread::sleep(work);
    }
    Ok(())
}

/// The group's second member: present for ten seconds, then absent for five.
fn come_and_go(broker: &Broker) -> Result<(), Failure> {
    while !is_stopped() {
        let config = ConsumerConfig::new().client_id("worker-2").group("billing");
        let mut consumer = broker.consumer(config)?;
        consumer.subscribe(["orders"])?;
        let start = Instant::now();
        while !is_stopped() && start.elapsed() < Duration::from_secs(10) {
            read_once(&mut consumer, Duration::from_millis(4))?;
        }
        consumer.close();
        while !is_stopped() && start.elapsed() < Duration::from_secs(15) {
            thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Prints a line for each topic and each consumer.
fn report(broker: &Broker) {
    let snapshot = broker.snapshot();
    for topic in &snapshot.topics {
        let partitions = topic.partitions.iter();
        let appended: u64 = partitions.map(|p| p.appended_records).sum();
        println!("{:9} {appended:9} records appended", topic.name);
    }
    for consumer in &snapshot.consumers {
        let lag: u64 = consumer.partitions.iter().map(|p| p.lag).sum();
        let (name, lost) = (&consumer.client_id, consumer.lost);
        println!("{name:9} {lag:9} behind {lost:9} lost");
    }
}
