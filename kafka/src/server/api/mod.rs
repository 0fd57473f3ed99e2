//! The APIs: a request in, a response out. One file an API, or a few that belong together.
//!
//! A field that a version lacks must have its default, or `kafka-protocol` refuses to encode it. So
//! the handlers know the version.

mod alter_configs;
pub(super) mod api_versions;
mod broker_configs;
mod configs;
mod consumer_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_topic_partitions;
mod fetch;
mod find_coordinator;
mod group_admin;
mod groups;
mod init_producer_id;
mod leader_epochs;
mod list_config_resources;
mod list_offsets;
mod metadata;
mod offset_delete;
mod offsets;
mod produce;
mod sasl;
mod topics;

use super::connection::{Client, Ended};
use super::protocol::apis::Api;
use super::protocol::frame::{ProtocolError, Request, RequestHead, decode, encode};
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::hash::Hash;
use std::pin::Pin;
use tracing::warn;

/// A frame that comes later.
pub(super) type LaterFrame = Pin<Box<dyn Future<Output = Result<BytesMut, ProtocolError>> + Send>>;

/// What a request is answered.
pub(super) enum Answer {
    /// A complete frame.
    Frame(BytesMut),
    /// The same, when something is stored. The request has done all it does.
    Later(LaterFrame),
    /// Nothing: the client waits for no answer.
    None,
    /// Nothing, and the connection is closed: how a client that waits for no answer is shown an error.
    Close,
}

/// Answers a request.
pub(super) async fn answer(client: &mut Client, request: Request) -> Result<Answer, Ended> {
    let (api, head, body) = match request {
        Request::Known { api, head, body } => (api, head, body),
        Request::UnknownApiVersions { correlation_id } => {
            let response = api_versions::unknown_version();
            client
                .shared
                .metrics
                .count_errors(ApiKey::ApiVersions, &response);
            let mut frame = BytesMut::new();
            encode(
                &mut frame,
                ApiKey::ApiVersions,
                0,
                correlation_id,
                &response,
            )?;
            return Ok(Answer::Frame(frame));
        }
    };
    Ok(dispatch(client, api, &head, body).await?)
}

