//! Records that outlive the process: a child sends, kills itself in the middle, and the parent
//! opens the directory again and goes on.
//!
//! ```sh
//! cargo run --release --example durable
//! ```

use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
use std::error::Error;
use std::path::Path;
use std::process::{Command, abort};
use std::time::Duration;

/// Says to the child which directory is meant.
const CHILD: &str = "RINGLOG_EXAMPLE_DIR";

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(dir) = std::env::var(CHILD) {
        return send_and_abort(Path::new(&dir));
    }
    let dir = std::env::temp_dir().join(format!("ringlog-durable-{}", std::process::id()));
    let child = Command::new(std::env::current_exe()?)
        .env(CHILD, &dir)
        .status()?;
    println!("the child has ended: {child}");

    let (broker, report) = Broker::open(&dir)?;
    println!(
        "opened in {:?}: {} records, {} bytes cut off",
        report.duration,
        report.records(),
        report.topics[0].partitions[0].cut_bytes,
    );
    let topic = broker.topic("orders")?;
    let end = topic.log_end_offset(0)?;
    assert!(end >= 1000, "a thousand were reported durable");
    topic.producer().send(Record::new(&end.to_le_bytes()))?;

    // From the first record to the one that was sent just now, without noticing where the files end.
    let mut consumer = broker.consumer(ConsumerConfig::new())?;
    consumer.subscribe(["orders"])?;
    let mut next = 0u64;
    while next <= end {
        for record in &consumer.poll(Duration::from_secs(10))? {
            assert_eq!(record.value_bytes(), next.to_le_bytes());
            next += 1;
        }
    }
    println!("read {next} records");
    drop((consumer, topic, broker));
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Sends, waits until the first thousand are durable, sends on, and ends as by a crash.
fn send_and_abort(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (broker, _) = Broker::open(dir)?;
    let topic = broker.create_topic("orders", TopicConfig::new())?;
    let mut producer = topic.producer();
    for order in 0..100_000u64 {
        producer.send(Record::new(&order.to_le_bytes()))?;
        if order == 999 {
            topic.wait_durable(0, 1000, Duration::from_secs(10))?;
        }
    }
    abort()
}
