//! What a restart finds of topics, ids and users.

use super::*;
use crate::alter::{DELETE, SET, alter, change, changes, described};
use crate::broker_configs::{ALL, ONE, delete, set};
use crate::requests::{batch, fetch, name, only, records};
use crate::scram::plain;
use crate::users;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::*;
use ringlog::{Overflow, TopicConfig};
use ringlog_kafka::{BindError, NewTopic, SaslMechanism, Security};
use std::time::Duration;
use uuid::Uuid;

pub(super) async fn create(client: &mut Client, topic: &str, configs: &[(&str, &str)]) -> Uuid {
    let configs = configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(3)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let created = client.ask(7, &request).await.topics.remove(0);
    assert_eq!(created.error_code, 0, "{:?}", created.error_message);
    created.topic_id
}

/// Stopped, or crashed: both find the same.
async fn restarted(served: Served, dir: &mut TempDir, crash: bool) -> Served {
    match crash {
        true => {
            *dir = crashed(dir.path());
            // The one before goes on in its own directory, which is removed with it.
            stop(served).await;
        }
        false => stop(served).await,
    }
    serve(dir.path()).await
}

#[tokio::test]
async fn topics_have_their_ids_partitions_records_and_configurations_again() {
    for crash in [false, true] {
        let mut dir = dir();
        let served = serve(dir.path()).await;
        let mut client = served.client();
        // One that has a meaning, one that has none here, and one that is taken back.
        let given = [
            ("retention.ms", "3600000"),
            ("segment.ms", "7"),
            ("flush.ms", "8"),
        ];
        let orders = create(&mut client, "orders", &given).await;
        let plain = client.topic_id("plain").await;
        let set = changes(
            "orders",
            vec![
                change("retention.ms", SET, Some("7200000")),
                change("flush.ms", DELETE, None),
                change("max.message.bytes", SET, Some("5000")),
            ],
        );
        assert_eq!(alter(&mut client, vec![set]).await, [0]);
        let deleted = create(&mut client, "deleted", &given).await;
        let request = DeleteTopicsRequest::default().with_topic_names(vec![name("deleted")]);
        client.ask(5, &request).await;
        assert_eq!(
            client
                .produce("orders", 2, batch(&["a", "b"]))
                .await
                .error_code,
            0
        );

        let served = restarted(served, &mut dir, crash).await;
        let mut client = served.client();
        // By its id alone: a client may ask so before anything else.
        let by_id = fetch("", 2, 0);
        let mut by_id = by_id;
        by_id.topics[0].topic_id = orders;
        let data = only(client.ask(13, &by_id).await);
        assert_eq!(records(&data), [(0, "a".to_owned()), (1, "b".to_owned())]);
        let found = client.metadata("orders").await;
        assert_eq!((found.topic_id, found.partitions.len()), (orders, 3));
        assert_eq!(client.topic_id("plain").await, plain);
        for (config, expected) in [
            ("retention.ms", ("7200000", 1)),
            ("segment.ms", ("7", 1)),
            ("max.message.bytes", ("5000", 1)),
            ("flush.ms", ("9223372036854775807", 5)),
        ] {
            let (value, source) = described(&mut client, "orders", config).await;
            assert_eq!((value.as_str(), source), expected, "{config}");
        }
        // What has a meaning has it again.
        let large = "x".repeat(6000);
        assert_eq!(
            client
                .produce("orders", 0, batch(&[&large]))
                .await
                .error_code,
            10
        );
        // Another topic of the name of one that was deleted is another.
        assert_ne!(client.topic_id("deleted").await, deleted);
        let (value, _) = described(&mut client, "deleted", "segment.ms").await;
        assert_eq!(value, "604800000");
        stop(served).await;
    }
}

/// Adds records to `orders`, each a file, and applies the limits. Returns where the log starts.
fn old(served: &Served) -> u64 {
    let topic = served.broker.topic("orders").unwrap();
    let mut producer = topic.producer();
    for _ in 0..3 {
        let record = ringlog::Record::new(&[1; 200_000]).partition(0);
        producer.send(record).unwrap();
        topic.flush(Duration::from_secs(60)).unwrap();
    }
    topic.apply_retention();
    topic.log_start_offset(0).unwrap()
}

