//! A consumer as a `futures::Stream` of owned records.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "stream/members.rs"]
mod members;

use futures_core::{FusedStream, Stream};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Header, Overflow, OwnedRecord, Record,
    RecordStream, RoundRobinAssignor, Timestamps, TopicConfig,
};
use std::future::poll_fn;
use std::pin::Pin;
use tokio::runtime::Builder;

fn consumer(broker: &Broker, config: ConsumerConfig, topics: &[&str]) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

async fn next(stream: &mut RecordStream) -> Option<Result<OwnedRecord, ConsumeError>> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(test);
}

#[test]
fn a_stream_yields_every_record_and_ends_with_its_topics() {
    run(async {
        let broker = Broker::new();
        let config = || TopicConfig::new().timestamps(Timestamps::Given);
        let a = broker.create_topic("a", config()).unwrap();
        let b = broker.create_topic("b", config()).unwrap();
        let mut stream = consumer(&broker, ConsumerConfig::new(), &["a", "b"]).into_stream();
        let headers = [
            Header::new("h", "1"),
            Header {
                name: "none",
                value: None,
            },
        ];
        let mut producer = a.producer();
        let record = Record::new("x").key("k").headers(&headers).timestamp(7);
        producer.send(record).unwrap();
        producer.send(Record::tombstone("k")).unwrap();
        let first = next(&mut stream).await.unwrap().unwrap();
        assert_eq!((&*first.topic, first.partition, first.offset), ("a", 0, 0));
        assert_eq!(
            (first.key.as_deref(), first.value.as_deref()),
            (Some(&b"k"[..]), Some(&b"x"[..]))
        );
        assert_eq!((first.timestamp, first.lost), (Some(7), 0));
        let h = [
            ("h".to_owned(), Some(b"1".to_vec())),
            ("none".to_owned(), None),
        ];
        assert_eq!(first.headers, h);
        let second = next(&mut stream).await.unwrap().unwrap();
        assert_eq!(
            (second.value, second.timestamp, second.offset),
            (None, None, 1)
        );

        a.close();
        let closed = next(&mut stream).await.unwrap().unwrap_err();
        assert!(matches!(closed, ConsumeError::Closed { topic } if &*topic == "a"));
        let sender = tokio::spawn(async move {
            b.producer().send(Record::new("late")).unwrap();
            b.close();
        });
        assert_eq!(
            next(&mut stream).await.unwrap().unwrap().value.unwrap(),
            b"late"
        );
        sender.await.unwrap();
        assert!(!stream.is_terminated());
        assert_eq!(next(&mut stream).await, None);
        assert_eq!(next(&mut stream).await, None);
        assert!(stream.is_terminated());
    });
}

#[test]
fn losses_are_reported_with_the_first_record_after_them() {
    run(async {
        let broker = Broker::new();
        let config = TopicConfig::new().segments(2).segment_records(2);
        let topic = broker
            .create_topic("t", config.overflow(Overflow::DropOldest))
            .unwrap();
        let mut stream = consumer(&broker, ConsumerConfig::new(), &["t"]).into_stream();
        let mut producer = topic.producer();
        for _ in 0..9 {
            producer.send(Record::new("x")).unwrap();
        }
        let mut all = Vec::new();
        for _ in 0..3 {
            let record = next(&mut stream).await.unwrap().unwrap();
            all.push((record.offset, record.lost));
        }
        assert_eq!(all, [(6, 6), (7, 0), (8, 0)]);
    });
}

#[test]
fn a_stream_gives_its_consumer_back_at_its_position() {
    run(async {
        let broker = Broker::new();
        let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
        let mut producer = topic.producer();
        for _ in 0..5 {
            producer.send(Record::new("x")).unwrap();
        }
        let config = ConsumerConfig::new().group("g");
        let mut stream = consumer(&broker, config.clone(), &["t"]).into_stream();
        for offset in 0..2 {
            assert_eq!(next(&mut stream).await.unwrap().unwrap().offset, offset);
        }
        assert_eq!(stream.size_hint(), (3, None));
        let mut back = stream.into_consumer().unwrap();
        assert_eq!(back.position(("t", 0)), Ok(2));
        back.commit().unwrap();
        drop(back);
        let mut other = consumer(&broker, config, &["t"]).into_stream();
        assert_eq!(next(&mut other).await.unwrap().unwrap().offset, 2);
        other.consumer().unsubscribe();
        for offset in 3..5 {
            assert_eq!(next(&mut other).await.unwrap().unwrap().offset, offset);
        }
        assert_eq!(
            next(&mut other).await,
            Some(Err(ConsumeError::NotSubscribed))
        );
        assert_eq!(next(&mut other).await, None);
    });
}

