//! Static members: they leave for a while, and come back.

use super::{beat, group, is_static, join, served, text};
use kafka_protocol::messages::LeaveGroupRequest;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
async fn a_static_member_keeps_its_partitions_while_it_is_away() {
    let served = served().await;
    let mut client = served.client();
    let joining = |member| is_static(join(member), "worker-1");
    let leaving = |member| is_static(beat(member, -2), "worker-1");
    assert_eq!(
        client.beat(joining("first")).await,
        (1, Some(vec![0, 1, 2, 3]))
    );
    assert_eq!(client.beat(leaving("first")).await, (-2, None));
    assert_eq!(client.refused_beat(beat("first", 1)).await, 110);
    assert_eq!(client.beat(join("second")).await, (2, Some(vec![])));
    assert_eq!(client.beat(beat("second", 2)).await, (2, None));
    assert_eq!(client.state().await, "Reconciling");

    // It comes back with another id, or with the same one. It has nothing left to give up.
    assert_eq!(client.beat(joining("third")).await, (2, Some(vec![0, 1])));
    assert_eq!(client.refused_beat(beat("first", 1)).await, 25);
    let stale = is_static(beat("first", 1), "worker-1");
    assert_eq!(client.refused_beat(stale).await, 82);
    assert_eq!(client.beat(leaving("third")).await, (-2, None));
    assert_eq!(client.beat(joining("third")).await, (2, Some(vec![0, 1])));
    assert_eq!(client.beat(beat("second", 2)).await, (2, Some(vec![2, 3])));
}

#[tokio::test]
async fn an_instance_id_is_refused_while_its_member_is_active_also_to_that_member() {
    let served = served().await;
    let mut client = served.client();
    client.beat(is_static(join("first"), "worker-1")).await;
    for member in ["first", "second"] {
        let again = is_static(join(member), "worker-1");
        assert_eq!(client.refused_beat(again).await, 111);
    }
    let beat = |member, instance| is_static(beat(member, 1), instance);
    assert_eq!(client.beat(beat("first", "worker-1")).await, (1, None));
    assert_eq!(client.refused_beat(beat("second", "worker-1")).await, 82);
    assert_eq!(client.refused_beat(beat("first", "worker-2")).await, 25);
}

#[tokio::test(start_paused = true)]
async fn a_static_member_that_stays_away_is_removed_after_its_session() {
    let served = served().await;
    let mut client = served.client();
    client.beat(is_static(join("first"), "worker-1")).await;
    client.beat(is_static(beat("first", -2), "worker-1")).await;
    sleep(Duration::from_secs(46)).await;
    assert_eq!(client.state().await, "Empty");
    let joined = client.beat(is_static(join("second"), "worker-1")).await;
    assert_eq!(joined, (3, Some(vec![0, 1, 2, 3])));
}

#[tokio::test]
async fn administrators_remove_members_by_leave_group() {
    let served = served().await;
    let mut client = served.client();
    client.beat(is_static(join("first"), "worker-1")).await;
    client.beat(join("second")).await;
    let by_instance = MemberIdentity::default().with_group_instance_id(Some(text("worker-1")));
    let by_id = MemberIdentity::default().with_member_id(text("second"));
    let request = LeaveGroupRequest::default()
        .with_group_id(group())
        .with_members(vec![by_instance, by_id.clone(), by_id]);
    let response = client.ask(5, &request).await;
    let errors = response.members.iter().map(|member| member.error_code);
    assert_eq!(errors.collect::<Vec<_>>(), [0, 0, 25]);
    assert_eq!(client.state().await, "Empty");
}
