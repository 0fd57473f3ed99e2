//! Listeners, addresses, shutdown.
//!
//! Tests that connect where nothing must listen any more have a loopback address each: on a shared
//! one, another test's server could have been given the port meanwhile.

use crate::client::{Served, within};
use crate::requests::{fetch, waiting};
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;
use ringlog::{Broker, TopicConfig};
use ringlog_kafka::{BindError, Listener, SaslMechanism, Security, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// ApiVersions, of version 0.
const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];

/// Asks for the versions over TCP. Returns the length of the answer.
async fn ask(address: impl tokio::net::ToSocketAddrs) -> Option<i32> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(&REQUEST).await.ok()?;
    within("the answer", stream.read_i32()).await.ok()
}

#[tokio::test]
async fn a_server_answers_when_it_is_bound_and_not_after_it_is_dropped() {
    let server = Server::bind(&Broker::new(), "127.0.0.11:0").await.unwrap();
    let bootstrap = server.bootstrap();
    assert!(ask(&bootstrap).await.is_some());
    let mut idle = TcpStream::connect(&bootstrap).await.unwrap();
    drop(server);
    assert!(within("the close", idle.read_u8()).await.is_err());
    assert!(ask(&bootstrap).await.is_none());
}

#[tokio::test]
async fn shutdown_closes_idle_and_waiting_connections() {
    let server = Server::bind(&Broker::new(), "127.0.0.12:0").await.unwrap();
    let bootstrap = server.bootstrap();
    let mut idle = TcpStream::connect(&bootstrap).await.unwrap();
    idle.write_all(&REQUEST).await.unwrap();
    within("the answer", idle.read_i32()).await.unwrap();
    within("the shutdown", server.shutdown()).await;
    let mut rest = Vec::new();
    within("the close", idle.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!(ask(&bootstrap).await.is_none());
}

#[tokio::test]
async fn shutdown_ends_a_fetch_that_waits() {
    let served = Served::new().await;
    served
        .broker
        .create_topic("orders", TopicConfig::new())
        .unwrap();
    let mut client = served.client();
    client.send(12, &waiting(fetch("orders", 0, 0))).await;
    within("the shutdown", served.server.shutdown()).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn clients_are_answered_the_address_that_they_have_connected_to() {
    let server = Server::bind(&Broker::new(), "0.0.0.0:0").await.unwrap();
    let port = server.addresses()[0].port();
    assert_eq!(server.bootstrap(), format!("0.0.0.0:{port}"));
    for host in ["127.0.0.1", "127.0.0.2"] {
        let (answered, answered_port) = broker_address(&format!("{host}:{port}")).await;
        assert_eq!((answered.as_str(), answered_port), (host, i32::from(port)));
    }
}

#[tokio::test]
async fn the_bootstrap_addresses_are_those_of_one_protocol() {
    let sasl = Security::plaintext().sasl([SaslMechanism::Plain]);
    let secured = || Listener::new("127.0.0.1:0").security(sasl.clone());
    let server = Server::builder()
        .listener(Listener::new("127.0.0.1:0").advertised("a.test", 1))
        .listener(secured().advertised("b.test", 2))
        .listener(Listener::new("127.0.0.1:0").advertised("c.test", 3))
        .user("alice", "alice-secret")
        .bind(&Broker::new())
        .await
        .unwrap();
    assert_eq!(server.bootstrap(), "a.test:1,c.test:3");
}

#[tokio::test]
async fn each_listener_has_its_own_advertised_address() {
    let server = Server::builder()
        .listen_advertised("127.0.0.1:0", "inside.test", 9092)
        .listen_advertised("127.0.0.1:0", "outside.test", 19092)
        .bind(&Broker::new())
        .await
        .unwrap();
    assert_eq!(server.bootstrap(), "inside.test:9092,outside.test:19092");
    for (i, expected) in [("inside.test", 9092), ("outside.test", 19092)]
        .iter()
        .enumerate()
    {
        let address = server.addresses()[i].to_string();
        let (host, port) = broker_address(&address).await;
        assert_eq!((host.as_str(), port), *expected);
    }
}

/// The address of the broker that Metadata returns over TCP.
async fn broker_address(address: &str) -> (String, i32) {
    use bytes::{Buf, BufMut, BytesMut};
    use kafka_protocol::messages::MetadataResponse;
    use kafka_protocol::protocol::{Decodable, Encodable};
    let mut frame = BytesMut::new();
    frame.put_slice(&[0, 3, 0, 1, 0, 0, 0, 7, 255, 255]);
    let request = MetadataRequest::default().with_topics(None);
    request.encode(&mut frame, 1).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_i32(frame.len() as i32).await.unwrap();
    stream.write_all(&frame).await.unwrap();
    let length = within("the answer", stream.read_i32()).await.unwrap();
    let mut answer = vec![0; length as usize];
    within("the answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    let mut answer = &answer[..];
    answer.advance(4);
    let response = MetadataResponse::decode(&mut answer, 1).unwrap();
    let broker = &response.brokers[0];
    (broker.host.to_string(), broker.port)
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_and_leaves_nothing_open() {
    let first = Server::bind(&Broker::new(), "127.0.0.13:0").await.unwrap();
    let taken = first.bootstrap();
    let free = {
        let socket = std::net::TcpListener::bind("127.0.0.13:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let builder = Server::builder().listen(&free).listen(&taken);
    let error = builder.bind(&Broker::new()).await.unwrap_err();
    assert!(
        matches!(&error, BindError::Listen { address, .. } if *address == taken),
        "{error}"
    );
    assert!(ask(&free).await.is_none());
}

#[tokio::test]
async fn a_hundred_servers_serve_in_one_process() {
    let mut servers = Vec::new();
    for i in 0..100 {
        let broker = Broker::new();
        broker
            .create_topic(&format!("topic-{i}"), TopicConfig::new())
            .unwrap();
        servers.push(Served {
            server: Server::bind(&broker, "127.0.0.1:0").await.unwrap(),
            broker,
        });
    }
    for (i, served) in servers.iter().enumerate() {
        assert!(ask(&served.server.bootstrap()).await.is_some());
        let request = MetadataRequest::default().with_topics(None);
        let response = served.client().ask(12, &request).await;
        let names = response
            .topics
            .iter()
            .map(|topic| topic.name.clone().unwrap());
        let names: Vec<String> = names.map(|name| name.to_string()).collect();
        assert_eq!(names, [format!("topic-{i}")]);
    }
}

#[tokio::test]
async fn the_cluster_is_described_as_configured() {
    let builder = Server::builder()
        .node_id(7)
        .cluster_id("tests")
        .advertise("broker.test", 1234)
        .default_partitions(4);
    let served = Served::with(builder).await;
    let mut client = served.client();
    assert_eq!(client.metadata("orders").await.partitions.len(), 4);
    let response = client
        .ask(12, &MetadataRequest::default().with_topics(None))
        .await;
    assert_eq!(
        response.cluster_id,
        Some(StrBytes::from_static_str("tests"))
    );
    assert_eq!(response.controller_id.0, 7);
    let broker = &response.brokers[0];
    assert_eq!(
        (broker.node_id.0, &*broker.host, broker.port),
        (7, "broker.test", 1234)
    );
}

#[tokio::test]
async fn a_server_without_topics_answers() {
    let served = Served::new().await;
    let response = served.client().ask(0, &ApiVersionsRequest::default()).await;
    assert!(
        response
            .api_keys
            .iter()
            .any(|api| (api.api_key, api.min_version) == (0, 0))
    );
}
