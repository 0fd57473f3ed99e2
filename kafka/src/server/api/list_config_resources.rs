//! ListConfigResources: what has configurations. Of groups and of client metrics there are none here.

use super::configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::text;
use crate::server::connection::Client;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

/// The types of resources, in the order of Kafka's answer.
const TYPES: [i8; 5] = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

pub(super) fn handle(
    client: &Client,
    version: i16,
    request: &ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    // Version 0 knows client metrics alone, and has no types.
    let known = match version {
        0 => &[CLIENT_METRICS][..],
        _ => &TYPES,
    };
    let asked = &request.resource_types;
    if !asked.iter().all(|kind| known.contains(kind)) {
        let error = ResponseError::UnsupportedVersion.code();
        return ListConfigResourcesResponse::default().with_error_code(error);
    }
    let shared = &client.shared;
    let mut resources = Vec::new();
    for kind in known.iter().copied() {
        if !asked.is_empty() && !asked.contains(&kind) {
            continue;
        }
        let names = match kind {
            BROKER | BROKER_LOGGER => vec![shared.config.node_id.to_string()],
            TOPIC => shared.topics.names(),
            _ => Vec::new(),
        };
        resources.extend(names.into_iter().map(|name| {
            ConfigResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
        }));
    }
    ListConfigResourcesResponse::default().with_config_resources(resources)
}
