//! Any bytes as what a client sends: the server answers or closes the connection, and does not hang.
//!
//! An input is a sequence of frames. For most, the API and the version are ones that are served, and
//! the length is right: without that, next to none would come past the header. Some have a batch in
//! them whose checksum is right.
#![no_main]
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod batch;

use arbitrary::{Result, Unstructured};
use batch::checked;
use libfuzzer_sys::fuzz_target;
use ringlog::{Broker, TopicConfig};
use ringlog_kafka::Server;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

/// Frames of an input.
const MOST_FRAMES: usize = 8;
/// Produce, Fetch, and so on: an API that is not served closes the connection, so these have no gaps.
const APIS: [i16; 48] = [
    0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 29, 31, 32, 33, 35,
    36, 37, 38, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 61, 66, 68, 69, 74, 75, 76, 77, 80,
];
/// The version is at most this.
const VERSIONS: i16 = 18;

fuzz_target!(|data: &[u8]| {
    let mut input = Unstructured::new(data);
    let Ok(bytes) = frames(&mut input) else {
        return;
    };
    // One runtime for all inputs: it takes longer to make than most inputs to serve.
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(serve(&bytes)));
});

fn frames(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..input.int_in_range(1..=MOST_FRAMES)? {
        if input.is_empty() {
            break;
        }
        if input.ratio(1, 32)? {
            // Whatever it is.
            let length = input.int_in_range(0..=64usize)?.min(input.len());
            bytes.extend_from_slice(input.bytes(length)?);
            continue;
        }
        if input.ratio(1, 4)? {
            let length = input.int_in_range(0..=256usize)?.min(input.len());
            let batch = checked(input.bytes(length)?);
            push(&mut bytes, &produce(input.int_in_range(-1..=1)?, &batch));
            continue;
        }
        let mut frame = Vec::new();
        frame.extend_from_slice(&input.choose(&APIS)?.to_be_bytes());
        frame.extend_from_slice(&input.int_in_range(0..=VERSIONS)?.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 1, 0, 1, b'c']);
        let length = input.int_in_range(0..=512usize)?.min(input.len());
        frame.extend_from_slice(input.bytes(length)?);
        push(&mut bytes, &frame);
    }
    Ok(bytes)
}

/// Appends a frame, with its length in front.
fn push(bytes: &mut Vec<u8>, frame: &[u8]) {
    bytes.extend_from_slice(&(frame.len() as i32).to_be_bytes());
    bytes.extend_from_slice(frame);
}

/// Produce, version 3, of one batch to partition 0 of topic `t`.
fn produce(acks: i16, batch: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 3, 0, 0, 0, 1, 0, 1, b'c', 0xff, 0xff];
    frame.extend_from_slice(&acks.to_be_bytes());
    frame.extend_from_slice(&1000i32.to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0]);
    push(&mut frame, batch);
    frame
}

/// Sends the bytes to a server, ends the stream, and waits for the server to be done.
async fn serve(bytes: &[u8]) {
    let broker = Broker::new();
    let small = TopicConfig::new()
        .segments(2)
        .segment_records(8)
        .segment_bytes(512);
    broker.create_topic("t", small.clone()).unwrap();
    let server = Server::builder().topic_config(small);
    let server = server.bind(&broker).await.unwrap();
    let (mut client, served) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(server.serve(served));
    let exchange = async {
        // The server may have closed the connection already.
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers).await;
        serving.await.unwrap();
    };
    // By the paused clock: it goes on when nothing else is to be done.
    let hour = Duration::from_secs(3600);
    tokio::time::timeout(hour, exchange).await.unwrap();
}
