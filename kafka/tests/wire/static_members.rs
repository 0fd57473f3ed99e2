//! Static members of a group whose clients send older versions.

use crate::client::{Client, Served};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("billing"))
}

/// Joins as the static member `worker-1` without a member id, in a version without `skip_assignment`.
async fn join(client: &mut Client, subscription: &'static [u8]) -> JoinGroupResponse {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(StrBytes::from_static_str("range"))
        .with_metadata(subscription.into());
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(20_000)
        .with_group_instance_id(Some(StrBytes::from_static_str("worker-1")))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    client.ask(7, &request).await
}

#[tokio::test(start_paused = true)]
async fn a_static_leader_that_comes_back_does_not_rebalance_the_group() {
    let served = Served::new().await;
    let mut client = served.client();
    let before = join(&mut client, b"all").await;
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(before.member_id.clone())
        .with_assignment(b"mine".as_slice().into());
    let mut sync = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(before.generation_id)
        .with_member_id(before.member_id.clone())
        .with_assignments(vec![assignment]);
    assert_eq!(client.ask(3, &sync).await.error_code, 0);

    // Its subscription is another, and Kafka does not look at that here.
    let after = join(&mut served.client(), b"others").await;
    assert_eq!(after.generation_id, before.generation_id);
    // It is answered the leader that it was, so that it does not assign.
    assert_ne!(after.member_id, before.member_id);
    assert_eq!(after.leader, before.member_id);
    assert!(after.members.is_empty());
    sync.member_id = after.member_id.clone();
    sync.assignments.clear();
    assert_eq!(&client.ask(3, &sync).await.assignment[..], b"mine");
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(after.generation_id)
        .with_member_id(after.member_id);
    assert_eq!(client.ask(3, &heartbeat).await.error_code, 0);
}
