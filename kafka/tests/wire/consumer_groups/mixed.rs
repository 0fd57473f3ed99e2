//! Groups with members of both protocols, and groups that change from one to the other.

use super::{beat, group, join, owning, served, text};
use crate::client::{Client, Served};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment as assignment;
use kafka_protocol::messages::consumer_protocol_subscription as subscription;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::time::Duration;
use tokio::time::sleep;

/// A classic member of the group, on its own connection.
struct Classic {
    client: Client,
    id: StrBytes,
    instance: Option<StrBytes>,
    generation: i32,
    protocol_type: &'static str,
    assignor: &'static str,
    metadata: Bytes,
}

impl Classic {
    fn new(served: &Served, id: &str) -> Classic {
        Classic {
            client: served.client(),
            id: text(id),
            instance: None,
            generation: -1,
            protocol_type: "consumer",
            assignor: "range",
            metadata: subscribing(&[]),
        }
    }

    /// Joins. Returns the error, and the generation.
    async fn join(&mut self) -> (i16, i32) {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text(self.assignor))
            .with_metadata(self.metadata.clone());
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(20_000)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(text(self.protocol_type))
            .with_protocols(vec![protocol]);
        let joined = self.client.ask(9, &request).await;
        if matches!(joined.error_code, 0 | 79) {
            self.id = joined.member_id;
            self.generation = joined.generation_id;
        }
        (joined.error_code, joined.generation_id)
    }

    /// Joins as a client does that owns these partitions.
    async fn join_owning(&mut self, partitions: &[i32]) -> (i16, i32) {
        self.metadata = subscribing(partitions);
        self.join().await
    }

    /// Asks for its partitions, and as the leader assigns itself these.
    async fn sync_with(&mut self, assigned: Bytes) -> Result<Vec<i32>, i16> {
        let assigned = SyncGroupRequestAssignment::default()
            .with_member_id(self.id.clone())
            .with_assignment(assigned);
        let request = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text(self.assignor)))
            .with_assignments(vec![assigned]);
        let synced = self.client.ask(5, &request).await;
        match synced.error_code {
            0 => Ok(partitions(synced.assignment)),
            error => Err(error),
        }
    }

    async fn sync(&mut self) -> Result<Vec<i32>, i16> {
        self.sync_with(Bytes::new()).await
    }

    async fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        self.client.ask(4, &request).await.error_code
    }

    /// The only member of a classic group, with all partitions.
    async fn alone(served: &Served) -> Classic {
        let mut member = Classic::new(served, "");
        assert_eq!(member.join().await.0, 79);
        assert_eq!(member.join().await, (0, 1));
        let all = [0, 1, 2, 3];
        assert_eq!(
            member.sync_with(assigning(&all, None)).await,
            Ok(all.to_vec())
        );
        member
    }
}

/// The metadata of a member that subscribes to `orders`, and owns these partitions of it.
fn subscribing(owned: &[i32]) -> Bytes {
    let topic = subscription::TopicPartition::default()
        .with_topic(crate::requests::name("orders"))
        .with_partitions(owned.to_vec());
    let metadata = ConsumerProtocolSubscription::default()
        .with_topics(vec![text("orders")])
        .with_owned_partitions(vec![topic]);
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    metadata.encode(&mut bytes, 1).unwrap();
    bytes.freeze()
}

fn assigning(partitions: &[i32], user_data: Option<Bytes>) -> Bytes {
    let topic = assignment::TopicPartition::default()
        .with_topic(crate::requests::name("orders"))
        .with_partitions(partitions.to_vec());
    let assignment = ConsumerProtocolAssignment::default()
        .with_assigned_partitions(vec![topic])
        .with_user_data(user_data);
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    assignment.encode(&mut bytes, 1).unwrap();
    bytes.freeze()
}

fn partitions(mut bytes: Bytes) -> Vec<i32> {
    assert_eq!(bytes.get_i16(), 1);
    let assignment = ConsumerProtocolAssignment::decode(&mut bytes, 1).unwrap();
    let topics = assignment.assigned_partitions.into_iter();
    topics.flat_map(|topic| topic.partitions).collect()
}

#[tokio::test]
async fn a_classic_member_joins_a_consumer_group() {
    let served = served().await;
    let mut client = served.client();
    let orders = client.topic_id("orders").await;
    assert_eq!(
        client.beat(join("first")).await,
        (1, Some(vec![0, 1, 2, 3]))
    );
    let mut classic = Classic::new(&served, "");
    assert_eq!(classic.join().await.0, 79);
    assert_eq!(classic.join().await, (0, 2));
    assert_eq!(classic.sync().await, Ok(vec![]));
    assert_eq!(classic.heartbeat().await, 0);
    assert_eq!(client.beat(beat("first", 1)).await, (1, Some(vec![0, 1])));
    assert_eq!(classic.heartbeat().await, 0);
    assert_eq!(
        client.beat(owning(beat("first", 1), orders, &[0, 1])).await,
        (2, None)
    );
    // What it lacks is free: it is to join again.
    assert_eq!(classic.heartbeat().await, 27);
    assert_eq!(classic.join().await, (0, 2));
    assert_eq!(classic.sync().await, Ok(vec![2, 3]));
    assert_eq!(classic.heartbeat().await, 0);
    assert_eq!(client.state().await, "Stable");
    let members = client.describe().await.members;
    let types = members
        .iter()
        .map(|member| (member.member_id.clone(), member.member_type));
    let mut types: Vec<_> = types.collect();
    types.sort_by_key(|(_, kind)| *kind);
    assert_eq!(types, [(classic.id.clone(), 0), (text("first"), 1)]);
    // It commits by its generation, in any version.
    assert_eq!(client.commit_as(8, &classic.id, 2, 7).await, 0);
    assert_eq!(client.commit_as(9, &classic.id, 1, 8).await, 22);
    assert_eq!(client.commit_as(8, "first", 2, 8).await, 35);
}

