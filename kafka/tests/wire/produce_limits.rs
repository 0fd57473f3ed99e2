//! What a Produce request may not make the server do.

use crate::client::Served;
use crate::requests::{batch, produce};
use ringlog_kafka::batch::{Codec, RecordFields, encode};

#[tokio::test]
async fn a_partition_that_a_request_names_twice_is_appended_once() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let mut request = produce("orders", 0, batch(&["a"]));
    let data = request.topic_data[0].clone();
    request.topic_data.push(data);
    let answer = client.ask(9, &request).await;
    let partitions = answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses);
    let mut errors: Vec<i16> = partitions.map(|partition| partition.error_code).collect();
    errors.sort_unstable();
    assert_eq!(errors, [0, 42]);
    let topic = served.broker.topic("orders").unwrap();
    assert_eq!(topic.log_end_offset(0), Ok(1));
}

#[tokio::test]
async fn an_answer_lists_some_of_many_refused_records() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let far = RecordFields {
        timestamp: i64::MAX,
        ..RecordFields::default()
    };
    let sent = encode(&vec![far; 100], Codec::None).unwrap().into();
    let answer = client.produce("orders", 0, sent).await;
    assert_eq!((answer.error_code, answer.record_errors.len()), (32, 16));
}