#[test]
fn a_deleted_topic_is_an_error_and_then_the_end() {
    run(async {
        let broker = Broker::new();
        broker.create_topic("t", TopicConfig::new()).unwrap();
        let mut stream = consumer(&broker, ConsumerConfig::new(), &["t"]).into_stream();
        broker.delete_topic("t").unwrap();
        assert!(matches!(
            next(&mut stream).await,
            Some(Err(ConsumeError::Closed { .. }))
        ));
        assert_eq!(next(&mut stream).await, None);
    });
}

/// A member without partitions, or with closed topics only, may still be assigned more.
#[test]
fn a_members_stream_goes_on_while_one_of_its_topics_does() {
    for delete in [true, false] {
        run(async {
            let broker = Broker::new();
            let a = broker.create_topic("a", TopicConfig::new()).unwrap();
            let b = broker.create_topic("b", TopicConfig::new()).unwrap();
            let config = || {
                let config = ConsumerConfig::new().group("g");
                config.assignor(RoundRobinAssignor)
            };
            let mut first = consumer(&broker, config(), &["a", "b"]);
            let mut second = consumer(&broker, config(), &["a", "b"]);
            if delete {
                broker.delete_topic("a").unwrap();
            } else {
                for _ in 0..4 {
                    assert!(first.try_poll().unwrap().is_empty());
                    assert!(second.try_poll().unwrap().is_empty());
                }
                assert_eq!(&*first.assignment()[0].topic, "a");
                assert_eq!(&*second.assignment()[0].topic, "b");
                a.close();
            }
            let mut stream = first.into_stream();
            let closed = next(&mut stream).await.unwrap().unwrap_err();
            assert!(matches!(closed, ConsumeError::Closed { topic } if &*topic == "a"));
            assert!(!stream.is_terminated());
            second.close();
            b.producer().send(Record::new("b")).unwrap();
            b.close();
            // The new assignment includes "a" again, and so reports its end again.
            let mut values = Vec::new();
            while let Some(item) = next(&mut stream).await {
                match item {
                    Ok(record) => values.push(record.value.unwrap()),
                    Err(error) => assert!(!delete, "{error}"),
                }
            }
            assert_eq!(values, [b"b"]);
            assert!(stream.is_terminated());
        });
    }
}

/// A topic with ten records and a member's stream, of which `returned` records were read.
async fn half_read(config: ConsumerConfig, returned: u64) -> (Broker, RecordStream) {
    let broker = Broker::new();
    let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
    (0..10).for_each(|_| _ = topic.producer().send(Record::new("x")).unwrap());
    let mut stream = consumer(&broker, config.group("g"), &["t"]).into_stream();
    for offset in 0..returned {
        assert_eq!(next(&mut stream).await.unwrap().unwrap().offset, offset);
    }
    (broker, stream)
}

fn committed(broker: &Broker) -> Option<u64> {
    let reader = broker.consumer(ConsumerConfig::new().group("g")).unwrap();
    reader.committed(("t", 0)).unwrap()
}

#[test]
fn a_commit_through_a_stream_commits_what_was_handed_out() {
    run(async {
        let config = ConsumerConfig::new().auto_commit(false);
        let (broker, mut stream) = half_read(config, 1).await;
        stream.consumer().commit().unwrap();
        assert_eq!(committed(&broker), Some(1));
        next(&mut stream).await.unwrap().unwrap();
        stream.consumer().commit().unwrap();
        assert_eq!(committed(&broker), Some(2));
        for _ in 2..10 {
            next(&mut stream).await.unwrap().unwrap();
        }
        stream.consumer().commit().unwrap();
        assert_eq!(committed(&broker), Some(10));
    });
}

#[test]
fn a_consumer_taken_back_from_a_stream_commits_what_was_handed_out_when_it_closes() {
    run(async {
        let (broker, stream) = half_read(ConsumerConfig::new(), 3).await;
        stream.into_consumer().unwrap().close();
        assert_eq!(committed(&broker), Some(3));
    });
}

/// The user polls and unsubscribes beside the stream: nothing that it still holds is committed.
#[test]
fn polls_beside_a_stream_do_not_commit_what_it_still_holds() {
    run(async {
        let (broker, mut stream) = half_read(ConsumerConfig::new(), 3).await;
        for _ in 0..5 {
            assert!(stream.consumer().try_poll().unwrap().is_empty());
            assert_eq!(committed(&broker), Some(3));
        }
        assert_eq!(next(&mut stream).await.unwrap().unwrap().offset, 3);
        stream.consumer().unsubscribe();
        assert_eq!(committed(&broker), Some(4));
        // What was copied is still handed out.
        assert_eq!(next(&mut stream).await.unwrap().unwrap().offset, 4);
    });
}

#[test]
fn a_seek_beside_a_stream_is_committed_as_such() {
    run(async {
        let (broker, mut stream) = half_read(ConsumerConfig::new(), 3).await;
        stream.consumer().seek(("t", 0), 7).unwrap();
        stream.consumer().unsubscribe();
        assert_eq!(committed(&broker), Some(7));
    });
}
