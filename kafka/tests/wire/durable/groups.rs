//! Groups over restarts: their offsets, and their members of both protocols.

use super::*;
use crate::consumer_groups::{beat, is_static, join, owning};
use crate::groups::Member;
use crate::requests::{batch, name};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::*;
use ringlog::TopicConfig;

async fn served(dir: &Path, partitions: u32) -> Served {
    let served = serve(dir).await;
    let config = TopicConfig::new().partitions(partitions);
    served.broker.get_or_create_topic("orders", config).unwrap();
    served
}

async fn listed(client: &mut Client) -> Vec<ListedGroup> {
    client.ask(5, &ListGroupsRequest::default()).await.groups
}

async fn crash(dir: &mut TempDir, served: Served) -> Served {
    *dir = crashed(dir.path());
    stop(served).await;
    serve(dir.path()).await
}

pub(super) fn commit(group: &str, offsets: &[(&str, i32, i64, i32, &str)]) -> OffsetCommitRequest {
    let topics = offsets
        .iter()
        .map(|(topic, number, offset, epoch, metadata)| {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(*number)
                .with_committed_offset(*offset)
                .with_committed_leader_epoch(*epoch)
                .with_committed_metadata(Some(text(metadata)));
            OffsetCommitRequestTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![partition])
        });
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.collect())
}

/// All offsets of a group: topic, partition, offset, leader epoch, metadata.
pub(super) async fn offsets(
    client: &mut Client,
    group: &str,
) -> Vec<(String, i32, i64, i32, String)> {
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text(group)))
        .with_member_epoch(-1)
        .with_topics(None);
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let group = client.ask(8, &request).await.groups.remove(0);
    assert_eq!(group.error_code, 0);
    let topics = group.topics.into_iter();
    let all = topics.flat_map(|topic| {
        let name = topic.name.to_string();
        topic.partitions.into_iter().map(move |one| {
            let metadata = one.metadata.unwrap_or_default().to_string();
            let (offset, epoch) = (one.committed_offset, one.committed_leader_epoch);
            (name.clone(), one.partition_index, offset, epoch, metadata)
        })
    });
    all.collect()
}

#[tokio::test]
async fn offsets_are_there_with_their_metadata_and_epochs() {
    let mut dir = dir();
    let before = served(dir.path(), 3).await;
    let mut client = before.client();
    client.metadata("other").await;
    for partition in 0..3 {
        for _ in 0..10 {
            client.produce("orders", partition, batch(&["a"])).await;
        }
    }
    let given = [
        ("orders", 0, 5, 0, "half"),
        ("orders", 2, 10, -1, ""),
        ("other", 0, 0, 0, "none"),
    ];
    let response = client.ask(8, &commit("billing", &given)).await;
    assert!(
        response
            .topics
            .iter()
            .all(|t| t.partitions[0].error_code == 0)
    );
    client
        .ask(8, &commit("billing", &[("orders", 0, 6, 0, "more")]))
        .await;
    // A partition that is named twice has the last one.
    let twice = [("orders", 2, 9, -1, ""), ("orders", 2, 10, -1, "")];
    client.ask(8, &commit("billing", &twice)).await;
    client.ask(8, &commit("gone", &given)).await;
    let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("gone"))]);
    assert_eq!(client.ask(2, &request).await.results[0].error_code, 0);
    // An offset past the end: it may be of records that a crash has taken.
    client
        .ask(8, &commit("ahead", &[("orders", 1, 11, 0, "")]))
        .await;
    let expected = [
        ("orders".to_owned(), 0, 6, 0, "more".to_owned()),
        ("orders".to_owned(), 2, 10, -1, String::new()),
        ("other".to_owned(), 0, 0, 0, "none".to_owned()),
    ];
    let after = crash(&mut dir, before).await;
    let mut client = after.client();
    assert_eq!(offsets(&mut client, "billing").await, expected);
    assert_eq!(offsets(&mut client, "ahead").await[0].2, 10);
    let names: Vec<_> = listed(&mut client)
        .await
        .into_iter()
        .map(|g| g.group_id.to_string())
        .collect();
    assert_eq!(names, ["ahead", "billing"]);
    // A topic that is deleted takes its offsets with it, also if another has its name then.
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name("orders")]);
    client.ask(5, &request).await;
    client.metadata("orders").await;
    assert_eq!(offsets(&mut client, "billing").await, expected[2..]);
    let after = crash(&mut dir, after).await;
    assert_eq!(offsets(&mut after.client(), "billing").await, expected[2..]);
    stop(after).await;
}

