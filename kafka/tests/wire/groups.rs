//! Consumer groups, by several connections at once.

use crate::client::{Client, Served};
use crate::requests::name;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use ringlog::TopicConfig;
use ringlog_kafka::Server;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group() -> GroupId {
    GroupId(text("billing"))
}

/// A member's connection, and what the member knows.
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) id: StrBytes,
    instance: Option<StrBytes>,
    pub(crate) generation: i32,
    protocols: Vec<(&'static str, &'static [u8])>,
}

impl Member {
    pub(crate) fn new(served: &Served) -> Member {
        Member {
            client: served.client(),
            id: StrBytes::new(),
            instance: None,
            generation: -1,
            protocols: vec![("range", b"all")],
        }
    }

    pub(crate) fn named(served: &Served, instance: &str) -> Member {
        Member {
            instance: Some(text(instance)),
            ..Member::new(served)
        }
    }

    pub(crate) async fn send_join(&mut self) {
        let protocols = self.protocols.iter().map(|(name, metadata)| {
            JoinGroupRequestProtocol::default()
                .with_name(StrBytes::from_static_str(name))
                .with_metadata((*metadata).into())
        });
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(20_000)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(text("consumer"))
            .with_protocols(protocols.collect());
        self.client.send(9, &request).await;
    }

    pub(crate) async fn joined(&mut self) -> JoinGroupResponse {
        let response = self.client.receive::<JoinGroupRequest>(9).await;
        if !response.member_id.is_empty() {
            self.id = response.member_id.clone();
        }
        if response.error_code == 0 {
            self.generation = response.generation_id;
        }
        response
    }

    pub(crate) async fn join(&mut self) -> JoinGroupResponse {
        self.send_join().await;
        self.joined().await
    }

    /// Gets a member id, and sends the join with it.
    pub(crate) async fn send_first_join(&mut self) {
        assert_eq!(self.join().await.error_code, 79);
        self.send_join().await;
    }

    pub(crate) async fn send_sync(&mut self, assignments: &[(&StrBytes, &'static [u8])]) {
        let assignments = assignments.iter().map(|(id, bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id((*id).clone())
                .with_assignment((*bytes).into())
        });
        let request = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(assignments.collect());
        self.client.send(5, &request).await;
    }

    pub(crate) async fn synced(&mut self) -> SyncGroupResponse {
        self.client.receive::<SyncGroupRequest>(5).await
    }

    pub(crate) async fn sync(
        &mut self,
        assignments: &[(&StrBytes, &'static [u8])],
    ) -> SyncGroupResponse {
        self.send_sync(assignments).await;
        self.synced().await
    }

    pub(crate) async fn heartbeat(&mut self) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        self.client.ask(4, &request).await.error_code
    }

    pub(crate) async fn leave(&mut self) -> i16 {
        let member = MemberIdentity::default()
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone());
        let request = LeaveGroupRequest::default()
            .with_group_id(group())
            .with_members(vec![member]);
        let response = self.client.ask(5, &request).await;
        response.members[0].error_code
    }

    pub(crate) async fn commit(&mut self, partition: i32, offset: i64) -> i16 {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("where we were")));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name("orders"))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.clone())
            .with_topics(vec![topic]);
        let response = self.client.ask(9, &request).await;
        response.topics[0].partitions[0].error_code
    }
}

/// The group's offset in partition 0 of `orders`, or -1.
pub(crate) async fn committed(client: &mut Client) -> i64 {
    use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name("orders"))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group())
        .with_topics(Some(vec![topic]));
    let response = client.ask(7, &request).await;
    response.topics[0].partitions[0].committed_offset
}

pub(crate) async fn served() -> Served {
    let served = Served::new().await;
    let config = TopicConfig::new();
    served.broker.create_topic("orders", config).unwrap();
    served
}

/// A group of two members, the leader first, in generation 2.
pub(crate) async fn group_of_two(served: &Served) -> (Member, Member) {
    let (mut leader, mut follower) = (Member::new(served), Member::new(served));
    leader.send_first_join().await;
    assert_eq!(leader.joined().await.generation_id, 1);
    follower.send_first_join().await;
    assert_eq!(leader.heartbeat().await, 27);
    assert_eq!(leader.join().await.generation_id, 2);
    assert_eq!(follower.joined().await.generation_id, 2);
    let (leader_id, follower_id) = (leader.id.clone(), follower.id.clone());
    let assignments: [(_, &[u8]); 2] = [(&leader_id, b"first"), (&follower_id, b"second")];
    assert_eq!(&leader.sync(&assignments).await.assignment[..], b"first");
    assert_eq!(&follower.sync(&[]).await.assignment[..], b"second");
    (leader, follower)
}

