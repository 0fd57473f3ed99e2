//! Upstreams that end, and topics that are closed.

use super::common::{TOPIC, make, subscribed};
use super::{after, partition, read, read_all, send};
use ringlog::{ConsumeError, Consumer, ConsumerConfig, Destination, TopicConfig, UpstreamError};
use std::time::Duration;

fn ended(upstream: &str, number: u32, position: u64) -> ConsumeError {
    ConsumeError::Upstream(UpstreamError::Ended {
        upstream: upstream.to_owned(),
        topic: TOPIC.into(),
        partition: number,
        position,
    })
}

fn journal() -> ConsumerConfig {
    ConsumerConfig::new()
        .client_id("journal")
        .max_poll_records(2)
}

const JOURNAL: &str = "consumer \"journal\"";

fn poll(consumer: &mut Consumer) -> Result<Vec<u64>, ConsumeError> {
    let batch = consumer.try_poll()?;
    Ok(batch.iter().map(|record| record.offset()).collect())
}

#[test]
fn after_an_upstream_that_is_closed_its_last_batch_is_read_and_then_there_is_an_error() {
    let (broker, topic) = make(TopicConfig::new());
    let mut upstream = subscribed(&broker, journal());
    let mut matcher = after(&broker, &mut [&mut upstream]);
    send(&mut topic.producer(), 5);
    read(&mut upstream);
    read(&mut upstream);
    upstream.close();
    assert_eq!(poll(&mut matcher), Ok(vec![0, 1, 2, 3]));
    for _ in 0..2 {
        assert_eq!(poll(&mut matcher), Err(ended(JOURNAL, 0, 4)));
    }
    let text = ended(JOURNAL, 0, 4).to_string();
    assert_eq!(
        text,
        "consumer \"journal\" has stopped reading partition 0 of topic \"t\" at offset 4"
    );
}

#[test]
fn the_last_batch_of_an_upstream_that_is_dropped_does_not_count() {
    let (broker, topic) = make(TopicConfig::new());
    let mut upstream = subscribed(&broker, journal());
    let progress = upstream.progress();
    let mut matcher = after(&broker, &mut [&mut upstream]);
    send(&mut topic.producer(), 5);
    read(&mut upstream);
    read(&mut upstream);
    drop(upstream);
    assert_eq!(poll(&mut matcher), Ok(vec![0, 1]));
    assert_eq!(poll(&mut matcher), Err(ended(JOURNAL, 0, 2)));
    // A reader that comes later reads as far.
    let mut late = subscribed(&broker, ConsumerConfig::new().read_after(&progress));
    assert_eq!(poll(&mut late), Ok(vec![0, 1]));
    assert_eq!(poll(&mut late), Err(ended(JOURNAL, 0, 2)));
}

#[test]
fn a_closed_topic_is_read_to_its_end_once_the_upstream_has_read_that() {
    // With and without an aborted claim at the end.
    for aborted in [false, true] {
        let (broker, topic) = make(TopicConfig::new());
        let mut upstream = subscribed(&broker, journal());
        let mut matcher = after(&broker, &mut [&mut upstream]);
        let mut producer = topic.producer();
        send(&mut producer, 3);
        if aborted {
            drop(producer.claim(Destination::Any, None, 1).unwrap());
        }
        drop(producer);
        topic.close();
        let mut seen = Vec::new();
        for _ in 0..2 {
            read(&mut upstream);
            seen.extend(poll(&mut matcher).unwrap());
        }
        assert_eq!(seen, [0, 1]);
        assert_eq!(poll(&mut matcher), Ok(vec![]), "not ended yet");
        let closed = ConsumeError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(poll(&mut upstream), Err(closed.clone()));
        drop(upstream);
        assert_eq!(poll(&mut matcher), Ok(vec![2]));
        assert_eq!(poll(&mut matcher), Err(closed.clone()));
        assert!(matcher.is_finished());
    }
}

#[test]
fn an_upstream_that_is_gone_before_the_end_of_a_closed_topic_is_an_error() {
    let (broker, topic) = make(TopicConfig::new());
    let mut upstream = subscribed(&broker, journal());
    let mut matcher = after(&broker, &mut [&mut upstream]);
    send(&mut topic.producer(), 3);
    topic.close();
    read(&mut upstream);
    upstream.close();
    assert_eq!(poll(&mut matcher), Ok(vec![0, 1]));
    assert_eq!(poll(&mut matcher), Err(ended(JOURNAL, 0, 2)));
}