#[tokio::test]
async fn a_classic_group_goes_on_in_its_generation() {
    let mut dir = dir();
    let before = served(dir.path(), 1).await;
    let (mut leader, mut follower) = crate::groups::group_of_two(&before).await;
    client_commits(&mut leader).await;
    let after = crash(&mut dir, before).await;
    for member in [&mut leader, &mut follower] {
        member.client = after.client();
        assert_eq!(member.heartbeat().await, 0);
    }
    assert_eq!(&follower.sync(&[]).await.assignment[..], b"second");
    assert_eq!(&leader.sync(&[]).await.assignment[..], b"first");
    let group = &listed(&mut leader.client).await[0];
    assert_eq!(
        (&*group.group_state, &*group.group_type),
        ("Stable", "classic")
    );
    // A third member: both join again, and the generation is the next.
    let mut third = Member::new(&after);
    third.send_first_join().await;
    assert_eq!(leader.heartbeat().await, 27);
    leader.send_join().await;
    follower.send_join().await;
    let (a, b, c) = (
        leader.joined().await,
        follower.joined().await,
        third.joined().await,
    );
    assert_eq!([a.generation_id, b.generation_id, c.generation_id], [3; 3]);
    assert_eq!(a.members.len() + b.members.len() + c.members.len(), 3);
    stop(after).await;
}

async fn client_commits(member: &mut Member) {
    assert_eq!(member.commit(0, 0).await, 0);
}

#[tokio::test]
async fn a_classic_group_that_was_rebalancing_rebalances_again() {
    let mut dir = dir();
    let before = served(dir.path(), 1).await;
    let (mut leader, mut follower) = crate::groups::group_of_two(&before).await;
    let mut third = Member::new(&before);
    third.send_first_join().await;
    assert_eq!(leader.join().await.generation_id, 3);
    let after = crash(&mut dir, before).await;
    for member in [&mut leader, &mut follower, &mut third] {
        member.client = after.client();
    }
    // What it was joining to is not there; the member that has joined is to join again, the one that
    // had not is as before, and the new one is not known.
    assert_eq!(leader.sync(&[]).await.error_code, 22);
    assert_eq!(follower.heartbeat().await, 0);
    assert_eq!(third.join().await.error_code, 25);
    leader.send_join().await;
    assert_eq!(follower.heartbeat().await, 27);
    follower.send_join().await;
    let (a, b) = (leader.joined().await, follower.joined().await);
    assert_eq!((a.error_code, a.generation_id), (0, 3));
    assert_eq!((b.error_code, b.generation_id), (0, 3));
    stop(after).await;
}

#[tokio::test]
async fn a_static_member_and_an_empty_group_are_as_they_were() {
    let mut dir = dir();
    let before = served(dir.path(), 1).await;
    let mut member = Member::named(&before, "first");
    assert_eq!(member.join().await.generation_id, 1);
    let id = member.id.clone();
    let assignments: [(_, &[u8]); 1] = [(&id, b"all")];
    assert_eq!(member.sync(&assignments).await.error_code, 0);
    let after = crash(&mut dir, before).await;
    // It comes back without its id, and goes on with its assignment.
    let mut back = Member::named(&after, "first");
    let joined = back.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_ne!(joined.member_id, id);
    assert_eq!(&back.sync(&[]).await.assignment[..], b"all");
    // Its new id is the one that counts, also after the next restart.
    let after = crash(&mut dir, after).await;
    back.client = after.client();
    assert_eq!(back.heartbeat().await, 0);
    member.client = after.client();
    assert_eq!(member.heartbeat().await, 82);
    assert_eq!(back.leave().await, 0);
    let after = crash(&mut dir, after).await;
    let groups = listed(&mut after.client()).await;
    assert_eq!((groups.len(), &*groups[0].group_state), (1, "Empty"));
    stop(after).await;
}

