//! InitProducerId: a number for an idempotent producer. There are no transactions.

use super::code;
use crate::server::connection::Client;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use tracing::warn;

pub(super) async fn handle(
    client: &Client,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    let error = match &request.transactional_id {
        None => None,
        Some(id) if id.is_empty() => Some(ResponseError::InvalidRequest),
        // The one error on which all clients give up at once.
        Some(id) => {
            let transactional_id = id.as_str();
            warn!(transactional_id, "refused: transactions are not served");
            Some(ResponseError::TransactionalIdAuthorizationFailed)
        }
    };
    // As in Kafka, a producer that has had an id gets another one.
    let id = match error {
        None => client.shared.producer_ids.next().await.map_err(|reason| {
            warn!(%reason, "no producer id can be given");
            ResponseError::KafkaStorageError
        }),
        Some(error) => Err(error),
    };
    let response = InitProducerIdResponse::default().with_error_code(code(id.err()));
    match id {
        Ok(id) => response
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(0),
        Err(_) => response
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}
