//! Reported cases of classic groups.

use super::{Tested, new_name, text};
use crate::client::Client;
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;
use tokio::time::sleep;

/// A member of a classic group.
struct Member {
    client: Client,
    id: StrBytes,
    version: i16,
    join: JoinGroupRequest,
}

impl Member {
    async fn new(tested: &Tested, group: &str, version: i16, assignors: &[&str]) -> Member {
        let mut client = tested.client().await;
        let find = FindCoordinatorRequest::default().with_key(text(group));
        while client.ask(2, &find).await.error_code != 0 {
            sleep(Duration::from_millis(50)).await;
        }
        let protocols = assignors.iter().map(|name| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff"))
        });
        let mut join = JoinGroupRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_session_timeout_ms(6_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(protocols.collect());
        if version >= 1 {
            join.rebalance_timeout_ms = 30_000;
        }
        Member {
            client,
            id: StrBytes::new(),
            version,
            join,
        }
    }

    async fn send_join(&mut self) {
        self.join.member_id = self.id.clone();
        self.client.send(self.version, &self.join).await;
    }

    /// The answer to a join. What the coordinator wants to be tried again is tried again.
    async fn joined(&mut self) -> JoinGroupResponse {
        loop {
            let answer = self.client.receive::<JoinGroupRequest>(self.version).await;
            match answer.error_code {
                0 => {
                    self.id = answer.member_id.clone();
                    return answer;
                }
                14..=16 => sleep(Duration::from_millis(50)).await,
                error => panic!("a join was refused: {error}"),
            }
            self.send_join().await;
        }
    }

    async fn heartbeat(&mut self, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(self.join.group_id.clone())
            .with_generation_id(generation)
            .with_member_id(self.id.clone());
        self.client.ask(0, &request).await.error_code
    }

    async fn send_sync(&mut self, generation: i32, assignments: &[(StrBytes, &'static [u8])]) {
        let assignments = assignments.iter().map(|(member, bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(member.clone())
                .with_assignment(Bytes::from_static(bytes))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.join.group_id.clone())
            .with_generation_id(generation)
            .with_member_id(self.id.clone())
            .with_assignments(assignments.collect());
        self.client.send(0, &request).await;
    }

    async fn synced(&mut self) -> Bytes {
        let answer = self.client.receive::<SyncGroupRequest>(0).await;
        assert_eq!(answer.error_code, 0);
        answer.assignment
    }
}

/// A member joins beside the present ones, which join again. Returns the generation, and the
/// leader's view of it.
async fn join_beside(
    members: &mut Vec<Member>,
    mut new: Member,
    generation: i32,
) -> JoinGroupResponse {
    new.send_join().await;
    for member in &mut *members {
        while member.heartbeat(generation).await == 0 {
            sleep(Duration::from_millis(20)).await;
        }
        member.send_join().await;
    }
    members.push(new);
    let mut of_leader = None;
    for member in &mut *members {
        let joined = member.joined().await;
        assert_eq!(joined.generation_id, generation + 1);
        if joined.leader == joined.member_id {
            of_leader = Some(joined);
        }
    }
    let of_leader = of_leader.expect("one of them leads");
    assert_eq!(of_leader.members.len(), members.len());
    of_leader
}

/// All members sync, the leader with these assignments. Returns what each of them gets.
async fn sync_all(
    members: &mut [Member],
    joined: &JoinGroupResponse,
    assignments: &[(StrBytes, &'static [u8])],
) -> Vec<Bytes> {
    for member in &mut *members {
        let assigned = if member.id == joined.leader {
            assignments
        } else {
            &[]
        };
        member.send_sync(joined.generation_id, assigned).await;
    }
    let mut synced = Vec::new();
    for member in members {
        synced.push(member.synced().await);
    }
    synced
}

#[tokio::test]
async fn a_group_of_the_oldest_joins_settles_whenever_members_come() {
    let tested = Tested::new().await;
    let group = new_name();
    let mut members = Vec::new();
    for generation in 0..4 {
        let new = Member::new(&tested, &group, 0, &["range"]).await;
        let joined = join_beside(&mut members, new, generation).await;
        sync_all(&mut members, &joined, &[]).await;
        for member in &mut members {
            assert_eq!(member.heartbeat(joined.generation_id).await, 0);
        }
    }
}

#[tokio::test]
async fn each_of_three_members_gets_its_bytes_and_one_that_is_left_out_gets_none() {
    let tested = Tested::new().await;
    for assignors in [&["range"][..], &["cooperative-sticky", "range"]] {
        let group = new_name();
        let mut members = Vec::new();
        for generation in 0..3 {
            let new = Member::new(&tested, &group, 3, assignors).await;
            let joined = join_beside(&mut members, new, generation).await;
            assert_eq!(joined.protocol_name.as_deref(), Some(assignors[0]));
            let assigned = [&b"first"[..], b"second"];
            let ids = members.iter().map(|member| member.id.clone());
            let assignments: Vec<_> = ids.zip(assigned).collect();
            let synced = sync_all(&mut members, &joined, &assignments).await;
            let all = [&b"first"[..], b"second", b""];
            assert_eq!(synced, all[..members.len()]);
        }
    }
}