#[tokio::test]
async fn a_consumer_group_goes_on_in_its_epoch() {
    let mut dir = dir();
    let before = served(dir.path(), 4).await;
    let (_, orders) = crate::consumer_groups::group_of_two(&before).await;
    let after = crash(&mut dir, before).await;
    let mut client = after.client();
    assert_eq!(client.state().await, "Stable");
    assert_eq!(client.beat(beat("first", 2)).await, (2, None));
    assert_eq!(
        client
            .beat(owning(beat("second", 2), orders, &[2, 3]))
            .await,
        (2, None)
    );
    assert_eq!(client.commit_as(9, "first", 2, 0).await, 0);
    // What comes then is as without a restart.
    assert_eq!(client.beat(beat("second", -1)).await.0, -1);
    let after = crash(&mut dir, after).await;
    let mut client = after.client();
    assert_eq!(client.refused_beat(beat("second", 2)).await, 25);
    assert_eq!(
        client.beat(beat("first", 2)).await,
        (3, Some(vec![0, 1, 2, 3]))
    );
    assert_eq!(client.offset_for(Some("first"), 3).await, Ok(0));
    stop(after).await;
}

#[tokio::test]
async fn a_consumer_group_that_was_moving_partitions_goes_on_with_that() {
    let mut dir = dir();
    let before = served(dir.path(), 4).await;
    let mut client = before.client();
    let orders = client.topic_id("orders").await;
    assert_eq!(
        client.beat(join("first")).await,
        (1, Some(vec![0, 1, 2, 3]))
    );
    let second = is_static(join("second"), "two");
    assert_eq!(client.beat(second).await, (2, Some(vec![])));
    assert_eq!(client.beat(beat("first", 1)).await, (1, Some(vec![0, 1])));
    // The first is to give up two partitions, which the second waits for.
    let after = crash(&mut dir, before).await;
    let mut client = after.client();
    assert_eq!(client.state().await, "Reconciling");
    assert_eq!(client.beat(beat("second", 2)).await, (2, None));
    assert_eq!(
        client.beat(owning(beat("first", 1), orders, &[0, 1])).await,
        (2, None)
    );
    let after = crash(&mut dir, after).await;
    let mut client = after.client();
    assert_eq!(client.beat(beat("second", 2)).await, (2, Some(vec![2, 3])));
    assert_eq!(client.state().await, "Stable");
    let taken = is_static(join("third"), "two");
    assert_eq!(client.refused_beat(taken).await, 111);
    stop(after).await;
}

#[tokio::test]
async fn a_topic_that_has_changed_meanwhile_is_assigned_again() {
    let dir = dir();
    let before = served(dir.path(), 4).await;
    let (_, orders) = crate::consumer_groups::group_of_two(&before).await;
    stop(before).await;
    // Without a server, a program adds partitions.
    {
        let (broker, _) = Broker::open(storage(dir.path())).unwrap();
        broker.topic("orders").unwrap().add_partitions(6).unwrap();
        broker.storage().unwrap().close().unwrap();
    }
    let after = serve(dir.path()).await;
    let mut client = after.client();
    let first = owning(beat("first", 2), orders, &[0, 1]);
    let (epoch, assigned) = client.beat(first).await;
    assert_eq!((epoch, assigned.unwrap().len()), (3, 3));
    let second = owning(beat("second", 2), orders, &[2, 3]);
    let (epoch, assigned) = client.beat(second).await;
    assert_eq!((epoch, assigned.unwrap().len()), (3, 3));
    stop(after).await;
}
