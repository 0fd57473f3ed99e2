//! Topics that come, go and grow, and subscriptions that change.

use super::{beat, create, join, served, subscribed, text};
use crate::client::Served;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;

#[tokio::test]
async fn topics_that_programs_create_delete_and_extend_are_seen_at_the_next_heartbeat() {
    let served = Served::new().await;
    let mut client = served.client();
    assert_eq!(client.beat(join("first")).await, (1, Some(vec![])));
    create(&served, "orders", 2);
    assert_eq!(client.beat(beat("first", 1)).await, (2, Some(vec![0, 1])));
    served
        .broker
        .topic("orders")
        .unwrap()
        .add_partitions(3)
        .unwrap();
    assert_eq!(
        client.beat(beat("first", 2)).await,
        (3, Some(vec![0, 1, 2]))
    );
    served.broker.delete_topic("orders").unwrap();
    // The member gives up what no longer exists.
    assert_eq!(client.beat(beat("first", 3)).await, (3, Some(vec![])));
    let none = beat("first", 3).with_topic_partitions(Some(Vec::new()));
    assert_eq!(client.beat(none).await, (4, None));
    create(&served, "orders", 1);
    assert_eq!(client.beat(beat("first", 4)).await, (5, Some(vec![0])));
}

#[tokio::test]
async fn a_member_subscribes_otherwise() {
    let served = served().await;
    create(&served, "bills", 1);
    let mut client = served.client();
    client.beat(join("first")).await;
    let both = client
        .beat(subscribed(beat("first", 1), &["bills", "orders"]))
        .await;
    assert_eq!((both.0, both.1.map(|all| all.len())), (2, Some(5)));
    let none = subscribed(beat("first", 2), &[]);
    assert_eq!(client.beat(none).await, (2, Some(vec![])));
    let given_up = beat("first", 2).with_topic_partitions(Some(Vec::new()));
    assert_eq!(client.beat(given_up).await, (3, None));
}

/// Kafka matches patterns in the background: its member gets the topics at a later heartbeat.
#[tokio::test]
async fn a_pattern_matches_whole_names_of_topics_also_of_later_ones() {
    let served = served().await;
    create(&served, "orders-2", 1);
    let mut client = served.client();
    let by_pattern = |request: ConsumerGroupHeartbeatRequest, pattern| {
        request
            .with_subscribed_topic_names(None)
            .with_subscribed_topic_regex(Some(text(pattern)))
    };
    let joined = client.beat(by_pattern(join("first"), "orders")).await;
    assert_eq!(joined, (1, Some(vec![0, 1, 2, 3])));
    let more = client.beat(by_pattern(beat("first", 1), "orders.*")).await;
    assert_eq!((more.0, more.1.map(|all| all.len())), (2, Some(5)));
    create(&served, "orders-3", 1);
    let more = client.beat(beat("first", 2)).await;
    assert_eq!((more.0, more.1.map(|all| all.len())), (3, Some(6)));
    let described = client.describe().await;
    let pattern = described.members[0].subscribed_topic_regex.as_deref();
    assert_eq!(pattern, Some("orders.*"));
    assert_eq!(
        client.refused_beat(by_pattern(beat("first", 3), "(")).await,
        128
    );
    let none = client.beat(by_pattern(beat("first", 3), "")).await;
    assert_eq!(none, (3, Some(vec![])));
}

#[tokio::test]
async fn a_pattern_that_is_long_or_takes_much_memory_is_refused() {
    let served = served().await;
    let mut client = served.client();
    let at_limit = "a".repeat(4096);
    let longer = "a".repeat(4097);
    for (pattern, error) in [(&*at_limit, 0), (&longer, 128), (r"\pL{100}", 128)] {
        let request = join("m").with_subscribed_topic_regex(Some(text(pattern)));
        let answer = client.ask(1, &request).await;
        assert_eq!(answer.error_code, error, "{:?}", answer.error_message);
    }
}
