//! A client's side of SASL.

use crate::client::{Client, Served};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog_kafka::SaslMechanism::ScramSha512;
use ringlog_kafka::{SaslMechanism, Security, Server, ServerBuilder};
use sha2::{Digest, Sha256, Sha512};

pub(crate) const ALICE: &[u8] = b"\0alice\0alice-secret";
pub(crate) const BOB: &[u8] = b"\0bob\0bob-secret";
pub(crate) fn builder() -> ServerBuilder {
    Server::builder()
        .user("alice", "alice-secret")
        .user("bob", "bob-secret")
        .stream_security(Security::plaintext().sasl(SaslMechanism::ALL))
}

pub(crate) async fn served() -> Served {
    Served::with(builder()).await
}

pub(crate) async fn handshake(client: &mut Client, mechanism: &str) -> SaslHandshakeResponse {
    let mechanism = StrBytes::from_string(mechanism.to_owned());
    let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
    client.ask(1, &request).await
}

pub(crate) async fn token(
    client: &mut Client,
    version: i16,
    token: &[u8],
) -> SaslAuthenticateResponse {
    let token = Bytes::copy_from_slice(token);
    let request = SaslAuthenticateRequest::default().with_auth_bytes(token);
    client.ask(version, &request).await
}

/// Authenticates by PLAIN.
pub(crate) async fn plain(client: &mut Client, message: &[u8]) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, "PLAIN").await.error_code, 0);
    token(client, 2, message).await
}

pub(crate) async fn assert_served(client: &mut Client) {
    let response = client.ask(9, &MetadataRequest::default()).await;
    assert_eq!(response.brokers.len(), 1);
}

pub(crate) fn hmac_of(mechanism: SaslMechanism, key: &[u8], message: &[u8]) -> Vec<u8> {
    fn keyed<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }
    match mechanism {
        ScramSha512 => keyed::<Hmac<Sha512>>(key, message),
        _ => keyed::<Hmac<Sha256>>(key, message),
    }
}

pub(crate) fn xor(sum: &mut [u8], bytes: &[u8]) {
    for (sum, byte) in sum.iter_mut().zip(bytes) {
        *sum ^= byte;
    }
}

pub(crate) fn salted(
    mechanism: SaslMechanism,
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Vec<u8> {
    let mut block = hmac_of(
        mechanism,
        password.as_bytes(),
        &[salt, &[0, 0, 0, 1]].concat(),
    );
    let mut sum = block.clone();
    for _ in 1..iterations {
        block = hmac_of(mechanism, password.as_bytes(), &block);
        xor(&mut sum, &block);
    }
    sum
}

/// A client's side of SCRAM.
pub(crate) struct Scram {
    mechanism: SaslMechanism,
    bare: String,
}

impl Scram {
    pub(crate) fn new(mechanism: SaslMechanism, user: &str) -> Scram {
        let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
        Scram { mechanism, bare }
    }

    pub(crate) fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// The last message, and the server's that must follow.
    pub(crate) fn last(&self, server_first: &[u8], password: &str) -> (Vec<u8>, Vec<u8>) {
        let server_first = std::str::from_utf8(server_first).unwrap();
        let parts: Vec<&str> = server_first.split(',').collect();
        let salt = BASE64.decode(&parts[1][2..]).unwrap();
        let iterations = parts[2][2..].parse().unwrap();
        let salted = salted(self.mechanism, password, &salt, iterations);
        let mut client_key = hmac_of(self.mechanism, &salted, b"Client Key");
        let stored_key = match self.mechanism {
            ScramSha512 => Sha512::digest(&client_key).to_vec(),
            _ => Sha256::digest(&client_key).to_vec(),
        };
        let without_proof = format!("c=biws,{}", parts[0]);
        let message = format!("{},{server_first},{without_proof}", self.bare);
        let message = message.as_bytes();
        xor(
            &mut client_key,
            &hmac_of(self.mechanism, &stored_key, message),
        );
        let last = format!("{without_proof},p={}", BASE64.encode(client_key));
        let server_key = hmac_of(self.mechanism, &salted, b"Server Key");
        let signature = BASE64.encode(hmac_of(self.mechanism, &server_key, message));
        (last.into_bytes(), format!("v={signature}").into_bytes())
    }

    /// The whole exchange. Returns the last response.
    pub(crate) async fn run(
        &self,
        client: &mut Client,
        password: &str,
    ) -> SaslAuthenticateResponse {
        assert_eq!(handshake(client, self.mechanism.name()).await.error_code, 0);
        let first = token(client, 1, &self.first()).await;
        assert_eq!(first.error_code, 0);
        let (last, expected) = self.last(&first.auth_bytes, password);
        let response = token(client, 1, &last).await;
        assert!(response.error_code != 0 || *response.auth_bytes == *expected);
        response
    }
}
