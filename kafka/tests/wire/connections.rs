//! How long connections are kept, and how many.

use crate::client::{Client, Served, within};
use crate::counted::counted;
use crate::requests::{batch, fetch, only, waiting};
use crate::scram::assert_served;
use ringlog::{Broker, TopicConfig};
use ringlog_kafka::Server;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// ApiVersions, of version 0.
const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];
const IDLE: Duration = Duration::from_secs(20);

async fn served() -> Served {
    Served::with(Server::builder().max_idle(Some(IDLE))).await
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed() {
    let served = served().await;
    let mut client = served.client();
    for _ in 0..3 {
        tokio::time::sleep(IDLE * 3 / 4).await;
        assert_served(&mut client).await;
    }
    let begin = Instant::now();
    assert!(client.is_closed().await);
    assert!(begin.elapsed() >= IDLE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_within_a_request_is_closed() {
    let served = served().await;
    for cut in [1, 4, 9] {
        let mut client = served.client();
        client.send_bytes(&REQUEST[..cut]).await;
        assert!(client.is_closed().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_request_waits_is_not_silent() {
    let served = served().await;
    served
        .broker
        .create_topic("orders", TopicConfig::new())
        .unwrap();
    let mut client = served.client();
    let begin = Instant::now();
    let mut request = waiting(fetch("orders", 0, 0));
    request.max_wait_ms = 50_000;
    client.send(12, &request).await;
    let response = client
        .receive::<kafka_protocol::messages::FetchRequest>(12)
        .await;
    assert!(begin.elapsed() >= IDLE * 2, "{:?}", begin.elapsed());
    assert_eq!(only(response).error_code, 0);
    assert_served(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answers_is_closed() {
    let served = served().await;
    let topic = TopicConfig::new();
    served.broker.create_topic("orders", topic).unwrap();
    let mut client = served.client();
    client
        .produce("orders", 0, batch(&[&"x".repeat(200_000)]))
        .await;
    client.send(12, &fetch("orders", 0, 0)).await;
    tokio::time::sleep(IDLE * 2).await;
    let mut rest = Vec::new();
    within("the close", client.stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert!((1..200_000).contains(&rest.len()), "{}", rest.len());
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_to_be_closed() {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .listen("127.0.0.1:0")
        .max_connections(Some(1))
        .bind(&Broker::new())
        .await
        .unwrap();
    let mut first = TcpStream::connect(server.addresses()[0]).await.unwrap();
    first.write_all(&REQUEST).await.unwrap();
    let length = within("the first answer", first.read_i32()).await.unwrap();
    let mut answer = vec![0; length as usize];
    first.read_exact(&mut answer).await.unwrap();

    let mut second = TcpStream::connect(server.addresses()[1]).await.unwrap();
    second.write_all(&REQUEST).await.unwrap();
    // The first is still served, and the second not.
    first.write_all(&REQUEST).await.unwrap();
    within("another answer", first.read_i32()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_i32()).await;
    assert!(early.is_err(), "two connections are served");
    drop(first);
    within("the second answer", second.read_i32())
        .await
        .unwrap();
    within("the shutdown", server.shutdown()).await;
}

#[tokio::test]
async fn the_next_request_is_looked_for_and_a_silent_client_costs_nothing() {
    looking(None).await;

    for time in [Duration::ZERO, Duration::from_millis(1)] {
        let served = Served::with(Server::builder().busy_poll(time)).await;
        let (mut client, reads) = counted(&served);
        assert_served(&mut client).await;
        assert_served(&mut client).await;
        within("the end of looking", async {
            while reads.in_a_while().await > 0 {}
        })
        .await;
    }
}

/// A server whose connections look for the next request for as long as they may.
async fn looking(max_idle: Option<Duration>) -> (Served, Client) {
    let builder = Server::builder().busy_poll(Duration::MAX);
    let served = Served::with(builder.max_idle(max_idle)).await;
    let (mut client, reads) = counted(&served);
    assert_served(&mut client).await;
    assert_served(&mut client).await;
    within("looking for the next request", async {
        while reads.in_a_while().await < 10 {}
    })
    .await;
    (served, client)
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_connections_that_look_for_the_next_request() {
    let (served, mut client) = looking(None).await;
    within("the shutdown", served.server.shutdown()).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_silent_client_is_closed_although_its_next_request_is_looked_for() {
    let (_served, mut client) = looking(Some(Duration::from_secs(1))).await;
    assert!(client.is_closed().await);
}
