//! The users as administrators see them and change them.

use crate::client::{Client, Served};
use crate::scram::{ALICE, builder, handshake, token};
use crate::versions::in_all_versions;
use alter_user_scram_credentials_request::{ScramCredentialDeletion, ScramCredentialUpsertion};
use alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use bytes::Bytes;
use describe_user_scram_credentials_request::UserName;
use hmac::{Hmac, KeyInit, Mac};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog_kafka::Security;
use sha2::Sha256;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// Two clients: one that is asked for nothing, and one for SASL.
async fn served() -> (Served, Client) {
    let served = Served::with(builder().stream_security(Security::plaintext())).await;
    let client = served.client();
    (served, client)
}

pub(crate) async fn described(
    client: &mut Client,
    users: &[&str],
) -> Vec<(String, i16, Vec<(i8, i32)>)> {
    let users = users
        .iter()
        .map(|user| UserName::default().with_name(text(user)));
    let request = DescribeUserScramCredentialsRequest::default();
    let request = request.with_users(Some(users.collect()));
    let response = client.ask(0, &request).await;
    let result =
        |result: &describe_user_scram_credentials_response::DescribeUserScramCredentialsResult| {
            let infos = result.credential_infos.iter();
            let infos = infos.map(|info| (info.mechanism, info.iterations));
            (result.user.to_string(), result.error_code, infos.collect())
        };
    response.results.iter().map(result).collect()
}

pub(crate) async fn alter(
    client: &mut Client,
    deletions: Vec<ScramCredentialDeletion>,
    upsertions: Vec<ScramCredentialUpsertion>,
) -> Vec<AlterUserScramCredentialsResult> {
    let request = AlterUserScramCredentialsRequest::default()
        .with_deletions(deletions)
        .with_upsertions(upsertions);
    client.ask(0, &request).await.results
}

pub(crate) fn deletion(name: &str, mechanism: i8) -> ScramCredentialDeletion {
    ScramCredentialDeletion::default()
        .with_name(text(name))
        .with_mechanism(mechanism)
}

/// SCRAM-SHA-256, of the password "carol-secret".
pub(crate) fn upsertion(name: &str) -> ScramCredentialUpsertion {
    let keyed = |message: &[u8]| {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(b"carol-secret").unwrap();
        mac.update(message);
        mac.finalize().into_bytes()
    };
    let mut block = keyed(b"salt\0\0\0\x01");
    let mut salted = block;
    for _ in 1..4096 {
        block = keyed(&block);
        for (sum, byte) in salted.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    ScramCredentialUpsertion::default()
        .with_name(text(name))
        .with_mechanism(1)
        .with_iterations(4096)
        .with_salt(Bytes::from_static(b"salt"))
        .with_salted_password(Bytes::copy_from_slice(&salted))
}

#[tokio::test]
async fn users_are_described_with_their_mechanisms_and_iterations() {
    let (_served, mut client) = served().await;
    let both = vec![(1, 4096), (2, 4096)];
    let alice = ("alice".to_owned(), 0, both.clone());
    let bob = ("bob".to_owned(), 0, both);
    assert_eq!(described(&mut client, &[]).await, [alice.clone(), bob]);
    let eve = ("eve".to_owned(), 91, Vec::new());
    assert_eq!(
        described(&mut client, &["eve", "alice"]).await,
        [eve, alice]
    );
    let twice = ("alice".to_owned(), 92, Vec::new());
    assert_eq!(described(&mut client, &["alice", "alice"]).await, [twice]);
}

#[tokio::test]
async fn a_user_that_is_added_can_connect_until_it_is_removed() {
    let (served, mut administrator) = served().await;
    let results = alter(&mut administrator, Vec::new(), vec![upsertion("carol")]).await;
    assert_eq!(results[0].error_code, 0);
    let carol = ("carol".to_owned(), 0, vec![(1, 4096)]);
    assert_eq!(described(&mut administrator, &["carol"]).await, [carol]);
    let listener = Served::with(builder()).await;
    for (is_there, code) in [(true, 0), (false, 58)] {
        let mut client = listener.client();
        let mut administrator = listener.client();
        handshake(&mut administrator, "PLAIN").await;
        assert_eq!(token(&mut administrator, 1, ALICE).await.error_code, 0);
        let (deletions, upsertions) = match is_there {
            true => (Vec::new(), vec![upsertion("carol")]),
            false => (vec![deletion("carol", 1)], Vec::new()),
        };
        let results = alter(&mut administrator, deletions, upsertions).await;
        assert_eq!(results[0].error_code, 0);
        handshake(&mut client, "PLAIN").await;
        let response = token(&mut client, 1, b"\0carol\0carol-secret").await;
        assert_eq!(response.error_code, code);
    }
    drop(served);
}

#[tokio::test]
async fn changes_that_are_not_valid_change_nothing() {
    let (_served, mut client) = served().await;
    let before = described(&mut client, &[]).await;
    for (deletions, upsertions, code) in [
        (vec![deletion("eve", 1)], vec![], 91),
        (vec![deletion("alice", 3)], vec![], 33),
        (vec![deletion("alice", 0)], vec![], 33),
        (vec![deletion("", 1)], vec![], 93),
        (vec![deletion("alice", 1), deletion("alice", 1)], vec![], 92),
        (vec![deletion("alice", 1)], vec![upsertion("alice")], 92),
        (
            vec![deletion("alice", 2)],
            vec![upsertion("alice").with_iterations(4095)],
            93,
        ),
        (vec![], vec![upsertion("eve").with_iterations(16385)], 93),
        (vec![], vec![upsertion("eve").with_iterations(-1)], 93),
        (vec![], vec![upsertion("eve").with_salt(Bytes::new())], 93),
        (
            vec![],
            vec![upsertion("eve").with_salt(vec![7; 1025].into())],
            93,
        ),
        (vec![deletion("alice", 1), deletion("alice", 9)], vec![], 33),
        (
            vec![],
            vec![upsertion("eve").with_salted_password(Bytes::new())],
            93,
        ),
        (vec![], vec![upsertion("eve").with_mechanism(2)], 93),
    ] {
        let results = alter(&mut client, deletions, upsertions).await;
        assert_eq!((results.len(), results[0].error_code), (1, code));
        assert!(results[0].error_message.is_some());
        assert_eq!(described(&mut client, &[]).await, before);
    }
}

#[tokio::test]
async fn requests_of_users_and_of_sasl_in_all_versions() {
    let (_served, mut client) = served().await;
    let request = |_| DescribeUserScramCredentialsRequest::default();
    in_all_versions(&mut client, request).await;
    let request = |_| AlterUserScramCredentialsRequest::default();
    in_all_versions(&mut client, request).await;
    let request = |_| SaslHandshakeRequest::default();
    in_all_versions(&mut client, request).await;
    let request = |_| SaslAuthenticateRequest::default();
    in_all_versions(&mut client, request).await;
}
