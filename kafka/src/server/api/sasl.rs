//! SaslHandshake and SaslAuthenticate outside their time, and the users as administrators see them.
//!
//! What authenticates a client is in `security/session.rs`.

use super::{code, once, text};
use crate::server::connection::Client;
use crate::server::security::scram::{ScramCredential, ScramHash};
use crate::server::security::users::Credentials;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use std::collections::BTreeMap;
use tracing::warn;

/// The iterations that Kafka allows.
const ITERATIONS: core::ops::RangeInclusive<i32> = 4096..=16384;

/// The longest salt. Kafka's tools make one of some tens of bytes.
const MAX_SALT_BYTES: usize = 1024;

pub(super) fn handshake(_: &SaslHandshakeRequest) -> SaslHandshakeResponse {
    SaslHandshakeResponse::default().with_error_code(ResponseError::IllegalSaslState.code())
}

pub(super) fn authenticate(_: &SaslAuthenticateRequest) -> SaslAuthenticateResponse {
    let message = "SaslAuthenticate request received after successful authentication";
    SaslAuthenticateResponse::default()
        .with_error_code(ResponseError::IllegalSaslState.code())
        .with_error_message(Some(text(message)))
}

/// The protocol's number of a hash.
fn number(hash: ScramHash) -> i8 {
    match hash {
        ScramHash::Sha256 => 1,
        ScramHash::Sha512 => 2,
    }
}

fn hash(number: i8) -> Option<ScramHash> {
    [ScramHash::Sha256, ScramHash::Sha512]
        .into_iter()
        .find(|hash| self::number(*hash) == number)
}

pub(super) fn describe_users(
    client: &Client,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = &client.shared.users;
    let described = |name: &str, credentials: &Credentials| {
        let infos = credentials.all().map(|credential| {
            CredentialInfo::default()
                .with_mechanism(number(credential.hash))
                .with_iterations(credential.iterations as i32)
        });
        DescribeUserScramCredentialsResult::default()
            .with_user(text(name))
            .with_credential_infos(infos.collect())
    };
    let results = match request.users.filter(|users| !users.is_empty()) {
        None => {
            let all = users.all();
            let all = all.iter().map(|(name, found)| described(name, found));
            all.collect()
        }
        Some(asked) => {
            let mut times: BTreeMap<String, usize> = BTreeMap::new();
            for user in &asked {
                *times.entry(user.name.to_string()).or_default() += 1;
            }
            let asked = once(asked, |user| user.name.clone());
            let result = |name: &str| {
                let refused = |error: ResponseError, message: &str| {
                    DescribeUserScramCredentialsResult::default()
                        .with_user(text(name))
                        .with_error_code(error.code())
                        .with_error_message(Some(text(message)))
                };
                if times.get(name).is_some_and(|times| *times > 1) {
                    let message = format!(
                        "Cannot describe SCRAM credentials for the same user twice in a single \
                         request: {name}"
                    );
                    return refused(ResponseError::DuplicateResource, &message);
                }
                match users.of(name) {
                    Some(found) => described(name, &found),
                    None => {
                        let message = format!(
                            "Attempt to describe a user credential that does not exist: {name}"
                        );
                        refused(ResponseError::ResourceNotFound, &message)
                    }
                }
            };
            asked.iter().map(|user| result(&user.name)).collect()
        }
    };
    DescribeUserScramCredentialsResponse::default().with_results(results)
}

/// All changes of a user are carried out, or none.
pub(super) fn alter_users(
    client: &Client,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let mut by_user: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for deletion in request.deletions {
        let changes = by_user.entry(deletion.name.to_string()).or_default();
        changes.push(Change::Remove(deletion.mechanism));
    }
    for upsertion in request.upsertions {
        let changes = by_user.entry(upsertion.name.to_string()).or_default();
        changes.push(Change::Set(upsertion));
    }
    let results = by_user.into_iter().map(|(name, changes)| {
        let outcome = alter(client, &name, changes);
        let message = outcome.err().map(|(error, message)| (error, text(message)));
        let (error, message) = message.unzip();
        AlterUserScramCredentialsResult::default()
            .with_user(text(name))
            .with_error_code(code(error))
            .with_error_message(message)
    });
    AlterUserScramCredentialsResponse::default().with_results(results.collect())
}

enum Change {
    Remove(i8),
    Set(ScramCredentialUpsertion),
}

fn alter(
    client: &Client,
    name: &str,
    changes: Vec<Change>,
) -> Result<(), (ResponseError, &'static str)> {
    let users = &client.shared.users;
    let unacceptable = |message| Err((ResponseError::UnacceptableCredential, message));
    if name.is_empty() {
        return unacceptable("Username must not be empty");
    }
    let mut removed = Vec::new();
    let mut set = Vec::new();
    for change in changes {
        let mechanism = match &change {
            Change::Remove(mechanism) => *mechanism,
            Change::Set(upsertion) => upsertion.mechanism,
        };
        let Some(hash) = hash(mechanism) else {
            let message = "Unknown SCRAM mechanism";
            return Err((ResponseError::UnsupportedSaslMechanism, message));
        };
        let is_changed = |credential: &ScramCredential| credential.hash == hash;
        if removed.contains(&hash) || set.iter().any(is_changed) {
            let message = "A user credential cannot be altered twice in the same request";
            return Err((ResponseError::DuplicateResource, message));
        }
        match change {
            Change::Remove(_) => removed.push(hash),
            Change::Set(upsertion) => {
                let iterations = upsertion.iterations;
                if iterations < *ITERATIONS.start() {
                    return unacceptable("Too few iterations");
                }
                if iterations > *ITERATIONS.end() {
                    return unacceptable("Too many iterations");
                }
                if upsertion.salt.is_empty() {
                    return unacceptable("The salt is empty");
                }
                // It is sent to each client that begins with this name.
                if upsertion.salt.len() > MAX_SALT_BYTES {
                    return unacceptable("The salt is too long");
                }
                if upsertion.salted_password.len() != hash.bytes() {
                    return unacceptable("The salted password is not of the hash's length");
                }
                let salt = upsertion.salt.to_vec();
                let salted = &upsertion.salted_password;
                let iterations = iterations as u32;
                set.push(ScramCredential::from_salted(hash, salted, salt, iterations));
            }
        }
    }
    match users.change(name, &removed, set) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = "Attempt to delete a user credential that does not exist";
            Err((ResponseError::ResourceNotFound, message))
        }
        Err(reason) => {
            warn!(%reason, "a user could not be changed");
            Err((
                ResponseError::KafkaStorageError,
                "The change cannot be stored",
            ))
        }
    }
}
