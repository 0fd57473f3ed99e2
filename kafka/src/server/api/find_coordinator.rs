//! FindCoordinator: always this server.

use super::{code, once, text};
use crate::server::connection::Client;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

const GROUP: i8 = 0;
/// Answered, so that a client goes on to InitProducerId, which says that there are no transactions.
const TRANSACTION: i8 = 1;

pub(super) fn handle(
    client: &Client,
    version: i16,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let keys = match version {
        4.. => once(request.coordinator_keys, StrBytes::clone),
        _ => vec![request.key],
    };
    let coordinators = keys.into_iter().map(|key| {
        let error = match request.key_type {
            GROUP | TRANSACTION => None,
            _ => Some(ResponseError::InvalidRequest),
        };
        coordinator(client, key, error)
    });
    let mut coordinators: Vec<Coordinator> = coordinators.collect();
    if version >= 4 {
        return FindCoordinatorResponse::default().with_coordinators(coordinators);
    }
    let Some(only) = coordinators.pop() else {
        return FindCoordinatorResponse::default();
    };
    let response = FindCoordinatorResponse::default()
        .with_error_code(only.error_code)
        .with_node_id(only.node_id)
        .with_host(only.host)
        .with_port(only.port);
    match version {
        // As Kafka writes it.
        1.. if only.error_code == 0 => response.with_error_message(Some(text("NONE"))),
        1.. => response.with_error_message(only.error_message),
        _ => response,
    }
}

fn coordinator(client: &Client, key: StrBytes, error: Option<ResponseError>) -> Coordinator {
    let coordinator = Coordinator::default()
        .with_key(key)
        .with_error_code(code(error));
    match error {
        None => coordinator
            .with_node_id(BrokerId(client.shared.config.node_id))
            .with_host(text(client.advertised.host.as_str()))
            .with_port(client.advertised.port.into()),
        Some(error) => coordinator
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_message(Some(text(error.to_string()))),
    }
}
