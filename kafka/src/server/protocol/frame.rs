//! Frames: a length of 4 bytes, a header and a request or a response.
//!
//! ```text
//! request:   length | api key (2) | api version (2) | correlation id (4) | client id (text, or null)
//!            | tagged fields, in flexible versions | body
//! response:  length | correlation id (4) | tagged fields, in flexible versions | body
//! ```

use super::apis::{Api, served};
use super::layout::{LayoutFault, skip_tags};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, Encodable};

/// Why a connection is closed without an answer, as Kafka does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProtocolError {
    #[error("a frame of {length} bytes; up to {limit} are allowed")]
    FrameLength { length: i32, limit: usize },
    #[error("the header of a request is malformed: {fault}")]
    Header { fault: LayoutFault },
    #[error("API {key} is not served")]
    UnknownApi { key: i16 },
    #[error("version {version} of {api:?} is not served")]
    UnknownVersion { api: ApiKey, version: i16 },
    #[error("the request {api:?} of version {version} is malformed: {reason}")]
    Malformed {
        api: ApiKey,
        version: i16,
        reason: String,
    },
    #[error("the answer to {api:?} of version {version} could not be encoded: {reason}")]
    Encode {
        api: ApiKey,
        version: i16,
        reason: String,
    },
}

/// Takes a complete frame from the front of `input`, without its length. `None` while it is cut.
pub(crate) fn take_frame(
    input: &mut BytesMut,
    limit: usize,
) -> Result<Option<Bytes>, ProtocolError> {
    let Some(length) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let bytes = match usize::try_from(length) {
        Ok(bytes) if bytes <= limit => bytes,
        _ => return Err(ProtocolError::FrameLength { length, limit }),
    };
    if input.len() - 4 < bytes {
        // Room grows with what comes, so that a length alone takes no memory.
        input.reserve((4 + bytes - input.len()).min(input.len().max(4096)));
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(bytes).freeze()))
}

/// The header of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestHead {
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// The client's name for itself; empty for none, and for one that is not UTF-8.
    pub(crate) client_id: String,
}

/// A request whose header was read, and whose body was checked against its layout.
#[derive(Debug)]
pub(crate) enum Request {
    Known {
        api: &'static Api,
        head: RequestHead,
        body: Bytes,
    },
    /// ApiVersions of a version that is not known: answered in version 0.
    UnknownApiVersions { correlation_id: i32 },
}

impl Request {
    /// Reads the header of a frame, and checks the body.
    pub(crate) fn read(mut frame: Bytes) -> Result<Request, ProtocolError> {
        let cut = |_| ProtocolError::Header {
            fault: LayoutFault::Cut,
        };
        let key = frame.try_get_i16().map_err(cut)?;
        let version = frame.try_get_i16().map_err(cut)?;
        let correlation_id = frame.try_get_i32().map_err(cut)?;
        let api = served(key).ok_or(ProtocolError::UnknownApi { key })?;
        if !api.answers(version) {
            return match api.key {
                ApiKey::ApiVersions => Ok(Request::UnknownApiVersions { correlation_id }),
                api => Err(ProtocolError::UnknownVersion { api, version }),
            };
        }
        let header_fault = |fault| ProtocolError::Header { fault };
        let client_id = match frame.try_get_i16().map_err(cut)? {
            -1 => Bytes::new(),
            length => match usize::try_from(length) {
                Ok(length) if length <= frame.len() => frame.split_to(length),
                Ok(_) => return Err(header_fault(LayoutFault::Cut)),
                Err(_) => {
                    let length = length.into();
                    return Err(header_fault(LayoutFault::NegativeLength { length }));
                }
            },
        };
        if version >= api.layout.flexible_from {
            let mut rest = &frame[..];
            skip_tags(&mut rest).map_err(header_fault)?;
            let tags = frame.len() - rest.len();
            frame.advance(tags);
        }
        let checked = api.layout.check(version, &frame);
        checked.map_err(|fault| malformed(api.key, version, fault))?;
        Ok(Request::Known {
            api,
            head: RequestHead {
                version,
                correlation_id,
                client_id: String::from_utf8(client_id.to_vec()).unwrap_or_default(),
            },
            body: frame,
        })
    }
}

fn malformed(api: ApiKey, version: i16, reason: impl ToString) -> ProtocolError {
    ProtocolError::Malformed {
        api,
        version,
        reason: reason.to_string(),
    }
}

/// Decodes the body of a request, which was checked.
pub(crate) fn decode<R: Decodable>(
    api: ApiKey,
    version: i16,
    mut body: Bytes,
) -> Result<R, ProtocolError> {
    R::decode(&mut body, version).map_err(|error| malformed(api, version, error))
}

/// Appends the frame of a response.
pub(crate) fn encode<R: Encodable>(
    output: &mut BytesMut,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &R,
) -> Result<(), ProtocolError> {
    let begin = output.len();
    output.put_i32(0);
    output.put_i32(correlation_id);
    if api.response_header_version(version) >= 1 {
        output.put_u8(0); // no tagged fields
    }
    let encoded = response.encode(output, version);
    let length = i32::try_from(output.len() - begin - 4);
    let reason = match (encoded, length) {
        (Ok(()), Ok(length)) => {
            output[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
            return Ok(());
        }
        (Err(error), _) => error.to_string(),
        (Ok(()), Err(_)) => "it is longer than 2 GB".to_owned(),
    };
    output.truncate(begin);
    Err(ProtocolError::Encode {
        api,
        version,
        reason,
    })
}
