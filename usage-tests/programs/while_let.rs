//! `while let` over polls that wait, and over polls that do not.

use ringlog::{Broker, ConsumeError, ConsumerConfig, Record, TopicConfig};

fn main() -> Result<(), ConsumeError> {
    let broker = Broker::new();
    let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
    topic.producer().send(Record::new("x")).unwrap();
    let mut consumer = broker.consumer(ConsumerConfig::new())?;
    consumer.subscribe(["t"])?;
    let mut read = 0;
    while let Ok(batch) = consumer.try_poll() {
        if batch.is_empty() {
            consumer.seek(("t", 0), 0)?;
            break;
        }
        read += batch.len();
    }
    topic.close();
    while let Ok(batch) = consumer.next_batch() {
        read += batch.len();
    }
    assert_eq!(read, 2);
    Ok(())
}