#[tokio::test]
async fn a_limit_that_clients_have_taken_back_stays_so() {
    let dir = dir();
    // What the ring has is not given up.
    let config = small_ring().segment_records(1).segment_bytes(256 << 10);
    let builder = Server::builder().topic_config(config);
    let served = serve_with(storage(dir.path()), builder).await;
    let mut client = served.client();
    create(&mut client, "orders", &[("retention.bytes", "1000")]).await;
    assert!(old(&served) > 0);
    let set = changes("orders", vec![change("retention.bytes", DELETE, None)]);
    assert_eq!(alter(&mut client, vec![set]).await, [0]);
    let start = old(&served);
    stop(served).await;
    let served = serve(dir.path()).await;
    assert_eq!(old(&served), start);
    stop(served).await;
}

#[tokio::test]
async fn what_was_altered_of_the_broker_is_so_again() {
    for crash in [false, true] {
        let mut dir = dir();
        let served = serve(dir.path()).await;
        let mut client = served.client();
        client.metadata("orders").await;
        set(&mut client, ALL, "message.max.bytes", "5000").await;
        set(&mut client, ALL, "log.retention.ms", "3600000").await;
        set(&mut client, ONE, "log.retention.ms", "7200000").await;
        set(&mut client, ONE, "log.roll.ms", "7").await;
        delete(&mut client, ONE, "log.roll.ms").await;

        let served = restarted(served, &mut dir, crash).await;
        let mut client = served.client();
        let large = "x".repeat(6000);
        let answer = client.produce("orders", 0, batch(&[&large])).await;
        assert_eq!(answer.error_code, 10);
        for (config, expected) in [
            ("retention.ms", ("7200000", 2)),
            ("max.message.bytes", ("5000", 3)),
            ("segment.ms", ("604800000", 5)),
        ] {
            let (value, source) = described(&mut client, "orders", config).await;
            assert_eq!((value.as_str(), source), expected, "{config}");
        }
        // Another broker has what is all brokers' alone.
        stop(served).await;
        let builder = Server::builder().node_id(1);
        let served = serve_with(storage(dir.path()), builder).await;
        let mut client = served.client();
        let found = described(&mut client, "orders", "retention.ms").await;
        assert_eq!(found, ("3600000".to_owned(), 3));
        stop(served).await;
    }
}

#[tokio::test]
async fn a_limit_of_the_broker_is_no_topics_after_it_was_taken_back() {
    let dir = dir();
    let config = small_ring().segment_records(1).segment_bytes(256 << 10);
    let builder = Server::builder().topic_config(config);
    let served = serve_with(storage(dir.path()), builder).await;
    let mut client = served.client();
    client.metadata("orders").await;
    set(&mut client, ALL, "log.retention.bytes", "1000").await;
    assert!(old(&served) > 0);
    // Also after a restart it is the broker's, and not the topic's own.
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    assert!(old(&served) > 3);
    delete(&mut client, ALL, "log.retention.bytes").await;
    // What the ring still had then is given up with the ring's next records.
    let start = old(&served);
    assert_eq!(old(&served), start);
    stop(served).await;
    let served = serve(dir.path()).await;
    assert_eq!(old(&served), start);
    stop(served).await;
}

#[tokio::test]
async fn topics_of_a_durable_server_wait_for_their_files() {
    let dir = dir();
    let served = serve(dir.path()).await;
    served.client().metadata("orders").await;
    let stats = served.broker.topic("orders").unwrap().stats();
    assert_eq!(stats.overflow, Overflow::Backpressure);
    stop(served).await;
}

#[tokio::test]
async fn a_topic_that_is_configured_and_there_is_left_as_it_is() {
    let dir = dir();
    let builder = |partitions| {
        let topic = NewTopic::new("orders").partitions(partitions);
        Server::builder().topic(topic)
    };
    let served = serve_with(storage(dir.path()), builder(2)).await;
    let mut client = served.client();
    assert_eq!(
        client.produce("orders", 1, batch(&["a"])).await.error_code,
        0
    );
    stop(served).await;
    let served = serve_with(storage(dir.path()), builder(3)).await;
    let topic = served.broker.topic("orders").unwrap();
    assert_eq!((topic.partitions(), topic.log_end_offset(1)), (2, Ok(1)));
    stop(served).await;
}

