//! Functions of the user that return what a consumer lends out.

use ringlog::{Batch, Broker, ConsumeError, Consumer, ConsumerConfig, Record, RecordRef, TopicConfig};

/// The first batch that is not empty.
fn next(consumer: &mut Consumer) -> Result<Batch<'_>, ConsumeError> {
    consumer.next_batch()
}

/// The first record of the next batch, which outlives the batch itself.
fn first(consumer: &mut Consumer) -> Result<Option<RecordRef<'_>>, ConsumeError> {
    Ok(consumer.next_batch()?.into_iter().next())
}

/// Holds a batch over an await, in a task that may move between threads.
async fn hold(mut consumer: Consumer) -> Result<usize, ConsumeError> {
    let batch = consumer.poll_async().await?;
    std::future::ready(()).await;
    Ok(batch.len())
}

fn can_be_spawned(_: impl Future<Output = Result<usize, ConsumeError>> + Send + 'static) {}

fn can_be_shared(_: &(impl Send + Sync)) {}

fn main() -> Result<(), ConsumeError> {
    let broker = Broker::new();
    let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
    for value in ["x", "y"] {
        topic.producer().send(Record::new(value)).unwrap();
    }
    let config = ConsumerConfig::new().max_poll_records(1);
    let mut consumer = broker.consumer(config)?;
    consumer.subscribe(["t".to_owned()])?;
    can_be_shared(&consumer);
    assert_eq!(next(&mut consumer)?.len(), 1);
    assert_eq!(first(&mut consumer)?.map(|record| record.offset()), Some(1));
    can_be_spawned(hold(consumer));
    Ok(())
}
