//! InitProducerId: a number for an idempotent producer. There are no transactions.

use super::code;
use crate::server::connection::Client;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

pub(super) fn handle(client: &Client, request: &InitProducerIdRequest) -> InitProducerIdResponse {
    let error = match &request.transactional_id {
        None => None,
        Some(id) if id.is_empty() => Some(ResponseError::InvalidRequest),
        // The one error on which all clients give up at once.
        Some(_) => Some(ResponseError::TransactionalIdAuthorizationFailed),
    };
    let response = InitProducerIdResponse::default().with_error_code(code(error));
    match error {
        // As in Kafka, a producer that has had an id gets another one.
        None => response
            .with_producer_id(ProducerId(client.shared.new_producer_id()))
            .with_producer_epoch(0),
        Some(_) => response
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}