#[tokio::test]
async fn a_classic_member_gives_up_partitions_by_joining_again_without_them() {
    let served = served().await;
    let mut classic = Classic::alone(&served).await;
    let mut client = served.client();
    // The group is a consumer group now.
    assert_eq!(client.beat(join("second")).await, (2, Some(vec![])));
    assert_eq!(classic.heartbeat().await, 27);
    assert_eq!(classic.sync().await, Err(27));
    assert_eq!(classic.join_owning(&[0, 1, 2, 3]).await, (0, 1));
    assert_eq!(classic.sync().await, Ok(vec![0, 1]));
    assert_eq!(classic.heartbeat().await, 27);
    assert_eq!(client.beat(beat("second", 2)).await, (2, None));
    assert_eq!(classic.join_owning(&[0, 1]).await, (0, 2));
    assert_eq!(classic.sync().await, Ok(vec![0, 1]));
    assert_eq!(client.beat(beat("second", 2)).await, (2, Some(vec![2, 3])));
    assert_eq!(
        (classic.heartbeat().await, &*client.state().await),
        (0, "Stable")
    );
}

#[tokio::test]
async fn a_group_whose_classic_members_are_left_alone_is_classic() {
    let served = served().await;
    let mut classic = Classic::alone(&served).await;
    let mut client = served.client();
    client.beat(join("second")).await;
    assert_eq!(client.beat(beat("second", -1)).await, (-1, None));
    assert_eq!(client.describe().await.error_code, 69);
    let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
    let described = client.ask(6, &request).await.groups.remove(0);
    assert_eq!(&*described.group_state, "PreparingRebalance");
    let (error, generation) = classic.join().await;
    assert_eq!((error, generation > 2), (0, true));
    let all = [0, 1, 2, 3];
    assert_eq!(
        classic.sync_with(assigning(&all, None)).await,
        Ok(all.to_vec())
    );
    assert_eq!(classic.heartbeat().await, 0);
}

#[tokio::test]
async fn a_member_that_waits_for_a_classic_rebalance_is_to_join_again() {
    let served = served().await;
    let mut classic = Classic::new(&served, "");
    classic.join().await;
    assert_eq!(classic.join().await, (0, 1));
    let mut client = served.client();
    let (epoch, first) = client.beat(join("first")).await;
    assert_eq!((epoch, first.map(|all| all.len())), (2, Some(2)));
    assert_eq!(classic.heartbeat().await, 27);
    assert_eq!(classic.sync_with(assigning(&[0], None)).await, Err(27));
    assert_eq!(classic.join().await, (0, 2));
    assert_eq!(classic.sync().await.map(|rest| rest.len()), Ok(2));
}

#[tokio::test]
async fn only_consumers_that_the_server_understands_are_mixed() {
    let served = served().await;
    let mut client = served.client();
    client.beat(join("first")).await;
    let mut classic = Classic::new(&served, "classic");
    classic.metadata = Bytes::from_static(b"x");
    // Kafka answers -1, an unknown error.
    assert_eq!(classic.join().await.0, 23);
    classic.metadata = subscribing(&[]);
    classic.protocol_type = "connect";
    assert_eq!(classic.join().await.0, 23);
    classic.protocol_type = "consumer";
    assert_eq!(classic.join().await.0, 0);
    let mut other = Classic::new(&served, "other");
    other.assignor = "roundrobin";
    assert_eq!(other.join().await.0, 23);
}

#[tokio::test]
async fn a_classic_group_that_the_server_does_not_understand_stays_classic() {
    let connect = ("connect", subscribing(&[]), None);
    let malformed = ("consumer", Bytes::from_static(b"x"), None);
    let custom = (
        "consumer",
        subscribing(&[]),
        Some(Bytes::from_static(b"data")),
    );
    for (protocol_type, metadata, data) in [connect, malformed, custom] {
        let served = served().await;
        let mut classic = Classic::new(&served, "");
        (classic.protocol_type, classic.metadata) = (protocol_type, metadata);
        classic.join().await;
        assert_eq!(classic.join().await, (0, 1));
        if protocol_type == "consumer" {
            classic.sync_with(assigning(&[0], data)).await.unwrap();
        }
        let mut client = served.client();
        assert_eq!(client.refused_beat(join("first")).await, 69);
        assert_eq!(classic.heartbeat().await, 0);
    }
}

