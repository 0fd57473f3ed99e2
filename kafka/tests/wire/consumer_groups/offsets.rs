//! Offsets of members, which state their epochs.

use super::{beat, group, group_of_two, join, served};
use crate::requests::name;
use kafka_protocol::messages::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

#[tokio::test]
async fn a_member_commits_and_fetches_offsets_with_its_epoch() {
    let served = served().await;
    let (mut client, _) = group_of_two(&served).await;
    assert_eq!(client.commit_as(9, "first", 2, 7).await, 0);
    for (version, member, epoch, error) in [
        (9, "first", 1, 113),
        (9, "first", 3, 113),
        (9, "first", -1, 113),
        (9, "third", 2, 25),
        (9, "", -1, 25),
        (8, "first", 2, 35),
    ] {
        let code = client.commit_as(version, member, epoch, 8).await;
        assert_eq!(code, error, "{member} {epoch} v{version}");
    }
    assert_eq!(client.offset_for(Some("first"), 2).await, Ok(7));
    assert_eq!(client.offset_for(None, -1).await, Ok(7));
    assert_eq!(client.offset_for(Some("first"), 1).await, Err(113));
    assert_eq!(client.offset_for(Some("third"), 2).await, Err(25));
    assert_eq!(client.offset_for(Some(""), -1).await, Err(25));
}

#[tokio::test]
async fn a_member_that_has_to_give_up_partitions_commits_with_its_old_epoch() {
    let served = served().await;
    let mut client = served.client();
    client.beat(join("first")).await;
    client.beat(join("second")).await;
    assert_eq!(client.beat(beat("first", 1)).await, (1, Some(vec![0, 1])));
    assert_eq!(client.commit_as(9, "first", 1, 7).await, 0);
    assert_eq!(client.offset_for(Some("second"), 2).await, Ok(7));
}

#[tokio::test]
async fn a_commit_of_an_unknown_group_is_refused_by_version() {
    let served = served().await;
    let mut client = served.client();
    assert_eq!(client.commit_as(9, "first", 1, 7).await, 69);
    assert_eq!(client.commit_as(8, "first", 1, 7).await, 22);
    assert_eq!(client.describe().await.error_code, 69);
}

#[tokio::test]
async fn offsets_of_topics_that_members_subscribe_to_are_not_deleted() {
    let served = served().await;
    super::create(&served, "bills", 1);
    let mut client = served.client();
    client.beat(join("first")).await;
    for (topic, error) in [("orders", 86), ("bills", 0)] {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        let request = OffsetDeleteRequest::default()
            .with_group_id(group())
            .with_topics(vec![topic]);
        let deleted = client.ask(0, &request).await;
        assert_eq!(deleted.topics[0].partitions[0].error_code, error);
    }
}
