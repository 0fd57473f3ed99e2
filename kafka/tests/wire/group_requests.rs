//! Requests of classic groups that are refused for what is in them.

use crate::client::Served;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{GroupId, JoinGroupRequest, SyncGroupRequest};
use kafka_protocol::protocol::StrBytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group() -> GroupId {
    GroupId(text("billing"))
}

#[tokio::test]
async fn a_member_with_very_many_assignors_is_refused() {
    let served = Served::new().await;
    let names: Vec<String> = (0..101).map(|i| format!("assignor-{i}")).collect();
    for (count, error) in [(100, 79), (101, 23)] {
        let mut client = served.client();
        let protocols = names[..count]
            .iter()
            .map(|name| JoinGroupRequestProtocol::default().with_name(text(name)));
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(20_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(protocols.collect());
        assert_eq!(client.ask(9, &request).await.error_code, error, "{count}");
    }
}

#[tokio::test]
async fn a_sync_of_a_version_that_names_the_assignor_must_name_it() {
    let served = Served::new().await;
    let mut client = served.client();
    let request = |kind: Option<&str>, name: Option<&str>| {
        SyncGroupRequest::default()
            .with_group_id(group())
            .with_member_id(text("unknown"))
            .with_protocol_type(kind.map(text))
            .with_protocol_name(name.map(text))
    };
    for (kind, name, error) in [
        (None, Some("range"), 23),
        (Some("consumer"), None, 23),
        (Some("consumer"), Some("range"), 25),
    ] {
        let answer = client.ask(5, &request(kind, name)).await;
        assert_eq!(answer.error_code, error, "{kind:?} {name:?}");
    }
    assert_eq!(client.ask(4, &request(None, None)).await.error_code, 25);
}