#[tokio::test]
async fn a_static_member_changes_its_protocol_and_back() {
    let served = served().await;
    let mut classic = Classic::new(&served, "");
    classic.instance = Some(text("worker-1"));
    assert_eq!(classic.join().await, (0, 1));
    let all = vec![0, 1, 2, 3];
    classic.sync_with(assigning(&all, None)).await.unwrap();
    let mut client = served.client();
    let joining = super::is_static(join("second"), "worker-1");
    assert_eq!(client.beat(joining).await, (1, Some(all.clone())));
    assert_eq!(client.state().await, "Stable");
    classic.id = StrBytes::new();
    assert_eq!(classic.join().await, (0, 1));
    assert_eq!(classic.sync().await, Ok(all));
    assert_eq!(classic.heartbeat().await, 0);
    assert_eq!(client.describe().await.error_code, 69);
}

#[tokio::test(start_paused = true)]
async fn a_classic_member_that_does_not_join_again_in_time_is_removed() {
    let served = served().await;
    let mut classic = Classic::alone(&served).await;
    let mut client = served.client();
    client.beat(join("second")).await;
    for _ in 0..19 {
        assert_eq!(classic.heartbeat().await, 27);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(client.beat(beat("second", 2)).await, (2, None));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(classic.heartbeat().await, 25);
    assert_eq!(
        client.beat(beat("second", 2)).await,
        (3, Some(vec![0, 1, 2, 3]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_classic_member_has_its_own_session_and_a_time_to_sync() {
    let served = served().await;
    let mut client = served.client();
    client.beat(join("first")).await;
    let mut silent = Classic::new(&served, "silent");
    let mut unsynced = Classic::new(&served, "unsynced");
    assert_eq!((silent.join().await.0, unsynced.join().await.0), (0, 0));
    for second in 1..=21 {
        sleep(Duration::from_secs(1)).await;
        unsynced.heartbeat().await;
        let members = client.describe().await.members.len();
        let expected = match second {
            ..=9 => 3,
            11..=19 => 2,
            21 => 1,
            _ => continue,
        };
        assert_eq!(members, expected, "after {second} s");
    }
}

#[tokio::test]
async fn a_partition_that_a_leader_has_given_twice_has_one_owner() {
    let served = served().await;
    let (mut leader, mut follower) = (Classic::new(&served, ""), Classic::new(&served, ""));
    leader.join().await;
    leader.join().await;
    follower.join().await;
    assert_eq!(
        tokio::join!(follower.join(), leader.join()),
        ((0, 2), (0, 2))
    );
    let assignments = [&leader.id, &follower.id].map(|id| {
        SyncGroupRequestAssignment::default()
            .with_member_id(id.clone())
            .with_assignment(assigning(&[0, 1, 1, 2, 3, 4, -1], None))
    });
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(2)
        .with_member_id(leader.id.clone())
        .with_assignments(assignments.to_vec());
    assert_eq!(leader.client.ask(4, &request).await.error_code, 0);
    let mut client = served.client();
    client.beat(join("third")).await;
    let described = client.describe().await;
    let assigned = described.members.iter().flat_map(|member| {
        let topics = member.assignment.topic_partitions.iter();
        topics.flat_map(|topic| topic.partitions.clone())
    });
    let mut assigned: Vec<i32> = assigned.collect();
    assigned.sort_unstable();
    assert_eq!(assigned, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_heartbeat_that_is_refused_does_not_end_a_classic_rebalance() {
    let served = served().await;
    let mut classic = Classic::new(&served, "");
    assert_eq!(classic.join().await.0, 79);
    assert_eq!(classic.join().await, (0, 1));
    let mut client = served.client();
    let bad_pattern = join("c").with_subscribed_topic_regex(Some(text("(")));
    assert_eq!(client.refused_beat(bad_pattern).await, 128);
    let id = classic.id.to_string();
    assert_eq!(client.refused_beat(join(&id)).await, 110);
    let assigned = classic.sync_with(assigning(&[0, 1, 2, 3], None)).await;
    assert_eq!(assigned, Ok(vec![0, 1, 2, 3]));
    assert_eq!(classic.heartbeat().await, 0);
}

#[tokio::test]
async fn a_static_member_that_comes_back_as_another_member_loses_no_partition() {
    let served = served().await;
    let mut client = served.client();
    client.beat(super::is_static(join("x"), "a")).await;
    client.beat(join("y")).await;
    let described = client.describe().await;
    let topic = described.members[0].assignment.topic_partitions[0].topic_id;
    client
        .beat(owning(beat("x", 1), topic, &[0, 1, 2, 3]))
        .await;
    client.beat(owning(beat("x", 1), topic, &[0, 1])).await;
    client.beat(beat("y", 2)).await;
    client.beat(super::is_static(beat("x", -2), "a")).await;
    client.beat(super::is_static(join("y"), "a")).await;
    client.beat(super::is_static(beat("y", -1), "a")).await;
    let joined = client.ask(1, &join("z")).await;
    let assignment = joined.assignment.expect("it is alone");
    assert_eq!(assignment.topic_partitions[0].partitions, [0, 1, 2, 3]);
}
