//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup.

use super::{code, text};
use crate::server::connection::Client;
use crate::server::group::{
    Join, JoinRequest, Joined, Later, LeavingMember, Sync, SyncRequest, Synced,
};
use crate::server::protocol::frame::RequestHead;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

pub(super) fn owned(text: &Option<StrBytes>) -> Option<String> {
    text.as_ref().map(|text| text.as_str().to_owned())
}

/// Copies bytes that are to be kept: a slice of a request keeps all of it.
fn kept(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

pub(super) fn milliseconds(value: i32) -> Duration {
    Duration::from_millis(value.max(0) as u64)
}

/// What a member waits for. The group drops the other end only with the server.
async fn wait<T>(later: Later<T>) -> Result<T, ResponseError> {
    later
        .await
        .unwrap_or(Err(ResponseError::CoordinatorNotAvailable))
}

pub(super) async fn join(
    client: &Client,
    head: &RequestHead,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let version = head.version;
    // Version 0 has no rebalance timeout.
    let rebalance_timeout = match version {
        0 => request.session_timeout_ms,
        _ => request.rebalance_timeout_ms,
    };
    let protocols = request.protocols.iter();
    let protocols =
        protocols.map(|protocol| (protocol.name.as_str().to_owned(), kept(&protocol.metadata)));
    let joining = JoinRequest {
        member_id: request.member_id.as_str().to_owned(),
        instance_id: owned(&request.group_instance_id),
        client_id: head.client_id.clone(),
        client_host: format!("/{}", client.host),
        session_timeout: milliseconds(request.session_timeout_ms),
        rebalance_timeout: milliseconds(rebalance_timeout),
        protocol_type: request.protocol_type.as_str().to_owned(),
        protocols: protocols.collect(),
        needs_member_id: version >= 4,
        can_skip_assignment: version >= 9,
    };
    let group = request.group_id.as_str().to_owned();
    let asked_id = request.member_id.clone();
    drop(request);
    let (error, joined) = match client
        .shared
        .groups
        .join(&client.shared.topics, &group, joining)
    {
        Join::Refused(error) => (Some(error), None),
        Join::MemberId(id) => {
            return refused_join(version, ResponseError::MemberIdRequired, text(id));
        }
        Join::Answered(joined) => (None, Some(joined)),
        Join::Waits(later) => match wait(later).await {
            Ok(joined) => (None, Some(joined)),
            Err(error) => (Some(error), None),
        },
    };
    match joined {
        Some(joined) => joined_response(version, joined),
        None => {
            let error = error.unwrap_or(ResponseError::UnknownServerError);
            refused_join(version, error, asked_id)
        }
    }
}

fn refused_join(version: i16, error: ResponseError, member_id: StrBytes) -> JoinGroupResponse {
    // Null is allowed from version 7 on.
    let protocol = (version < 7).then(StrBytes::new);
    JoinGroupResponse::default()
        .with_error_code(code(Some(error)))
        .with_generation_id(-1)
        .with_protocol_name(protocol)
        .with_member_id(member_id)
}

fn joined_response(version: i16, joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        let response = JoinGroupResponseMember::default()
            .with_member_id(text(member.member_id))
            .with_metadata(member.metadata);
        match version {
            5.. => response.with_group_instance_id(member.instance_id.map(text)),
            _ => response,
        }
    });
    let mut response = JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_member_id(text(joined.member_id))
        .with_members(members.collect());
    if version >= 7 {
        response.protocol_type = joined.protocol_type.map(text);
    }
    if version >= 9 {
        response.skip_assignment = joined.skip_assignment;
    }
    response
}

pub(super) async fn sync(
    client: &Client,
    version: i16,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let states_both = request.protocol_type.is_some() && request.protocol_name.is_some();
    if version >= 5 && !states_both {
        let error = ResponseError::InconsistentGroupProtocol;
        return SyncGroupResponse::default().with_error_code(error.code());
    }
    let assignments = request.assignments.iter();
    let assignments = assignments.map(|assigned| {
        let member = assigned.member_id.as_str().to_owned();
        (member, kept(&assigned.assignment))
    });
    let syncing = SyncRequest {
        generation: request.generation_id,
        member_id: request.member_id.as_str().to_owned(),
        instance_id: owned(&request.group_instance_id),
        protocol_type: owned(&request.protocol_type),
        protocol: owned(&request.protocol_name),
        assignments: assignments.collect(),
    };
    let synced = match client.shared.groups.sync(&request.group_id, syncing) {
        Sync::Refused(error) => Err(error),
        Sync::Answered(synced) => Ok(synced),
        Sync::Waits(later) => {
            drop(request);
            wait(later).await
        }
    };
    match synced {
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
        Ok(synced) => synced_response(version, synced),
    }
}

fn synced_response(version: i16, synced: Synced) -> SyncGroupResponse {
    let response = SyncGroupResponse::default().with_assignment(synced.assignment);
    match version {
        5.. => response
            .with_protocol_type(synced.protocol_type.map(text))
            .with_protocol_name(synced.protocol.map(text)),
        _ => response,
    }
}

pub(super) fn heartbeat(client: &Client, request: HeartbeatRequest) -> HeartbeatResponse {
    let beat = client.shared.groups.heartbeat(
        &request.group_id,
        request.generation_id,
        &request.member_id,
        request.group_instance_id.as_deref(),
    );
    HeartbeatResponse::default().with_error_code(code(beat.err()))
}

pub(super) fn leave(
    client: &Client,
    version: i16,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let leave = |member_id: &str, instance_id: Option<&str>| {
        let leaving = LeavingMember {
            member_id,
            instance_id,
        };
        client.shared.groups.leave(&request.group_id, &leaving)
    };
    if version < 3 {
        let left = leave(&request.member_id, None);
        return LeaveGroupResponse::default().with_error_code(code(left.err()));
    }
    let members = request.members.iter().map(|member| {
        let left = leave(&member.member_id, member.group_instance_id.as_deref());
        MemberResponse::default()
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.group_instance_id.clone())
            .with_error_code(code(left.err()))
    });
    LeaveGroupResponse::default().with_members(members.collect())
}
