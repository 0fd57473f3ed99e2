//! The server's own numbers.

use crate::client::Served;
use crate::requests::{batch, fetch, produce, waiting};
use crate::scram::{ALICE, assert_served, builder, handshake, plain, token};
use ringlog::TopicConfig;
use ringlog_kafka::{ApiMetrics, SaslMechanism, ServerMetrics};
use std::time::Duration;

fn api<'a>(metrics: &'a ServerMetrics, name: &str) -> &'a ApiMetrics {
    let found = metrics.apis.iter().find(|api| api.name == name);
    found.unwrap_or_else(|| panic!("{name}: {metrics:?}"))
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    crate::client::within(what, wait).await;
}

#[tokio::test]
async fn requests_are_counted_by_api_with_their_bytes_times_and_errors() {
    let served = Served::new().await;
    let topic = TopicConfig::new();
    served.broker.create_topic("orders", topic).unwrap();
    let mut client = served.client();
    client.produce("orders", 0, batch(&["login"])).await;
    client
        .ask(9, &produce("orders", 5, batch(&["login"])))
        .await;
    for _ in 0..2 {
        client.ask(12, &fetch("orders", 7, 0)).await;
    }
    let metrics = served.server.metrics();
    let produced = api(&metrics, "Produce");
    assert_eq!((produced.requests, produced.waiting), (2, 0));
    assert_eq!(produced.errors, [(3, 1)]);
    assert!(
        produced.received_bytes > 150 && produced.sent_bytes > 60,
        "{produced:?}"
    );
    assert!(produced.time > Duration::ZERO);
    assert_eq!(
        produced.times.iter().map(|(_, count)| count).sum::<u64>(),
        2
    );
    assert_eq!(api(&metrics, "Fetch").errors, [(3, 2)]);
    assert!(metrics.apis.iter().all(|api| api.name != "JoinGroup"));
}

#[tokio::test]
async fn requests_that_wait_and_connections_that_are_open_are_shown_until_they_end() {
    let served = Served::new().await;
    let topic = TopicConfig::new();
    served.broker.create_topic("orders", topic).unwrap();
    let reader = served.server.metrics_reader();
    let waits = || {
        let metrics = reader.read();
        let fetches = metrics.apis.iter().find(|api| api.name == "Fetch");
        fetches.map_or(0, |api| api.waiting)
    };
    let mut first = served.client();
    let mut second = served.client();
    for client in [&mut first, &mut second] {
        client.send(12, &waiting(fetch("orders", 0, 0))).await;
    }
    until("the wait of two", || waits() == 2).await;
    assert_eq!(reader.read().open_connections, 2);
    drop(first);
    until("the end of one", || waits() == 1).await;
    until("the close of one", || reader.read().open_connections == 1).await;
    served
        .client()
        .produce("orders", 0, batch(&["login"]))
        .await;
    until("the answer of the other", || waits() == 0).await;
    assert_eq!(reader.read().connections, 3);
}

#[tokio::test]
async fn authentications_are_counted_by_mechanism_and_outcome() {
    let served = Served::with(builder()).await;
    let mut client = served.client();
    assert_eq!(plain(&mut client, ALICE).await.error_code, 0);
    assert_served(&mut client).await;
    for _ in 0..2 {
        plain(&mut served.client(), b"\0alice\0wrong").await;
    }
    let mut client = served.client();
    handshake(&mut client, "SCRAM-SHA-512").await;
    token(&mut client, 1, b"none").await;
    handshake(&mut served.client(), "GSSAPI").await;
    let metrics = served.server.metrics();
    let counted: Vec<_> = { metrics.authentications.iter() }
        .map(|one| (one.mechanism, one.succeeded, one.failed))
        .collect();
    let expected = [
        (Some(SaslMechanism::Plain), 1, 2),
        (Some(SaslMechanism::ScramSha256), 0, 0),
        (Some(SaslMechanism::ScramSha512), 0, 1),
        (None, 0, 1),
    ];
    assert_eq!(counted, expected);
    assert_eq!(api(&metrics, "SaslAuthenticate").errors, [(58, 3)]);
    assert_eq!(api(&metrics, "SaslHandshake").errors, [(33, 1)]);
}

#[tokio::test]
async fn prometheus_text_has_each_family_once_and_its_samples_behind_it() {
    let served = Served::with(builder().stream_security(Default::default())).await;
    let mut client = served.client();
    client
        .ask(9, &produce("orders", 5, batch(&["login"])))
        .await;
    assert_served(&mut client).await;
    let text = served.server.metrics().to_prometheus();
    let mut families = std::collections::HashSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} is there twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} is of {family}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    for line in [
        "ringlog_kafka_requests_total{api=\"Metadata\"} 1",
        "ringlog_kafka_errors_total{api=\"Produce\",code=\"3\",error=\"UnknownTopicOrPartition\"} 1",
        "ringlog_kafka_request_seconds_bucket{api=\"Produce\",le=\"+Inf\"} 1",
        "ringlog_kafka_request_seconds_count{api=\"Produce\"} 1",
        "ringlog_kafka_connections 1",
        "ringlog_kafka_authentications_total{mechanism=\"none\",outcome=\"failed\"} 0",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}: {text}");
    }
}

#[tokio::test]
async fn a_request_has_a_span_with_its_head_and_nothing_of_what_it_contains() {
    let log = crate::log::Log::default();
    let _guard = log.begin();
    let served = Served::new().await;
    let topic = TopicConfig::new();
    served.broker.create_topic("orders", topic).unwrap();
    let mut client = served.client();
    client.produce("orders", 0, batch(&["payload"])).await;
    let shown = log.text();
    let span = "request{api=Produce version=";
    let line = shown.lines().find(|line| line.contains(span));
    let line = line.unwrap_or_else(|| panic!("{shown}"));
    for field in ["correlation_id=", "client_id=\"test\"", "peer=\"stream\""] {
        assert!(line.contains(field), "{field}: {line}");
    }
    assert!(!shown.contains("payload"), "{shown}");
}