async fn dispatch(
    client: &mut Client,
    api: &'static Api,
    head: &RequestHead,
    body: Bytes,
) -> Result<Answer, ProtocolError> {
    let (key, version) = (api.key, head.version);
    let mut frame = BytesMut::new();
    let metrics = client.shared.metrics.clone();
    // Decodes, handles and encodes; `$handled` sees the request by the name `$request`.
    macro_rules! handle {
        ($request:ident => $handled:expr) => {{
            let $request = decode(key, version, body)?;
            let response = $handled;
            if !is_kept(client, key).await {
                return Ok(Answer::Close);
            }
            metrics.count_errors(key, &response);
            encode(&mut frame, key, version, head.correlation_id, &response)?;
        }};
    }
    // The same for what may wait for the disk.
    macro_rules! on_disk {
        ($request:ident, $client:ident => $handled:expr) => {
            handle!($request => {
                let handled = move |$client: &Client| $handled;
                match client.on_disk(handled).await {
                    Some(response) => response,
                    None => return Ok(Answer::Close),
                }
            })
        };
    }
    match key {
        ApiKey::Produce => {
            let request = decode(key, version, body)?;
            match produce::handle(client, version, request).await {
                produce::Produced::Answer(response) => {
                    metrics.count_errors(key, &response);
                    encode(&mut frame, key, version, head.correlation_id, &response)?;
                }
                produce::Produced::Later(response) => {
                    let correlation_id = head.correlation_id;
                    return Ok(Answer::Later(Box::pin(async move {
                        let response = response.await;
                        metrics.count_errors(key, &response);
                        encode(&mut frame, key, version, correlation_id, &response)?;
                        Ok(frame)
                    })));
                }
                produce::Produced::Unanswered => return Ok(Answer::None),
                produce::Produced::UnansweredError => return Ok(Answer::Close),
            }
        }
        ApiKey::Fetch => handle!(request => fetch::handle(client, version, request).await),
        ApiKey::ListOffsets => handle!(request => list_offsets::handle(client, version, request)),
        ApiKey::Metadata => {
            let request = decode(key, version, body)?;
            let response = match metadata::may_create(client, &request) {
                true => {
                    let created = move |client: &Client| metadata::handle(client, version, request);
                    match client.on_disk(created).await {
                        Some(response) => response,
                        None => return Ok(Answer::Close),
                    }
                }
                false => metadata::handle(client, version, request),
            };
            metrics.count_errors(key, &response);
            encode(&mut frame, key, version, head.correlation_id, &response)?;
        }
        ApiKey::OffsetCommit => {
            handle!(request => offsets::commit(client, version, request).await);
        }
        ApiKey::OffsetFetch => handle!(request => offsets::fetch(client, version, request)),
        ApiKey::FindCoordinator => {
            handle!(request => find_coordinator::handle(client, version, request));
        }
        ApiKey::JoinGroup => {
            handle!(request => groups::join(client, head, request).await);
        }
        ApiKey::Heartbeat => handle!(request => groups::heartbeat(client, request)),
        ApiKey::LeaveGroup => handle!(request => groups::leave(client, version, request)),
        ApiKey::SyncGroup => handle!(request => groups::sync(client, version, request).await),
        ApiKey::ApiVersions => handle!(request => api_versions::handle(version, &request)),
        ApiKey::CreateTopics => {
            on_disk!(request, client => topics::create(client, version, request));
        }
        ApiKey::DeleteTopics => {
            on_disk!(request, client => topics::delete(client, version, request));
        }
        ApiKey::CreatePartitions => {
            on_disk!(request, client => topics::create_partitions(client, request));
        }
        ApiKey::DeleteRecords => {
            handle!(request => topics::delete_records(client, request).await);
        }
        ApiKey::DescribeConfigs => handle!(request => configs::describe(client, version, request)),
        ApiKey::AlterConfigs => {
            on_disk!(request, client => alter_configs::replace(client, request));
        }
        ApiKey::IncrementalAlterConfigs => {
            on_disk!(request, client => alter_configs::alter(client, request));
        }
        ApiKey::DescribeLogDirs => {
            handle!(request => describe_log_dirs::handle(client, request));
        }
        ApiKey::DescribeProducers => {
            handle!(request => describe_producers::handle(client, request).await);
        }
        ApiKey::OffsetDelete => handle!(request => offset_delete::handle(client, request)),
        ApiKey::DescribeCluster => {
            handle!(request => configs::describe_cluster(client, version, &request));
        }
        ApiKey::OffsetForLeaderEpoch => handle!(request => leader_epochs::handle(client, request)),
        ApiKey::ListGroups => handle!(request => group_admin::list(client, version, &request)),
        ApiKey::DescribeGroups => {
            handle!(request => group_admin::describe(client, version, request));
        }
        ApiKey::DeleteGroups => handle!(request => group_admin::delete(client, request)),
        ApiKey::ConsumerGroupHeartbeat => {
            handle!(request => consumer_groups::heartbeat(client, head, request));
        }
        ApiKey::ConsumerGroupDescribe => {
            handle!(request => consumer_groups::describe(client, version, request));
        }
        ApiKey::ListConfigResources => {
            handle!(request => list_config_resources::handle(client, version, &request));
        }
        ApiKey::DescribeTopicPartitions => {
            handle!(request => describe_topic_partitions::handle(client, request));
        }
        ApiKey::InitProducerId => {
            handle!(request => init_producer_id::handle(client, &request).await);
        }
        ApiKey::SaslHandshake => handle!(request => sasl::handshake(&request)),
        ApiKey::SaslAuthenticate => handle!(request => sasl::authenticate(&request)),
        ApiKey::DescribeUserScramCredentials => {
            handle!(request => sasl::describe_users(client, request));
        }
        ApiKey::AlterUserScramCredentials => {
            handle!(request => sasl::alter_users(client, request));
        }
        _ => return Err(ProtocolError::UnknownApi { key: key as i16 }),
    }
    Ok(Answer::Frame(frame))
}

/// Waits until what the request has changed is kept as far as it must be before the answer: it
/// survives a power cut where administrators have changed something, and a crash of the process where
/// groups have. `false` if that cannot be: then there is no answer.
async fn is_kept(client: &Client, key: ApiKey) -> bool {
    let kept = match key {
        ApiKey::CreateTopics
        | ApiKey::AlterConfigs
        | ApiKey::IncrementalAlterConfigs
        | ApiKey::AlterUserScramCredentials => client.shared.durable().await,
        ApiKey::JoinGroup
        | ApiKey::SyncGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::OffsetDelete
        | ApiKey::DeleteGroups => client.shared.written().await,
        _ => Ok(()),
    };
    if let Err(reason) = &kept {
        warn!(api = ?key, %reason, "what a request has changed is not kept");
    }
    kept.is_ok()
}

/// The code of an error, or of none.
fn code(error: Option<ResponseError>) -> i16 {
    error.map_or(0, |error| error.code())
}

/// The items, without any whose key came before: an answer may be far longer than the name that asks
/// for it, and a request may have the name a million times.
fn once<T, K: Eq + Hash>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::new();
    let items = items.into_iter();
    items.filter(|item| seen.insert(key(item))).collect()
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
