//! Offsets of members, which state their epochs.

use super::{beat, group_of_two, join, served};

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