#[tokio::test(start_paused = true)]
async fn a_first_member_joins_at_once() {
    let served = served().await;
    let before = tokio::time::Instant::now();
    let mut member = Member::new(&served);
    member.send_first_join().await;
    let joined = member.joined().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(
        (&joined.leader, &joined.protocol_name),
        (&member.id, &Some(text("range")))
    );
    assert_eq!(joined.members.len(), 1);
    assert_eq!(&joined.members[0].metadata[..], b"all");
    assert_eq!(before.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_member_waits_for_others_if_that_is_configured() {
    let mut times = ringlog_kafka::GroupTimes::default();
    times.initial_rebalance_delay = std::time::Duration::from_secs(3);
    let served = Served::with(Server::builder().group_times(times)).await;
    let (mut first, mut second) = (Member::new(&served), Member::new(&served));
    let before = tokio::time::Instant::now();
    first.send_first_join().await;
    second.send_first_join().await;
    let (first, second) = (first.joined().await, second.joined().await);
    assert_eq!((first.generation_id, second.generation_id), (1, 1));
    assert_eq!(first.members.len() + second.members.len(), 2);
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn two_members_share_the_leaders_assignment() {
    let served = served().await;
    let (mut leader, mut follower) = group_of_two(&served).await;
    assert_eq!(
        (leader.heartbeat().await, follower.heartbeat().await),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_the_leader_leaves_out_gets_no_bytes() {
    let served = served().await;
    let (mut leader, mut follower) = group_of_two(&served).await;
    assert_eq!(leader.join_again_with(&mut follower).await, 3);
    follower.send_sync(&[]).await;
    let leader_id = leader.id.clone();
    assert_eq!(
        &leader.sync(&[(&leader_id, b"all")]).await.assignment[..],
        b"all"
    );
    let synced = follower.synced().await;
    assert_eq!((synced.error_code, synced.assignment.len()), (0, 0));
}

impl Member {
    /// The leader joins again, and a follower with it. Returns the generation.
    async fn join_again_with(&mut self, follower: &mut Member) -> i32 {
        self.send_join().await;
        assert_eq!(follower.heartbeat().await, 27);
        follower.send_join().await;
        let generation = self.joined().await.generation_id;
        assert_eq!(follower.joined().await.generation_id, generation);
        generation
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_joins_again_unchanged_goes_on() {
    let served = served().await;
    let (mut leader, mut follower) = group_of_two(&served).await;
    let joined = follower.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    assert_eq!(leader.heartbeat().await, 0);
    assert_eq!(&follower.sync(&[]).await.assignment[..], b"second");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_is_not_waited_for() {
    let served = served().await;
    let (mut leader, mut follower) = group_of_two(&served).await;
    assert_eq!(leader.leave().await, 0);
    assert_eq!(leader.heartbeat().await, 25);
    assert_eq!(follower.heartbeat().await, 27);
    let joined = follower.join().await;
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(joined.leader, follower.id);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_dies_is_found_by_its_session() {
    let served = served().await;
    let (leader, mut follower) = group_of_two(&served).await;
    drop(leader);
    let before = tokio::time::Instant::now();
    while follower.heartbeat().await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let waited = before.elapsed().as_millis();
    assert!((10_000..11_000).contains(&waited), "{waited}");
    assert_eq!(follower.join().await.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_does_not_wait_for_a_dead_member_longer_than_its_session() {
    let served = served().await;
    let (leader, mut follower) = group_of_two(&served).await;
    drop(leader);
    let before = tokio::time::Instant::now();
    follower.protocols[0].1 = b"other topics";
    let joined = follower.join().await;
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert!(before.elapsed().as_millis() <= 10_100);
}

#[tokio::test(start_paused = true)]
async fn members_that_do_not_join_in_time_are_left_behind() {
    let served = served().await;
    let (mut leader, mut follower) = group_of_two(&served).await;
    follower.protocols[0].1 = b"other topics";
    follower.send_join().await;
    // It is alive, but it does not join.
    for _ in 0..6 {
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        leader.heartbeat().await;
    }
    let joined = follower.joined().await;
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(leader.heartbeat().await, 25);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_does_not_assign_is_left_behind() {
    let served = served().await;
    let (mut leader, mut follower) = group_of_two(&served).await;
    leader.join_again_with(&mut follower).await;
    drop(leader);
    let synced = follower.sync(&[]).await;
    assert_eq!(synced.error_code, 27);
    assert_eq!(follower.join().await.members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn foreign_members_and_generations_are_refused() {
    let served = served().await;
    let (mut leader, _follower) = group_of_two(&served).await;
    let mut foreign = Member::new(&served);
    foreign.id = text("foreign");
    foreign.generation = 2;
    assert_eq!(foreign.heartbeat().await, 25);
    assert_eq!(foreign.join().await.error_code, 25);
    assert_eq!(foreign.sync(&[]).await.error_code, 25);
    assert_eq!(foreign.commit(0, 1).await, 25);
    assert_eq!(foreign.leave().await, 25);
    leader.generation = 1;
    assert_eq!(leader.heartbeat().await, 22);
    assert_eq!(leader.sync(&[]).await.error_code, 22);
    assert_eq!(leader.commit(0, 1).await, 22);
    assert_eq!(committed(&mut leader.client).await, -1);
}

#[tokio::test(start_paused = true)]
async fn members_need_an_assignor_in_common() {
    let served = served().await;
    let mut first = Member::new(&served);
    first.protocols = vec![("range", b""), ("sticky", b"")];
    first.send_first_join().await;
    first.joined().await;
    let mut second = Member::new(&served);
    second.protocols = vec![("roundrobin", b"")];
    assert_eq!(second.join().await.error_code, 23);
    second.protocols = vec![("roundrobin", b""), ("sticky", b"")];
    second.send_first_join().await;
    assert_eq!(first.heartbeat().await, 27);
    assert_eq!(first.join().await.protocol_name, Some(text("sticky")));
    assert_eq!(second.joined().await.protocol_name, Some(text("sticky")));
}

#[tokio::test(start_paused = true)]
async fn requests_without_a_group_or_with_a_forbidden_session_are_refused() {
    let served = served().await;
    let mut client = served.client();
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let nameless = request.clone().with_group_id(GroupId::default());
    let heartbeat = HeartbeatRequest::default().with_generation_id(1);
    assert_eq!(client.ask(4, &heartbeat).await.error_code, 24);
    let hurried = request.clone().with_session_timeout_ms(5_999);
    let patient = request.clone().with_session_timeout_ms(1_800_001);
    let empty = request.with_protocols(Vec::new());
    for (request, error) in [(nameless, 24), (hurried, 26), (patient, 26), (empty, 23)] {
        assert_eq!(client.ask(5, &request).await.error_code, error);
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_member_that_comes_back_keeps_its_assignment() {
    let served = served().await;
    let mut first = Member::named(&served, "worker-1");
    assert_eq!(first.join().await.generation_id, 1);
    let id = first.id.clone();
    first.sync(&[(&id, b"mine")]).await;

    let mut second = Member::named(&served, "worker-1");
    let joined = second.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert!(joined.skip_assignment);
    assert_ne!(joined.member_id, first.id);
    assert_eq!(&second.sync(&[]).await.assignment[..], b"mine");

    // The one before it is fenced off.
    assert_eq!(first.heartbeat().await, 82);
    assert_eq!(first.join().await.error_code, 82);
    assert_eq!(first.commit(0, 1).await, 82);
    assert_eq!(second.heartbeat().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_static_member_is_removed_by_its_instance_id_alone() {
    let served = served().await;
    let mut member = Member::named(&served, "worker-1");
    member.join().await;
    let mut administrator = Member::named(&served, "worker-1");
    assert_eq!(administrator.leave().await, 0);
    assert_eq!(member.heartbeat().await, 25);
}

#[tokio::test(start_paused = true)]
async fn a_group_settles_while_members_of_version_0_join_each_second() {
    let served = served().await;
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(-1)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let mut first = served.client();
    let joined = first.ask(0, &request).await;
    assert_eq!(joined.generation_id, 1);
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = served.client();
        other.send(0, &request).await;
        others.push(other);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    // All three wait for the first, for as long as its session.
    let request = request.with_member_id(joined.member_id);
    let joined = first.ask(0, &request).await;
    assert_eq!((joined.generation_id, joined.members.len()), (2, 4));
    for other in &mut others {
        let joined = other.receive::<JoinGroupRequest>(0).await;
        assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn offsets_are_committed_by_members_and_while_there_are_none_by_anyone() {
    let served = served().await;
    let mut alone = Member::new(&served);
    assert_eq!(alone.commit(0, 3).await, 0);
    assert_eq!(committed(&mut alone.client).await, 3);
    assert_eq!(alone.commit(1, 3).await, 3);
    let (mut leader, mut follower) = group_of_two(&served).await;
    assert_eq!(alone.commit(0, 4).await, 25);
    assert_eq!(follower.commit(0, 5).await, 0);
    leader.join_again_with(&mut follower).await;
    assert_eq!(follower.commit(0, 6).await, 27);
    assert_eq!(committed(&mut alone.client).await, 5);
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_deleted_topic_are_forgotten() {
    let served = served().await;
    let mut alone = Member::new(&served);
    assert_eq!(alone.commit(0, 3).await, 0);
    served.broker.delete_topic("orders").unwrap();
    let config = TopicConfig::new();
    served.broker.create_topic("orders", config).unwrap();
    assert_eq!(committed(&mut alone.client).await, -1);
}

#[tokio::test(start_paused = true)]
async fn metadata_that_is_too_long_is_refused() {
    let mut limits = ringlog_kafka::ServerLimits::default();
    limits.offset_metadata_bytes = 5;
    let served = Served::with(Server::builder().limits(limits)).await;
    let config = TopicConfig::new();
    served.broker.create_topic("orders", config).unwrap();
    assert_eq!(Member::new(&served).commit(0, 3).await, 12);
}
