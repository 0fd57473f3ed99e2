//! A connection's session: which requests it may send, and until when.
//!
//! ```text
//!            SaslHandshake            the mechanism's last message
//! Handshake --------------> Exchange ------------------------------> Open
//!                              ^                                       |
//!                              +------- SaslHandshake, once more ------+  (re-authentication)
//! ```
//!
//! Without SASL a session is open from the beginning. What is not open takes small frames alone, and
//! nothing but ApiVersions (once), SaslHandshake and SaslAuthenticate. Anything else closes the
//! connection, as in Kafka; so does a failure, after a pause and the answer.

use super::SaslMechanism;
use super::plain::{PlainFault, PlainMessage};
use super::scram::{ClientFirst, ScramExchange, ScramFault};
use super::users::{UserError, Users, random};
use crate::server::Shared;
use crate::server::api::api_versions;
use crate::server::config::SaslConfig;
use crate::server::protocol::apis::served;
use crate::server::protocol::frame::{ProtocolError, Request, decode, encode};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest frame of a client that has not authenticated itself (the default of Kafka's
/// `sasl.server.max.receive.size`).
const UNAUTHENTICATED_BYTES: usize = 512 * 1024;
/// A re-authentication that begins sooner after the last one is refused, as in Kafka.
const MIN_REAUTHENTICATION: Duration = Duration::from_secs(1);
const NONCE_BYTES: usize = 18;

/// Why a client is refused. It has nothing that could be a secret: no name, and no bytes of a message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthenticationError {
    #[error("{api:?} is not allowed before the client has authenticated itself")]
    Unexpected { api: ApiKey },
    #[error("the mechanism that was asked for is not enabled")]
    Mechanism,
    #[error("the client may not change from {from} to another mechanism")]
    OtherMechanism { from: SaslMechanism },
    #[error("the client may not change its user")]
    OtherUser,
    #[error("the client's session has expired")]
    Expired,
    #[error("the client wants to act as another user")]
    Authorization,
    #[error("the user or the password is wrong")]
    Password,
    #[error(transparent)]
    Plain(#[from] PlainFault),
    #[error(transparent)]
    Scram(#[from] ScramFault),
    #[error(transparent)]
    Random(#[from] UserError),
    #[error("the check of a password was given up")]
    GivenUp,
}

impl AuthenticationError {
    /// What the client is answered, in Kafka's words.
    fn message(&self, mechanism: SaslMechanism, is_again: bool, other: Option<&str>) -> String {
        match self {
            AuthenticationError::Plain(PlainFault::Parts { parts }) => {
                format!("Invalid SASL/PLAIN response: expected 3 tokens, got {parts}")
            }
            AuthenticationError::Plain(fault @ (PlainFault::NoName | PlainFault::NoPassword)) => {
                fault.to_string()
            }
            AuthenticationError::Password => {
                "Authentication failed: Invalid username or password".to_owned()
            }
            AuthenticationError::Authorization => "Authentication failed: Client requested an \
                authorization id that is different from username"
                .to_owned(),
            AuthenticationError::OtherUser => format!(
                "Cannot change principals during re-authentication from {}",
                other.unwrap_or_default()
            ),
            _ => {
                let again = if is_again { "re-" } else { "" };
                format!(
                    "Authentication failed during {again}authentication due to invalid credentials \
                     with SASL mechanism {mechanism}"
                )
            }
        }
    }
}

/// What becomes of a frame.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is a request for the APIs.
    Request(Bytes),
    /// It was of the session, and this is its answer.
    Answer(BytesMut),
    /// It is refused: the connection is closed after a pause and the answer, if there is one.
    Refused(Option<BytesMut>, AuthenticationError),
}

#[derive(Debug)]
enum State {
    Open,
    Handshake {
        versions_answered: bool,
    },
    Exchange {
        mechanism: SaslMechanism,
        /// The messages are in requests; if not, in frames without a header (SaslHandshake v0).
        in_requests: bool,
        scram: Option<Box<ScramExchange>>,
    },
}

/// A client that has authenticated itself.
#[derive(Debug)]
struct Authenticated {
    user: String,
    mechanism: SaslMechanism,
    expires: Option<Instant>,
    began_again: Option<Instant>,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Session {
    /// The mechanisms that are enabled; empty without SASL.
    mechanisms: Vec<SaslMechanism>,
    state: State,
    authenticated: Option<Authenticated>,
}

/// An exchange goes on with an answer, or ends with one and a user's name.
enum Step {
    Continue(String),
    Done(String, String),
}

impl Session {
    /// A session with these mechanisms; `None`: without authentication.
    pub(crate) fn new(mechanisms: Option<Vec<SaslMechanism>>) -> Session {
        let state = match &mechanisms {
            None => State::Open,
            Some(_) => State::Handshake {
                versions_answered: false,
            },
        };
        Session {
            mechanisms: mechanisms.unwrap_or_default(),
            state,
            authenticated: None,
        }
    }

    /// The longest frame that may come next.
    pub(crate) fn frame_limit(&self, configured: usize) -> usize {
        match self.state {
            State::Open => configured,
            _ => configured.min(UNAUTHENTICATED_BYTES),
        }
    }

    /// Whether requests are served.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// The mechanism that the client has asked for, if it is enabled.
    pub(crate) fn mechanism(&self) -> Option<SaslMechanism> {
        match (&self.state, &self.authenticated) {
            (State::Exchange { mechanism, .. }, _) => Some(*mechanism),
            (_, Some(authenticated)) => Some(authenticated.mechanism),
            _ => None,
        }
    }

    /// The API of a frame, if it has a header.
    pub(crate) fn api(&self, frame: &[u8]) -> Option<ApiKey> {
        let is_bare = matches!(
            self.state,
            State::Exchange {
                in_requests: false,
                ..
            }
        );
        let key = frame.first_chunk().filter(|_| !is_bare)?;
        served(i16::from_be_bytes(*key)).map(|api| api.key)
    }

    /// Takes the next frame.
    pub(crate) async fn take(
        &mut self,
        shared: &Shared,
        frame: Bytes,
    ) -> Result<Taken, ProtocolError> {
        match self.state {
            State::Open => self.open(shared, frame),
            State::Handshake { .. } => self.handshake(shared, frame, false),
            State::Exchange {
                in_requests: false, ..
            } => self.bare_message(shared, frame).await,
            State::Exchange { .. } => self.message(shared, frame).await,
        }
    }

    /// The session is open: only its end, and what begins it again, is looked at.
    fn open(&mut self, shared: &Shared, frame: Bytes) -> Result<Taken, ProtocolError> {
        let Some(authenticated) = &mut self.authenticated else {
            return Ok(Taken::Request(frame));
        };
        let Some(expires) = authenticated.expires else {
            return Ok(Taken::Request(frame));
        };
        let now = Instant::now();
        if frame.starts_with(&(ApiKey::SaslHandshake as i16).to_be_bytes()) {
            let began = authenticated.began_again;
            if began.is_none_or(|began| now - began >= MIN_REAUTHENTICATION) {
                authenticated.began_again = Some(now);
                return self.handshake(shared, frame, true);
            }
        }
        match now > expires {
            true => Ok(Taken::Refused(None, AuthenticationError::Expired)),
            false => Ok(Taken::Request(frame)),
        }
    }

    fn handshake(
        &mut self,
        shared: &Shared,
        frame: Bytes,
        is_again: bool,
    ) -> Result<Taken, ProtocolError> {
        let (api, head, body) = match Request::read(frame)? {
            Request::Known { api, head, body } => (api.key, head, body),
            Request::UnknownApiVersions { correlation_id } => {
                return Ok(Taken::Answer(unknown_version(correlation_id)?));
            }
        };
        let (version, id) = (head.version, head.correlation_id);
        let mut answer = BytesMut::new();
        match (api, &mut self.state) {
            (ApiKey::ApiVersions, State::Handshake { versions_answered })
                if !*versions_answered =>
            {
                let request: ApiVersionsRequest = decode(api, version, body)?;
                let response = api_versions::handle(version, &request);
                *versions_answered = response.error_code == 0;
                shared.metrics.count_errors(api, &response);
                encode(&mut answer, api, version, id, &response)?;
                Ok(Taken::Answer(answer))
            }
            (ApiKey::SaslHandshake, _) => {
                let request: SaslHandshakeRequest = decode(api, version, body)?;
                let asked: Option<SaslMechanism> = request.mechanism.parse().ok();
                let enabled = asked.filter(|asked| self.mechanisms.contains(asked));
                let code = match enabled {
                    Some(_) => 0,
                    None => ResponseError::UnsupportedSaslMechanism.code(),
                };
                let names = self.mechanisms.iter();
                let names = names.map(|mechanism| StrBytes::from_static_str(mechanism.name()));
                let response = SaslHandshakeResponse::default()
                    .with_error_code(code)
                    .with_mechanisms(names.collect());
                shared.metrics.count_errors(api, &response);
                encode(&mut answer, api, version, id, &response)?;
                let Some(mechanism) = enabled else {
                    return Ok(Taken::Refused(Some(answer), AuthenticationError::Mechanism));
                };
                let before = self.authenticated.as_ref().filter(|_| is_again);
                let before = before.map(|authenticated| authenticated.mechanism);
                if let Some(from) = before.filter(|before| *before != mechanism) {
                    let error = AuthenticationError::OtherMechanism { from };
                    return Ok(Taken::Refused(Some(answer), error));
                }
                self.state = State::Exchange {
                    mechanism,
                    in_requests: version >= 1,
                    scram: None,
                };
                Ok(Taken::Answer(answer))
            }
            _ => Ok(Taken::Refused(
                None,
                AuthenticationError::Unexpected { api },
            )),
        }
    }

    async fn message(&mut self, shared: &Shared, frame: Bytes) -> Result<Taken, ProtocolError> {
        let (api, head, body) = match Request::read(frame)? {
            Request::Known { api, head, body } => (api.key, head, body),
            Request::UnknownApiVersions { correlation_id } => {
                let answer = unknown_version(correlation_id)?;
                let api = ApiKey::ApiVersions;
                let error = AuthenticationError::Unexpected { api };
                return Ok(Taken::Refused(Some(answer), error));
            }
        };
        let (version, id) = (head.version, head.correlation_id);
        let mut answer = BytesMut::new();
        if api != ApiKey::SaslAuthenticate {
            let code = ResponseError::IllegalSaslState.code();
            // Others have no place for an error of the whole request.
            let answer = match api {
                ApiKey::SaslHandshake => {
                    let response = SaslHandshakeResponse::default().with_error_code(code);
                    shared.metrics.count_errors(api, &response);
                    encode(&mut answer, api, version, id, &response)?;
                    Some(answer)
                }
                ApiKey::ApiVersions => {
                    let response = ApiVersionsResponse::default().with_error_code(code);
                    shared.metrics.count_errors(api, &response);
                    encode(&mut answer, api, version, id, &response)?;
                    Some(answer)
                }
                _ => None,
            };
            return Ok(Taken::Refused(
                answer,
                AuthenticationError::Unexpected { api },
            ));
        }
        let request: SaslAuthenticateRequest = decode(api, version, body)?;
        let mechanism = self.mechanism().unwrap_or(SaslMechanism::Plain);
        let mut response = SaslAuthenticateResponse::default();
        let refused = match self.step(shared, &request.auth_bytes).await {
            Ok((token, is_done)) => {
                response.auth_bytes = token.into();
                if let Some(lifetime) = self.lifetime(&shared.config.sasl, version, is_done) {
                    response.session_lifetime_ms = lifetime;
                }
                None
            }
            Err((error, other)) => {
                let is_again = self.authenticated.is_some();
                let message = error.message(mechanism, is_again, other.as_deref());
                response.error_code = ResponseError::SaslAuthenticationFailed.code();
                response.error_message = Some(StrBytes::from_string(message));
                Some(error)
            }
        };
        shared.metrics.count_errors(api, &response);
        encode(&mut answer, api, version, id, &response)?;
        Ok(match refused {
            None => Taken::Answer(answer),
            Some(error) => Taken::Refused(Some(answer), error),
        })
    }

    async fn bare_message(
        &mut self,
        shared: &Shared,
        frame: Bytes,
    ) -> Result<Taken, ProtocolError> {
        match self.step(shared, &frame).await {
            Ok((token, _)) => {
                let mut answer = BytesMut::new();
                answer.put_u32(token.len() as u32);
                answer.put_slice(token.as_bytes());
                Ok(Taken::Answer(answer))
            }
            Err((error, _)) => Ok(Taken::Refused(None, error)),
        }
    }

    fn lifetime(&self, config: &SaslConfig, version: i16, is_done: bool) -> Option<i64> {
        let lifetime = config.max_session.filter(|_| is_done && version >= 1)?;
        i64::try_from(lifetime.as_millis()).ok()
    }

    /// Goes on with the exchange. Returns the answer, and whether the client has authenticated itself;
    /// or why not, with the users where they differ.
    async fn step(
        &mut self,
        shared: &Shared,
        message: &[u8],
    ) -> Result<(String, bool), (AuthenticationError, Option<String>)> {
        let State::Exchange {
            mechanism, scram, ..
        } = &mut self.state
        else {
            return Err((AuthenticationError::GivenUp, None));
        };
        let mechanism = *mechanism;
        let step = match (mechanism, scram.take()) {
            (SaslMechanism::Plain, _) => plain(shared, message).await,
            (_, None) => begin(&shared.users, mechanism, message).map(|begun| {
                let answer = begun.server_first().to_owned();
                *scram = Some(Box::new(begun));
                Step::Continue(answer)
            }),
            (_, Some(exchange)) => match exchange.finish(message) {
                Ok((user, answer)) => Ok(Step::Done(user, answer)),
                Err(fault) => Err(fault.into()),
            },
        };
        let (user, answer) = match step {
            Ok(Step::Continue(answer)) => return Ok((answer, false)),
            Ok(Step::Done(user, answer)) => (user, answer),
            Err(error) => return Err((error, None)),
        };
        let before = self.authenticated.take();
        let mut began_again = None;
        if let Some(before) = before {
            if before.user != user {
                let users = format!("User.{}: User.{user}", before.user);
                return Err((AuthenticationError::OtherUser, Some(users)));
            }
            began_again = before.began_again;
        }
        let lifetime = shared.config.sasl.max_session;
        self.authenticated = Some(Authenticated {
            user,
            mechanism,
            // A time beyond what can be counted never comes.
            expires: lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime)),
            began_again,
        });
        self.state = State::Open;
        Ok((answer, true))
    }
}

fn unknown_version(correlation_id: i32) -> Result<BytesMut, ProtocolError> {
    let mut answer = BytesMut::new();
    let response = api_versions::unknown_version();
    encode(
        &mut answer,
        ApiKey::ApiVersions,
        0,
        correlation_id,
        &response,
    )?;
    Ok(answer)
}

fn begin(
    users: &Users,
    mechanism: SaslMechanism,
    message: &[u8],
) -> Result<ScramExchange, AuthenticationError> {
    let first = ClientFirst::parse(message)?;
    let other = first.authorization.as_ref();
    if other.is_some_and(|authorization| *authorization != first.name) {
        return Err(AuthenticationError::Authorization);
    }
    let credential = users.credential(mechanism, &first.name);
    let nonce = random::<NONCE_BYTES>()?;
    Ok(ScramExchange::new(first, credential, &nonce))
}

async fn plain(shared: &Shared, message: &[u8]) -> Result<Step, AuthenticationError> {
    let message = PlainMessage::parse(message)?;
    let credential = shared.users.credential(SaslMechanism::Plain, &message.name);
    // One at a time: clients that guess must not take all of the machine.
    let permit = Arc::clone(&shared.password_checks).acquire_owned().await;
    let password = message.password;
    let check = move || {
        let is_password = credential.is_password(&password);
        drop(permit);
        is_password
    };
    // Salting a password takes milliseconds, in which a task of the runtime would hold up others.
    match tokio::task::spawn_blocking(check).await {
        Ok(true) => {}
        Ok(false) => return Err(AuthenticationError::Password),
        Err(_) => return Err(AuthenticationError::GivenUp),
    }
    if !message.authorization.is_empty() && message.authorization != message.name {
        return Err(AuthenticationError::Authorization);
    }
    Ok(Step::Done(message.name, String::new()))
}
