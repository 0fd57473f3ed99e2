//! Authentication: what a client may do before, how it proves itself, and for how long.

use crate::client::Served;
use crate::scram::{ALICE, BOB, Scram, assert_served, builder, handshake, plain, served, token};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog_kafka::SaslMechanism::{Plain, ScramSha256, ScramSha512};
use ringlog_kafka::Security;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const SESSION: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_user_with_its_password_is_served_by_every_mechanism() {
    let served = served().await;
    for version in 0..=2 {
        let mut client = served.client();
        assert_eq!(handshake(&mut client, "PLAIN").await.error_code, 0);
        let response = token(&mut client, version, ALICE).await;
        assert_eq!((response.error_code, response.session_lifetime_ms), (0, 0));
        assert_served(&mut client).await;
    }
    for mechanism in [ScramSha256, ScramSha512] {
        let mut client = served.client();
        let scram = Scram::new(mechanism, "alice");
        let response = scram.run(&mut client, "alice-secret").await;
        assert_eq!(response.error_code, 0);
        assert_served(&mut client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_refused_after_a_pause_and_closed() {
    let served = served().await;
    for mechanism in [ScramSha256, ScramSha512] {
        let mut client = served.client();
        let begin = tokio::time::Instant::now();
        let scram = Scram::new(mechanism, "alice");
        let response = scram.run(&mut client, "bob-secret").await;
        let message = format!(
            "Authentication failed during authentication due to invalid credentials with SASL \
             mechanism {mechanism}"
        );
        assert_eq!(response.error_code, 58);
        assert_eq!(response.error_message.as_deref(), Some(message.as_str()));
        assert!(response.auth_bytes.is_empty());
        assert!(begin.elapsed() >= Duration::from_millis(100));
        // It goes on as if nothing had been. The server may have closed already.
        let metadata = [0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 9, 255, 255, 0, 0, 0, 0];
        let _ = client.stream.write_all(&metadata).await;
        assert!(client.is_closed().await);
    }
    let mut client = served.client();
    let begin = tokio::time::Instant::now();
    let response = plain(&mut client, b"\0alice\0bob-secret").await;
    let message = "Authentication failed: Invalid username or password";
    assert_eq!(response.error_code, 58);
    assert_eq!(response.error_message.as_deref(), Some(message));
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_name_that_is_no_users_is_answered_as_one_with_a_wrong_password() {
    let served = served().await;
    for mechanism in [ScramSha256, ScramSha512] {
        let mut answers = Vec::new();
        for user in ["alice", "eve", "eve"] {
            let mut client = served.client();
            let scram = Scram::new(mechanism, user);
            assert_eq!(handshake(&mut client, mechanism.name()).await.error_code, 0);
            let first = token(&mut client, 1, &scram.first()).await;
            let (last, _) = scram.last(&first.auth_bytes, "guess");
            let salt = first.auth_bytes.split(|&byte| byte == b',').nth(1);
            let salt = salt.unwrap().to_vec();
            let refused = token(&mut client, 1, &last).await;
            answers.push((first.auth_bytes.len(), salt, refused));
        }
        let [alice, eve, again] = &answers[..] else {
            unreachable!()
        };
        assert_eq!((eve.0, &eve.2), (alice.0, &alice.2));
        // A salt that changed would show that it is made up.
        assert_eq!(eve.1, again.1);
    }
    let alice = plain(&mut served.client(), b"\0alice\0guess").await;
    let eve = plain(&mut served.client(), b"\0eve\0guess").await;
    assert_eq!(alice, eve);
}

#[tokio::test]
async fn plain_messages_that_are_none_are_refused_in_kafkas_words() {
    let served = served().await;
    for (message, expected) in [
        (
            &b"alice\0alice-secret"[..],
            "Invalid SASL/PLAIN response: expected 3 tokens, got 2",
        ),
        (
            b"\0\0alice-secret",
            "Authentication failed: username not specified",
        ),
        (
            b"\0alice\0",
            "Authentication failed: password not specified",
        ),
        (
            b"bob\0alice\0alice-secret",
            "Authentication failed: Client requested an authorization id that is different from \
             username",
        ),
    ] {
        let mut client = served.client();
        let response = plain(&mut client, message).await;
        assert_eq!(response.error_code, 58);
        assert_eq!(response.error_message.as_deref(), Some(expected));
        assert!(client.is_closed().await);
    }
    let response = plain(&mut served.client(), b"alice\0alice\0alice-secret").await;
    assert_eq!(response.error_code, 0);
}

#[tokio::test]
async fn a_message_of_an_earlier_exchange_is_refused() {
    let served = served().await;
    let scram = Scram::new(ScramSha256, "alice");
    let mut client = served.client();
    handshake(&mut client, "SCRAM-SHA-256").await;
    let first = token(&mut client, 1, &scram.first()).await;
    let (last, _) = scram.last(&first.auth_bytes, "alice-secret");
    assert_eq!(token(&mut client, 1, &last).await.error_code, 0);

    let mut client = served.client();
    handshake(&mut client, "SCRAM-SHA-256").await;
    token(&mut client, 1, &scram.first()).await;
    assert_eq!(token(&mut client, 1, &last).await.error_code, 58);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_mechanism_that_is_not_enabled_is_refused_with_the_names_of_those_that_are() {
    let security = Security::plaintext().sasl([ScramSha512, Plain, Plain]);
    let served = Served::with(builder().stream_security(security)).await;
    for mechanism in ["GSSAPI", "SCRAM-SHA-256", "plain", ""] {
        let mut client = served.client();
        let response = handshake(&mut client, mechanism).await;
        assert_eq!(response.error_code, 33, "{mechanism}");
        let names: Vec<&str> = response.mechanisms.iter().map(|name| &**name).collect();
        assert_eq!(names, ["SCRAM-SHA-512", "PLAIN"]);
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn before_authentication_every_other_request_closes_the_connection() {
    let served = served().await;
    let mut client = served.client();
    let advertised = client.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(handshake(&mut client, "PLAIN").await.error_code, 0);
    assert_eq!(token(&mut client, 1, ALICE).await.error_code, 0);
    let mut refused = 0;
    for api in advertised.api_keys {
        if [17, 18].contains(&api.api_key) {
            continue;
        }
        // The rest of the request does not matter.
        let mut client = served.client();
        let key = api.api_key.to_be_bytes();
        let version = api.max_version.to_be_bytes();
        let frame = [&key[..], &version, &[0, 0, 0, 1, 255, 255]].concat();
        client.send_frame(&frame).await;
        assert!(client.is_closed().await, "{}", api.api_key);
        refused += 1;
    }
    assert!(refused > 20);
    // Well-formed ones, before the handshake and after it.
    let mut client = served.client();
    client.send(9, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
    let mut client = served.client();
    handshake(&mut client, "PLAIN").await;
    client.send(9, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
    let mut client = served.client();
    client.send(1, &SaslAuthenticateRequest::default()).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_handshake_comes_once_and_the_versions_before_it() {
    let served = served().await;
    let mut client = served.client();
    let invalid = client.ask(3, &ApiVersionsRequest::default()).await;
    assert_eq!(invalid.error_code, 42);
    assert_eq!(
        client
            .ask(2, &ApiVersionsRequest::default())
            .await
            .error_code,
        0
    );
    client.send(2, &ApiVersionsRequest::default()).await;
    assert!(client.is_closed().await);

    let mut client = served.client();
    handshake(&mut client, "PLAIN").await;
    assert_eq!(handshake(&mut client, "PLAIN").await.error_code, 34);
    assert!(client.is_closed().await);

    let mut client = served.client();
    handshake(&mut client, "PLAIN").await;
    assert_eq!(
        client
            .ask(2, &ApiVersionsRequest::default())
            .await
            .error_code,
        34
    );
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn before_authentication_frames_are_small() {
    let served = served().await;
    let mut client = served.client();
    handshake(&mut client, "PLAIN").await;
    client.send_bytes(&524_289i32.to_be_bytes()).await;
    assert!(client.is_closed().await);

    let mut client = served.client();
    assert_eq!(plain(&mut client, ALICE).await.error_code, 0);
    client.send_bytes(&524_289i32.to_be_bytes()).await;
    client.send_bytes(&vec![0; 524_289]).await;
    // Produce, version 0: refused for that, not for its length.
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn messages_without_a_header_follow_a_handshake_of_version_0() {
    let served = served().await;
    for (message, is_served) in [(ALICE, true), (b"\0alice\0wrong", false)] {
        let mut client = served.client();
        let mechanism = StrBytes::from_static_str("PLAIN");
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
        assert_eq!(client.ask(0, &request).await.error_code, 0);
        client.send_frame(message).await;
        let answer = client.receive_frame("the server's message").await;
        assert_eq!(answer, is_served.then(Bytes::new));
        if is_served {
            assert_served(&mut client).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_ends_with_the_next_request() {
    let served = Served::with(builder().max_session(Some(SESSION)).max_idle(None)).await;
    for version in 0..=1 {
        let mut client = served.client();
        handshake(&mut client, "PLAIN").await;
        let response = token(&mut client, version, ALICE).await;
        let expected = if version == 0 { 0 } else { 3_600_000 };
        assert_eq!(response.session_lifetime_ms, expected);
        tokio::time::sleep(SESSION - Duration::from_millis(2)).await;
        assert_served(&mut client).await;
        tokio::time::sleep(Duration::from_millis(4)).await;
        client.send(9, &MetadataRequest::default()).await;
        assert!(client.is_closed().await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_when_its_user_authenticates_again() {
    let served = Served::with(builder().max_session(Some(SESSION)).max_idle(None)).await;
    let mut client = served.client();
    let scram = Scram::new(ScramSha256, "alice");
    assert_eq!(scram.run(&mut client, "alice-secret").await.error_code, 0);
    for wait in [SESSION / 2, SESSION - Duration::from_millis(2), SESSION * 3] {
        tokio::time::sleep(wait).await;
        let response = scram.run(&mut client, "alice-secret").await;
        assert_eq!(response.session_lifetime_ms, 3_600_000);
        assert_served(&mut client).await;
    }
    // Twice within a second: refused, and the connection stays.
    assert_eq!(handshake(&mut client, "SCRAM-SHA-256").await.error_code, 34);
    assert_served(&mut client).await;
}

#[tokio::test]
async fn a_session_stays_its_users_and_its_mechanisms() {
    let served = Served::with(builder().max_session(Some(SESSION)).max_idle(None)).await;
    let mut client = served.client();
    assert_eq!(plain(&mut client, ALICE).await.error_code, 0);
    let response = plain(&mut client, BOB).await;
    let message = "Cannot change principals during re-authentication from User.alice: User.bob";
    assert_eq!(response.error_code, 58);
    assert_eq!(response.error_message.as_deref(), Some(message));
    assert!(client.is_closed().await);

    let mut client = served.client();
    assert_eq!(plain(&mut client, ALICE).await.error_code, 0);
    assert_eq!(handshake(&mut client, "SCRAM-SHA-256").await.error_code, 0);
    assert!(client.is_closed().await);

    let mut client = served.client();
    assert_eq!(plain(&mut client, ALICE).await.error_code, 0);
    let response = plain(&mut client, b"\0alice\0wrong").await;
    assert_eq!(response.error_code, 58);
    assert!(client.is_closed().await);

    let mut client = served.client();
    assert_eq!(plain(&mut client, ALICE).await.error_code, 0);
    handshake(&mut client, "PLAIN").await;
    client.send(9, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn outside_their_time_handshake_and_authentication_are_refused_and_nothing_else_happens() {
    let plaintext = Served::new().await;
    let sasl = served().await;
    let mut authenticated = sasl.client();
    assert_eq!(plain(&mut authenticated, ALICE).await.error_code, 0);
    for mut client in [plaintext.client(), authenticated] {
        let response = handshake(&mut client, "PLAIN").await;
        assert_eq!((response.error_code, response.mechanisms.len()), (34, 0));
        assert_eq!(token(&mut client, 1, BOB).await.error_code, 34);
        assert_served(&mut client).await;
    }
}

#[tokio::test]
async fn listeners_ask_for_what_they_are_configured_to() {
    use ringlog_kafka::{BindError, UserError};
    let broker = ringlog::Broker::new();
    let none = Security::plaintext().sasl([]);
    let bound = builder().stream_security(none.clone()).bind(&broker).await;
    assert!(matches!(bound, Err(BindError::NoMechanism { address }) if address == "streams"));
    let listener = ringlog_kafka::Listener::new("127.0.0.1:0").security(none);
    let bound = builder().listener(listener).bind(&broker).await;
    assert!(matches!(bound, Err(BindError::NoMechanism { address }) if address == "127.0.0.1:0"));
    let bound = builder()
        .user("carol", "")
        .user("", "x")
        .bind(&broker)
        .await;
    let name = "carol".to_owned();
    let empty = UserError::EmptyPassword { name };
    assert!(matches!(bound, Err(BindError::User(error)) if error == empty));
}

#[tokio::test]
async fn no_log_and_no_debug_output_has_a_credential() {
    let log = crate::log::Log::default();
    let _guard = log.begin();
    let builder = builder();
    let mut shown = format!("{builder:?}");
    let served = Served::with(builder).await;
    shown += &format!("{:?}", served.server);
    let proof = {
        let mut client = served.client();
        let scram = Scram::new(ScramSha256, "alice");
        handshake(&mut client, "SCRAM-SHA-256").await;
        let first = token(&mut client, 1, &scram.first()).await;
        let (last, _) = scram.last(&first.auth_bytes, "alice-secret");
        assert_eq!(token(&mut client, 1, &last).await.error_code, 0);
        String::from_utf8(last)
            .unwrap()
            .rsplit_once(",p=")
            .unwrap()
            .1
            .to_owned()
    };
    for message in [
        ALICE,
        b"\0alice\0wrong-secret",
        b"alice-secret",
        b"\0\0alice-secret",
    ] {
        plain(&mut served.client(), message).await;
    }
    // A password in the place of a name.
    plain(&mut served.client(), b"\0alice-secret\0x").await;
    let mut client = served.client();
    handshake(&mut client, "alice-secret").await;
    drop(served);
    shown += &log.text();
    assert!(shown.contains("authentication failed"), "{shown}");
    for secret in ["secret", &proof, &BASE64.encode("alice-secret")] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
