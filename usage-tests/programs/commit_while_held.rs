//! Records that cannot be handled go to a dead-letter topic; each one is committed at once.

use ringlog::{Broker, ConsumerConfig, Producer, Record, RecordRef, TopicConfig};
use std::error::Error;

fn handle(record: &RecordRef<'_>) -> Result<(), &'static str> {
    match record.offset() {
        1 => Err("cannot be handled"),
        _ => Ok(()),
    }
}

fn consume(broker: &Broker, dead_letters: &mut Producer) -> Result<(), Box<dyn Error>> {
    let config = ConsumerConfig::new().group("g").auto_commit(false);
    let mut consumer = broker.consumer(config)?;
    consumer.subscribe(["orders"])?;
    while let Ok(batch) = consumer.next_batch() {
        for record in &batch {
            if let Err(reason) = handle(&record) {
                dead_letters.send(Record::new(reason).key("k"))?;
            }
            batch.commit_through(&record)?;
        }
    }
    assert_eq!(consumer.committed(("orders", 0))?, Some(3));
    consumer.close();
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let broker = Broker::new();
    let orders = broker.create_topic("orders", TopicConfig::new())?;
    let dead = broker.create_topic("dead-letters", TopicConfig::new())?;
    for order in ["a", "b", "c"] {
        orders.producer().send(Record::new(order))?;
    }
    orders.close();
    consume(&broker, &mut dead.producer())?;
    assert_eq!(dead.log_end_offset(0)?, 1);
    Ok(())
}
