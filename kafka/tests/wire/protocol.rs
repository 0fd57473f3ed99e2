//! Requests that are not well formed.

use crate::client::{Client, Served};
use crate::requests::{batch, produce};
use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest};
use kafka_protocol::protocol::{Decodable, StrBytes};
use ringlog_kafka::{Server, ServerLimits};

/// The header of a request, without tagged fields.
fn header(api: i16, version: i16) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(api);
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(-1);
    frame
}

async fn assert_answers(client: &mut Client) {
    let response = client.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(response.error_code, 0);
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let served = Served::new().await;
    let mut client = served.client();
    let mut with_tags = header(18, 99);
    with_tags.put_u8(0);
    for frame in [header(18, 5), header(18, 99), with_tags] {
        client.send_frame(&frame).await;
        let mut answer = client.receive_frame("the answer").await.unwrap();
        assert_eq!(answer.get_i32(), 7);
        let response = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
        assert_eq!((response.error_code, answer.len()), (35, 0));
        let only = &response.api_keys[..];
        assert_eq!(only.len(), 1);
        let versions = (only[0].api_key, only[0].min_version, only[0].max_version);
        assert_eq!(versions, (18, 0, 4));
        assert_answers(&mut client).await;
    }
}

#[tokio::test]
async fn an_unknown_api_or_version_closes_the_connection() {
    let served = Served::new().await;
    for (api, version) in [(3, 99), (3, -1), (0, 2), (999, 0), (-1, 0), (4, 0)] {
        let mut client = served.client();
        assert_answers(&mut client).await;
        client.send_frame(&header(api, version)).await;
        assert!(client.is_closed().await, "{api} v{version}");
    }
}

#[tokio::test]
async fn a_frame_of_a_forbidden_length_closes_the_connection() {
    let mut limits = ServerLimits::default();
    limits.request_bytes = 1_000;
    let served = Served::with(Server::builder().limits(limits)).await;
    for length in [-1, i32::MIN, 1_001, i32::MAX] {
        let mut client = served.client();
        client.send_bytes(&length.to_be_bytes()).await;
        assert!(client.is_closed().await, "{length}");
    }
}

#[tokio::test]
async fn a_frame_that_is_cut_anywhere_closes_the_connection() {
    let served = Served::new().await;
    // Metadata of version 1, of one topic.
    let mut frame = header(3, 1);
    frame.put_i32(1);
    frame.put_i16(6);
    frame.put_slice(b"orders");
    for end in 0..frame.len() {
        let mut client = served.client();
        client.send_frame(&frame[..end]).await;
        assert!(client.is_closed().await, "{end}");
    }
    assert_eq!(served.broker.topic_names(), [""; 0]);
}

#[tokio::test]
async fn a_length_that_lies_closes_the_connection_and_takes_no_memory() {
    let served = Served::new().await;
    // Arrays of two billion topics: of Metadata v1 and v12, of Produce v3 and v9, of Fetch v12.
    let mut frames = Vec::new();
    for (api, version, before) in [(3, 1, &[][..]), (0, 3, &[255, 255, 0, 0, 0, 0, 0, 0])] {
        let mut frame = header(api, version);
        frame.put_slice(before);
        frame.put_i32(i32::MAX);
        frames.push(frame);
    }
    for (api, version, before) in [(3, 12, &[0][..]), (0, 9, &[0, 0, 0, 0, 0, 0, 0, 0])] {
        let mut frame = header(api, version);
        frame.put_slice(before);
        frame.put_slice(&[255, 255, 255, 255, 15]);
        frames.push(frame);
    }
    for frame in frames {
        let mut client = served.client();
        client.send_frame(&frame).await;
        assert!(client.is_closed().await, "{frame:?}");
    }
}

/// Fetch v18 of two topics. The only partition of the first has one tagged field, of this tag and
/// length; then the topic has one of 35 bytes. Read from 16 bytes
/// on, those state an array of 4 billion.
fn fetch_with_tagged_field(tag: u8, length: u8) -> BytesMut {
    let mut frame = header(1, 18);
    frame.put_u8(0);
    frame.put_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 232, 0]);
    frame.put_slice(&[0, 0, 0, 0, 255, 255, 255, 255]);
    frame.put_u8(3);
    frame.put_slice(&[0; 16]);
    frame.put_u8(2);
    frame.put_slice(&[0; 32]);
    frame.put_slice(&[1, tag, length]);
    frame.put_bytes(0, length.into());
    let mut blob = [0; 35];
    blob[30..].copy_from_slice(&[254, 255, 255, 255, 15]);
    frame.put_slice(&[1, 5, 35]);
    frame.put_slice(&blob);
    frame.put_slice(&[0; 16]);
    frame.put_slice(&[1, 0]);
    frame.put_slice(&[1, 1, 0]);
    frame
}

#[tokio::test]
async fn a_known_tagged_field_of_another_length_closes_the_connection() {
    let served = Served::new().await;
    for (tag, length, is_refused) in [
        (0, 0, true),
        (0, 15, true),
        (0, 17, true),
        (1, 0, true),
        (1, 9, true),
        (0, 16, false),
        (1, 8, false),
        (2, 3, false),
    ] {
        let mut client = served.client();
        let frame = fetch_with_tagged_field(tag, length);
        client.send_frame(&frame).await;
        let answer = client.receive_frame("the answer").await;
        assert_eq!(answer.is_none(), is_refused, "{tag} {length}");
    }
}

#[tokio::test]
async fn bytes_behind_a_request_are_ignored() {
    let served = Served::new().await;
    let mut client = served.client();
    let mut frame = header(18, 0);
    frame.put_slice(b"surplus");
    client.send_frame(&frame).await;
    assert!(client.receive_frame("the answer").await.is_some());
}

#[tokio::test]
async fn random_bytes_do_not_hurt_the_server() {
    let served = Served::new().await;
    let mut state = 1u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2_000 {
        // An API that is served, a version, and then anything.
        let mut frame = header(
            [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 18, 22][random() as usize % 13],
            (random() % 14) as i16,
        );
        for _ in 0..random() % 60 {
            frame.put_u8(match random() % 4 {
                0 => 0,
                1 => 1,
                2 => 255,
                _ => random() as u8,
            });
        }
        let mut client = served.client();
        client.send_frame(&frame).await;
        drop(client);
    }
    assert_answers(&mut served.client()).await;
}

#[tokio::test]
async fn a_client_that_does_not_name_itself_well_is_refused() {
    let served = Served::new().await;
    let mut client = served.client();
    for name in ["", "-a", "a b"] {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str("1"));
        assert_eq!(client.ask(3, &request).await.error_code, 42, "{name:?}");
    }
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_order() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    for _ in 0..100 {
        client
            .send(9, &produce("orders", 0, batch(&["login"])))
            .await;
        client
            .send(1, &MetadataRequest::default().with_topics(None))
            .await;
    }
    for id in 2..202 {
        let mut answer = client.receive_frame("an answer").await.unwrap();
        assert_eq!(answer.get_i32(), id);
    }
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let served = Served::new().await;
    let mut client = served.client();
    let frame = header(18, 0);
    for byte in (frame.len() as i32).to_be_bytes().iter().chain(&frame[..]) {
        client.send_bytes(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert!(client.receive_frame("the answer").await.is_some());
}
