//! What the broker's altered configuration means for its topics.

use crate::alter::{DELETE, SET, alter, change, changes, described};
use crate::broker_configs::{ALL, ONE, delete, set};
use crate::client::{Client, Served};
use crate::requests::batch;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog::TopicConfig;
use ringlog_kafka::Server;
use std::time::Duration;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Creates a topic with a configuration.
async fn create(client: &mut Client, topic: &str, name: &str, value: &str) -> CreatableTopicResult {
    let config = CreatableTopicConfig::default()
        .with_name(text(name))
        .with_value(Some(text(value)));
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(topic)))
        .with_num_partitions(1)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    client.ask(5, &request).await.topics.remove(0)
}

#[tokio::test]
async fn an_altered_default_has_its_meaning_at_once_unless_a_topic_has_a_value_of_its_own() {
    let served = Served::new().await;
    let mut client = served.client();
    for topic in ["plain", "own"] {
        client.metadata(topic).await;
    }
    let own = [
        ("max.message.bytes", "10000"),
        ("cleanup.policy", "delete"),
        ("message.timestamp.after.max.ms", "3600000"),
    ];
    let own = own.map(|(name, value)| change(name, SET, Some(value)));
    let own = vec![changes("own", own.to_vec())];
    assert_eq!(alter(&mut client, own).await, [0]);
    for (config, value, error) in [
        ("message.max.bytes", "60", 10),
        ("log.cleanup.policy", "compact", 87),
        ("log.message.timestamp.before.max.ms", "0", 32),
    ] {
        for name in [ALL, ONE] {
            set(&mut client, name, config, value).await;
            // It has the time 0.
            let answer = client.produce("plain", 0, batch(&["value"])).await;
            assert_eq!(answer.error_code, error, "{config}");
            if config != "log.message.timestamp.before.max.ms" {
                let answer = client.produce("own", 0, batch(&["value"])).await;
                assert_eq!(answer.error_code, 0, "{config}");
            }
            delete(&mut client, name, config).await;
            let answer = client.produce("plain", 0, batch(&["value"])).await;
            assert_eq!(answer.error_code, 0, "{config}");
        }
    }
    set(
        &mut client,
        ALL,
        "log.message.timestamp.type",
        "LogAppendTime",
    )
    .await;
    let answer = client.produce("plain", 0, batch(&["value"])).await;
    assert!(answer.log_append_time_ms > 0);
}

#[tokio::test]
async fn topics_that_come_later_have_the_altered_defaults() {
    let served = Served::new().await;
    let mut client = served.client();
    set(&mut client, ALL, "message.max.bytes", "60").await;
    set(&mut client, ONE, "log.retention.ms", "7000").await;
    let created = create(&mut client, "created", "retention.ms", "8000").await;
    let configs = created.configs.unwrap();
    let found = |name: &str| {
        let mut configs = configs.iter();
        let found = configs.find(|config| *config.name == *name).unwrap();
        (
            found.value.as_ref().unwrap().to_string(),
            found.config_source,
        )
    };
    assert_eq!(found("max.message.bytes"), ("60".to_owned(), 3));
    assert_eq!(found("retention.ms"), ("8000".to_owned(), 1));
    // By its first use, and by a program.
    client.metadata("used").await;
    let config = TopicConfig::new();
    served.broker.create_topic("program", config).unwrap();
    for topic in ["created", "used", "program"] {
        let answer = client.produce(topic, 0, batch(&["value"])).await;
        assert_eq!(answer.error_code, 10, "{topic}");
    }
    let found = described(&mut client, "used", "retention.ms").await;
    assert_eq!(found, ("7000".to_owned(), 2));
}

#[tokio::test]
async fn an_altered_retention_applies_to_the_records_that_are_there() {
    let served = Served::new().await;
    let config = || TopicConfig::new().segments(16).segment_records(1);
    let plain = served.broker.create_topic("plain", config()).unwrap();
    let own = served.broker.create_topic("own", config()).unwrap();
    let mut client = served.client();
    for topic in ["plain", "own"] {
        for value in ["a", "b", "c", "d"] {
            client.produce(topic, 0, batch(&[value])).await;
        }
    }
    // No limit is a value, too.
    let none = change("retention.bytes", SET, Some("-1"));
    let none = vec![changes("own", vec![none])];
    assert_eq!(alter(&mut client, none).await, [0]);
    let bytes = plain.stats().partitions[0].retained_bytes;
    let starts = || {
        [&plain, &own]
            .map(|topic| topic.log_start_offset(0).unwrap())
            .to_vec()
    };
    let limit = |records: u64| (bytes / 4 * records + 1).to_string();
    set(&mut client, ALL, "log.retention.bytes", &limit(3)).await;
    assert_eq!(starts(), [0, 0]);
    set(&mut client, ALL, "log.retention.bytes", &limit(2)).await;
    assert_eq!(starts(), [1, 0]);
    set(&mut client, ONE, "log.retention.bytes", &limit(1)).await;
    assert_eq!(starts(), [2, 0]);
    // A topic that gives up its value has the broker's.
    let back = change("retention.bytes", DELETE, None);
    let back = vec![changes("own", vec![back])];
    assert_eq!(alter(&mut client, back).await, [0]);
    assert_eq!(starts(), [2, 2]);
    // Without a default there is no limit again.
    delete(&mut client, ONE, "log.retention.bytes").await;
    delete(&mut client, ALL, "log.retention.bytes").await;
    for value in ["e", "f", "g"] {
        client.produce("plain", 0, batch(&[value])).await;
    }
    plain.apply_retention();
    assert_eq!(starts(), [2, 2]);
}

#[tokio::test]
async fn a_topic_that_is_created_without_a_limit_has_none() {
    // The server's own limit would leave one record.
    let config = TopicConfig::new()
        .segment_records(1)
        .retention(Duration::ZERO);
    let served = Served::with(Server::builder().topic_config(config)).await;
    let mut client = served.client();
    create(&mut client, "all", "retention.ms", "-1").await;
    client.metadata("some").await;
    for (topic, start) in [("all", 0), ("some", 2)] {
        for value in ["a", "b", "c"] {
            client.produce(topic, 0, batch(&[value])).await;
        }
        let topic = served.broker.topic(topic).unwrap();
        topic.apply_retention();
        assert_eq!(topic.log_start_offset(0), Ok(start));
    }
}
