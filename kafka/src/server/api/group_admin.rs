//! ListGroups, DescribeGroups, DeleteGroups.

use super::{code, once, text};
use crate::server::connection::Client;
use crate::server::group::{ClassicGroup, Group, Members, State};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;

/// Every operation on a group, as a bit set: there are no access rules.
pub(super) const GROUP_OPERATIONS: i32 = 0b1_0100_1000;

fn state_name(state: State) -> &'static str {
    match state {
        State::Empty => "Empty",
        State::Preparing => "PreparingRebalance",
        State::Completing => "CompletingRebalance",
        State::Stable => "Stable",
    }
}

/// `consumer`, or empty for a group that has offsets alone.
fn protocol_type(group: &ClassicGroup) -> String {
    group.protocol_type.clone().unwrap_or_default()
}

/// A group's state, type and protocol type.
fn names(group: &Group) -> (&'static str, &'static str, String) {
    match &group.members {
        Members::Classic(classic) => (state_name(classic.state), "classic", protocol_type(classic)),
        Members::Consumer(consumer) => (consumer.state_name(), "consumer", "consumer".to_owned()),
    }
}

pub(super) fn list(
    client: &Client,
    version: i16,
    request: &ListGroupsRequest,
) -> ListGroupsResponse {
    let lower = |filter: &[StrBytes]| -> HashSet<String> {
        filter
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect()
    };
    let (states, types) = (lower(&request.states_filter), lower(&request.types_filter));
    let contains = |filter: &HashSet<String>, name: &str| {
        filter.is_empty() || filter.contains(&name.to_ascii_lowercase())
    };
    let mut listed = Vec::new();
    for (name, group) in client.shared.groups.all() {
        let (state, kind, protocol_type) = names(&group.lock());
        let is_wanted = contains(&states, state) && contains(&types, kind);
        if !is_wanted {
            continue;
        }
        let mut found = ListedGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_protocol_type(text(protocol_type));
        if version >= 4 {
            found.group_state = text(state);
        }
        if version >= 5 {
            found.group_type = text(kind);
        }
        listed.push(found);
    }
    ListGroupsResponse::default().with_groups(listed)
}

pub(super) fn describe(
    client: &Client,
    version: i16,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let groups = once(request.groups, GroupId::clone);
    let groups = groups.into_iter().map(|id| {
        let mut described = DescribedGroup::default().with_group_id(id.clone());
        if version >= 3 && request.include_authorized_operations {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        let not_found = |mut described: DescribedGroup, what: &str| {
            described.group_state = text("Dead");
            if version >= 6 {
                described.error_code = ResponseError::GroupIdNotFound.code();
                described.error_message = Some(text(format!("Group {} {what}.", id.as_str())));
            }
            described
        };
        let Some(group) = client.shared.groups.find(&id) else {
            return not_found(described, "not found");
        };
        let group = group.lock();
        let Members::Classic(group) = &group.members else {
            return not_found(described, "is not a classic group");
        };
        let members = group.members.iter().map(|(id, member)| {
            let mut found = DescribedGroupMember::default()
                .with_member_id(text(id.as_str()))
                .with_client_id(text(member.client_id.as_str()))
                .with_client_host(text(member.client_host.as_str()));
            if version >= 4 {
                found.group_instance_id = member.instance_id.clone().map(text);
            }
            if group.state == State::Stable {
                let protocol = group.protocol.as_deref().unwrap_or_default();
                found.member_metadata = member.metadata(protocol);
                found.member_assignment = member.assignment.clone();
            }
            found
        });
        described.members = members.collect();
        described.group_state = text(state_name(group.state));
        described.protocol_type = text(protocol_type(group));
        if group.state == State::Stable {
            described.protocol_data = text(group.protocol.clone().unwrap_or_default());
        }
        described
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn delete(client: &Client, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let names = once(request.groups_names, GroupId::clone);
    let results = names.into_iter().map(|id| {
        let deleted = client.shared.groups.delete(&id);
        DeletableGroupResult::default()
            .with_group_id(id)
            .with_error_code(code(deleted.err()))
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
