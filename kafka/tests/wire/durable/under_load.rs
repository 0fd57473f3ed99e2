//! A server that stops while idempotent producers send: nothing is lost, and nothing is there twice.

use super::*;
use crate::requests::{fetch, idempotent, produce, records};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{FetchRequest, InitProducerIdRequest, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable, Request};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The address of the server; `None` while there is none.
pub(super) type Address = watch::Receiver<Option<String>>;

/// Records of a batch.
const BATCH: i32 = 5;
/// Errors after which a batch is sent again: the time is up, or the storage is closed.
const RETRIED: [i16; 2] = [7, 56];

/// Asks over TCP. `None` if the connection breaks.
pub(super) async fn ask<R: Request>(
    stream: &mut TcpStream,
    version: i16,
    request: &R,
) -> Option<R::Response> {
    let api = kafka_protocol::messages::ApiKey::try_from(R::KEY).unwrap();
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(text("test")));
    header
        .encode(&mut frame, api.request_header_version(version))
        .unwrap();
    request.encode(&mut frame, version).unwrap();
    let mut bytes = BytesMut::new();
    bytes.put_i32(frame.len() as i32);
    bytes.put_slice(&frame);
    stream.write_all(&bytes).await.ok()?;
    let length = stream.read_i32().await.ok()?;
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.ok()?;
    let mut answer = Bytes::from(answer);
    answer.advance(match api.response_header_version(version) {
        0 => 4,
        _ => 5,
    });
    Some(R::Response::decode(&mut answer, version).unwrap())
}

async fn connect(address: &mut Address) -> TcpStream {
    loop {
        let to = address
            .wait_for(Option::is_some)
            .await
            .unwrap()
            .clone()
            .unwrap();
        if let Ok(stream) = TcpStream::connect(&to).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn values(partition: i32, number: i32) -> Vec<String> {
    let numbers = number * BATCH..(number + 1) * BATCH;
    numbers.map(|n| format!("{partition}-{n}")).collect()
}

/// Sends batch after batch to a partition until it is to stop; each until it is acknowledged. Returns
/// how many were.
async fn produce_on(partition: i32, mut address: Address, stops: watch::Receiver<bool>) -> i32 {
    let mut number = 0;
    let mut id = None;
    while !*stops.borrow() {
        let mut stream = connect(&mut address).await;
        loop {
            if id.is_none() {
                let request = InitProducerIdRequest::default().with_transactional_id(None);
                let Some(given) = ask(&mut stream, 4, &request).await else {
                    break;
                };
                id = (given.error_code == 0).then_some(given.producer_id.0);
                continue;
            }
            let values = values(partition, number);
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let batch = idempotent(id.unwrap(), 0, number * BATCH, &values);
            let request = produce("orders", partition, batch);
            let Some(response) = ask(&mut stream, 9, &request).await else {
                break;
            };
            let answer = &response.responses[0].partition_responses[0];
            match answer.error_code {
                0 => number += 1,
                code if RETRIED.contains(&code) => {}
                code => panic!(
                    "batch {number} of {partition}: {code}, {:?}",
                    answer.error_message
                ),
            }
            if *stops.borrow() {
                break;
            }
        }
    }
    number
}

/// Producers for partitions `0..partitions`.
pub(super) struct Producers {
    running: JoinSet<(i32, i32)>,
    address: watch::Sender<Option<String>>,
    stop: watch::Sender<bool>,
}

impl Producers {
    pub(super) fn start(partitions: i32) -> Producers {
        let (address, receiver) = watch::channel(None);
        let (stop, stops) = watch::channel(false);
        let mut running = JoinSet::new();
        for partition in 0..partitions {
            let producing = produce_on(partition, receiver.clone(), stops.clone());
            running.spawn(async move { (partition, producing.await) });
        }
        Producers {
            running,
            address,
            stop,
        }
    }

    pub(super) fn set_address(&self, address: Option<String>) {
        self.address.send_replace(address);
    }

    /// Stops them, and checks what is in the log: each acknowledged record once, in their order, and
    /// behind them at most the batch that was not acknowledged. Returns the number of records.
    pub(super) async fn check(mut self) -> i64 {
        self.stop.send_replace(true);
        let mut stream = connect(&mut self.address.subscribe()).await;
        let mut all = 0;
        while let Some(ended) = self.running.join_next().await {
            let (partition, acknowledged) = ended.unwrap();
            let mut found = Vec::new();
            loop {
                let request: FetchRequest = fetch("orders", partition, found.len() as i64);
                let data = crate::requests::only(ask(&mut stream, 12, &request).await.unwrap());
                let records = records(&data);
                if records.is_empty() {
                    break;
                }
                found.extend(records);
            }
            let sent = found.len() as i32 / BATCH;
            assert!(
                (acknowledged..=acknowledged + 1).contains(&sent),
                "{sent} of partition {partition} are there, {acknowledged} were acknowledged"
            );
            let expected = (0..sent).flat_map(|number| values(partition, number));
            let expected: Vec<(i64, String)> = (0..).zip(expected).collect();
            assert_eq!(found, expected, "partition {partition}");
            all += found.len() as i64;
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_and_doubles_nothing() {
    let dir = dir();
    let producers = Producers::start(4);
    let mut last = 0;
    for _ in 0..5 {
        let builder = Server::builder()
            .listen("127.0.0.1:0")
            .default_partitions(4);
        let (broker, _) = Broker::open(storage(dir.path())).unwrap();
        let topic = TopicConfig::new().partitions(4);
        let topic = broker.get_or_create_topic("orders", topic).unwrap();
        let server = builder.bind(&broker).await.unwrap();
        producers.set_address(Some(server.bootstrap()));
        // Until something was sent again, and more.
        let end = || {
            (0..4)
                .map(|p| topic.log_end_offset(p).unwrap())
                .sum::<u64>()
        };
        while end() < last + 200 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        last = end();
        producers.set_address(None);
        stop(Served { broker, server }).await;
    }
    let (broker, _) = Broker::open(storage(dir.path())).unwrap();
    let server = Server::bind(&broker, "127.0.0.1:0").await.unwrap();
    producers.set_address(Some(server.bootstrap()));
    assert!(producers.check().await >= 1000);
    stop(Served { broker, server }).await;
}
