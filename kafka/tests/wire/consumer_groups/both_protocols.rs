//! Groups of both protocols beside each other, as administrators see them.

use super::{beat, group, group_of_two, is_static, join, served, target, text};
use crate::client::Client;
use crate::requests::name;
use kafka_protocol::messages::*;

async fn join_classic(client: &mut Client, member: &str) -> JoinGroupResponse {
    let protocol = join_group_request::JoinGroupRequestProtocol::default().with_name(text("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    client.ask(9, &request).await
}

#[tokio::test]
async fn a_group_without_members_changes_its_protocol_and_keeps_its_offsets() {
    let served = served().await;
    let mut client = served.client();
    // By an administrator, before there are members.
    assert_eq!(client.commit_as(9, "", -1, 7).await, 0);
    assert_eq!(
        client.beat(join("first")).await,
        (1, Some(vec![0, 1, 2, 3]))
    );
    assert_eq!(client.offset_for(Some("first"), 1).await, Ok(7));
    client.beat(beat("first", -1)).await;
    let id = join_classic(&mut client, "").await.member_id;
    assert_eq!(join_classic(&mut client, &id).await.error_code, 0);
    assert_eq!(client.describe().await.error_code, 69);
    assert_eq!(client.offset_for(None, -1).await, Ok(7));
}

#[tokio::test]
async fn groups_are_listed_and_described_by_their_protocol() {
    let served = served().await;
    let (mut client, _) = group_of_two(&served).await;
    for (types, states, expected) in [
        (vec![], vec![], 1),
        (vec![text("CONSUMER")], vec![text("stable")], 1),
        (vec![text("classic")], vec![], 0),
        (vec![], vec![text("Empty")], 0),
    ] {
        let request = ListGroupsRequest::default()
            .with_types_filter(types)
            .with_states_filter(states);
        let listed = client.ask(5, &request).await.groups;
        assert_eq!(listed.len(), expected, "{request:?}");
        for group in listed {
            assert_eq!(
                (&*group.protocol_type, &*group.group_type),
                ("consumer", "consumer")
            );
        }
    }
    for (version, error) in [(5, 0), (6, 69)] {
        let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
        let described = client.ask(version, &request).await.groups.remove(0);
        assert_eq!(
            (described.error_code, &*described.group_state),
            (error, "Dead")
        );
        assert_eq!(described.error_message.is_some(), version >= 6);
    }
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    assert_eq!(client.ask(2, &request).await.results[0].error_code, 68);
    client.beat(beat("first", -1)).await;
    client.beat(beat("second", -1)).await;
    assert_eq!(client.ask(2, &request).await.results[0].error_code, 0);
    assert_eq!(client.describe().await.error_code, 69);
}

#[tokio::test]
async fn a_description_has_what_members_state() {
    let served = served().await;
    let mut client = served.client();
    let request = is_static(join("first"), "worker-1").with_rack_id(Some(text("rack-1")));
    client.beat(request).await;
    client.beat(join("second")).await;
    client.beat(beat("first", 1)).await;
    let described = client.describe().await;
    assert_eq!((described.group_epoch, described.assignment_epoch), (2, 2));
    assert_eq!(
        (&*described.group_state, &*described.assignor_name),
        ("Reconciling", "uniform")
    );
    assert_eq!(described.authorized_operations, i32::MIN);
    let first = &described.members[0];
    assert_eq!(
        (&*first.member_id, first.member_epoch, first.member_type),
        ("first", 1, 1)
    );
    assert_eq!(first.instance_id.as_deref(), Some("worker-1"));
    assert_eq!(first.rack_id.as_deref(), Some("rack-1"));
    assert_eq!(
        (&*first.client_id, &*first.client_host),
        ("test", "/stream")
    );
    assert_eq!(first.subscribed_topic_names, [name("orders")]);
    assert_eq!(first.assignment.topic_partitions[0].partitions, [0, 1]);
    let second = &described.members[1];
    assert_eq!(
        (
            second.member_epoch,
            second.assignment.topic_partitions.len()
        ),
        (2, 0)
    );
    assert_eq!(target(second), [("orders", vec![2, 3])]);
}

#[tokio::test]
async fn refused_requests_leave_no_group_behind() {
    let served = served().await;
    let mut client = served.client();
    let no_protocol = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_protocol_type(text("consumer"));
    assert_eq!(client.ask(5, &no_protocol).await.error_code, 23);
    served.broker.delete_topic("orders").unwrap();
    assert_eq!(client.commit_as(9, "", -1, 7).await, 3);
    let listed = client.ask(5, &ListGroupsRequest::default()).await;
    assert_eq!(listed.groups, []);
}

#[tokio::test]
async fn groups_that_hold_nothing_are_removed_when_there_are_many() {
    let served = served().await;
    let mut client = served.client();
    assert_eq!(client.commit_as(9, "", -1, 7).await, 0);
    for i in 0..1_024 {
        let group = GroupId(text(&format!("group-{i}")));
        for request in [join("first"), beat("first", -1)] {
            client.beat(request.with_group_id(group.clone())).await;
        }
    }
    let listed = client.ask(5, &ListGroupsRequest::default()).await.groups;
    let names = listed.iter().map(|group| group.group_id.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["billing", "group-1023"]);
}