#[tokio::test]
async fn the_clusters_id_and_producers_ids_are_given_once() {
    async fn cluster(client: &mut Client) -> String {
        let request = MetadataRequest::default().with_topics(None);
        client
            .ask(12, &request)
            .await
            .cluster_id
            .unwrap()
            .to_string()
    }
    let mut dir = dir();
    let mut served = serve(dir.path()).await;
    let first = cluster(&mut served.client()).await;
    let mut last = served.client().producer_id().await;
    for crash in [true, false, true] {
        served = restarted(served, &mut dir, crash).await;
        let mut client = served.client();
        assert_eq!(cluster(&mut client).await, first);
        let id = client.producer_id().await;
        assert!(id > last, "{id} after {last}");
        last = id;
    }
    stop(served).await;
    let builder = Server::builder().cluster_id("tests");
    let served = serve_with(storage(dir.path()), builder).await;
    assert_eq!(cluster(&mut served.client()).await, "tests");
    stop(served).await;
}

#[tokio::test]
async fn users_that_administrators_have_changed_are_so_again() {
    let dir = dir();
    let builder = || {
        Server::builder()
            .user("alice", "alice-secret")
            .user("bob", "bob-secret")
            .stream_security(Security::plaintext().sasl(SaslMechanism::ALL))
    };
    let alice = b"\0alice\0alice-secret";
    let served = serve_with(storage(dir.path()), builder()).await;
    let mut client = served.client();
    assert_eq!(plain(&mut client, alice).await.error_code, 0);
    let added = users::alter(&mut client, Vec::new(), vec![users::upsertion("carol")]).await;
    assert_eq!(added[0].error_code, 0);
    let deletions = vec![users::deletion("bob", 1), users::deletion("bob", 2)];
    assert_eq!(
        users::alter(&mut client, deletions, Vec::new()).await[0].error_code,
        0
    );
    stop(served).await;

    let served = serve_with(storage(dir.path()), builder()).await;
    for (message, code) in [
        (&b"\0carol\0carol-secret"[..], 0),
        (&b"\0bob\0bob-secret"[..], 58),
        (&alice[..], 0),
    ] {
        let mut client = served.client();
        assert_eq!(plain(&mut client, message).await.error_code, code);
    }
    stop(served).await;
    // What is kept of passwords is its owner's to read.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let kept = std::fs::metadata(dir.path().join("kafka")).unwrap();
        assert_eq!(kept.permissions().mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn each_server_of_a_broker_has_its_own_directory() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let second = Server::builder().bind(&served.broker).await;
    assert!(matches!(second, Err(BindError::Store(_))), "{second:?}");
    for name in ["", "topics", "../outside", "a/b"] {
        let builder = Server::builder().state_dir(name);
        let refused = builder.bind(&served.broker).await;
        assert!(matches!(refused, Err(BindError::StateDir { .. })), "{name}");
    }
    let other = Server::builder()
        .state_dir("other")
        .bind(&served.broker)
        .await
        .unwrap();
    drop(other);
    // One after the other they may have the same, also if connections are open.
    let _client = served.client();
    let Served { broker, server } = served;
    drop(server);
    let server = Server::builder().bind(&broker).await.unwrap();
    stop(Served { broker, server }).await;
}

#[tokio::test]
async fn a_topic_in_memory_of_a_durable_broker_is_gone() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let config = TopicConfig::new().in_memory();
    served.broker.create_topic("ticks", config).unwrap();
    let mut client = served.client();
    let id = client.topic_id("ticks").await;
    assert_eq!(
        client.produce("ticks", 0, batch(&["a"])).await.error_code,
        0
    );
    stop(served).await;
    let served = serve(dir.path()).await;
    assert_eq!(served.broker.topic_names(), Vec::<String>::new());
    assert_ne!(served.client().topic_id("ticks").await, id);
    stop(served).await;
}