#[test]
fn all_partitions_are_read_before_the_error() {
    for partitions in [2, 20] {
        let (broker, topic) = make(TopicConfig::new().partitions(partitions));
        let mut upstream = subscribed(&broker, journal());
        let mut matcher = after(&broker, &mut [&mut upstream]);
        let mut producer = topic.producer();
        for to in 0..partitions {
            let record = ringlog::Record::new("x").partition(to);
            producer.send(record).unwrap();
        }
        while !read(&mut upstream).is_empty() {}
        upstream.close();
        let mut read = 0;
        let error = loop {
            match poll(&mut matcher) {
                Ok(offsets) => read += offsets.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(read, partitions as usize);
        assert!(matches!(
            error,
            ConsumeError::Upstream(UpstreamError::Ended { position: 1, .. })
        ));
    }
}

#[test]
fn an_upstream_that_reads_other_partitions_has_ended_until_it_comes_back() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut upstream = broker.consumer(journal()).unwrap();
    upstream.assign([partition(0), partition(1)]).unwrap();
    let config = ConsumerConfig::new().read_after(&upstream.progress());
    let mut matcher = broker.consumer(config).unwrap();
    matcher.assign([partition(0)]).unwrap();
    send(&mut topic.producer(), 6);
    read(&mut upstream);
    upstream.assign([partition(1)]).unwrap();
    assert_eq!(poll(&mut matcher), Ok(vec![0, 1]));
    assert_eq!(poll(&mut matcher), Err(ended(JOURNAL, 0, 2)));
    upstream.assign([partition(0)]).unwrap();
    assert_eq!(poll(&mut matcher), Ok(vec![]));
    assert_eq!(read_all(&mut upstream), [0, 1, 2, 3, 4, 5]);
    assert_eq!(poll(&mut matcher), Ok(vec![2, 3, 4, 5]));
    upstream.unsubscribe();
    assert_eq!(poll(&mut matcher), Err(ended(JOURNAL, 0, 6)));
    upstream.subscribe([TOPIC]).unwrap();
    assert_eq!(poll(&mut matcher), Ok(vec![]));
}

#[test]
fn an_upstream_that_does_not_read_a_partition_is_refused() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut upstream = broker.consumer(journal()).unwrap();
    let config = ConsumerConfig::new().read_after(&upstream.progress());
    let mut matcher = broker.consumer(config).unwrap();
    let not_read = |number| {
        let topic = TOPIC.into();
        let upstream = JOURNAL.to_owned();
        Err(ConsumeError::Upstream(UpstreamError::NotRead {
            upstream,
            topic,
            partition: number,
        }))
    };
    assert_eq!(matcher.subscribe([TOPIC]), not_read(0));
    upstream.assign([partition(0)]).unwrap();
    assert_eq!(matcher.subscribe([TOPIC]), not_read(1));
    assert_eq!(matcher.assign([partition(1)]), not_read(1));
    assert!(matcher.assignment().is_empty());
    matcher.assign([partition(0)]).unwrap();
    assert_eq!(
        not_read(1).unwrap_err().to_string(),
        "consumer \"journal\" does not read partition 1 of topic \"t\""
    );
    // After the upstream has gone, without having read the partition.
    upstream.close();
    assert_eq!(matcher.assign([partition(1)]), Err(ended(JOURNAL, 1, 0)));
    // Partitions that are added to a topic come to both, whichever takes them in first.
    let mut upstream = subscribed(&broker, journal());
    let mut matcher = after(&broker, &mut [&mut upstream]);
    topic.add_partitions(3).unwrap();
    assert_eq!(poll(&mut matcher), Ok(vec![]));
    assert_eq!(matcher.assignment().len(), 3);
    let record = ringlog::Record::new("x").partition(2);
    topic.producer().send(record).unwrap();
    assert_eq!(poll(&mut matcher), Ok(vec![]));
    assert_eq!(read_all(&mut upstream), [0]);
    assert_eq!(poll(&mut matcher), Ok(vec![0]));
}

#[test]
fn a_deleted_topic_is_closed_for_the_dependent_too() {
    let (broker, topic) = make(TopicConfig::new());
    let mut upstream = subscribed(&broker, journal());
    let mut matcher = after(&broker, &mut [&mut upstream]);
    send(&mut topic.producer(), 1);
    read_all(&mut upstream);
    broker.delete_topic(TOPIC).unwrap();
    let closed = ConsumeError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(poll(&mut matcher), Err(closed));
}

#[test]
fn a_paused_partition_reports_no_upstream_that_has_ended() {
    let (broker, topic) = make(TopicConfig::new());
    let mut upstream = subscribed(&broker, journal());
    let mut matcher = after(&broker, &mut [&mut upstream]);
    send(&mut topic.producer(), 5);
    read(&mut upstream);
    upstream.close();
    assert_eq!(poll(&mut matcher), Ok(vec![0, 1]));
    matcher.pause((TOPIC, 0)).unwrap();
    assert!(matcher.poll(Duration::from_millis(1)).unwrap().is_empty());
    matcher.resume((TOPIC, 0)).unwrap();
    assert_eq!(poll(&mut matcher), Err(ended(JOURNAL, 0, 2)));
}
