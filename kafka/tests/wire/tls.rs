//! TLS, with and without certificates of clients.

use crate::client::{Client, Served, within};
use crate::scram::{ALICE, assert_served, builder, plain};
use kafka_protocol::messages::ApiVersionsRequest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ringlog_kafka::{ClientCertificates, Security, Server, Tls, TlsError};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// An authority, which signs certificates.
fn authority() -> Issuer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key.
struct Certified {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

fn certified(issuer: &Issuer, name: &str) -> Certified {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Certified {
        pem: certificate.pem(),
        der: certificate.der().clone(),
        key,
    }
}

fn tls(authority: &Issuer) -> Tls {
    let server = certified(authority, "localhost");
    let key = server.key.serialize_pem();
    Tls::from_pem(server.pem.as_bytes(), key.as_bytes()).unwrap()
}

async fn served(tls: Tls) -> Served {
    let security = Security::plaintext().tls(tls);
    Served::with(Server::builder().stream_security(security)).await
}

/// A client that takes this authority's certificates.
fn connect(
    served: &Served,
    authority: &Issuer,
    own: Option<&Certified>,
    version: &'static SupportedProtocolVersion,
) -> Client {
    connect_until(served, authority, own, version).0
}

/// The same, with how its stream ends.
fn connect_until(
    served: &Served,
    authority: &Issuer,
    own: Option<&Certified>,
    version: &'static SupportedProtocolVersion,
) -> (Client, JoinHandle<std::io::Result<()>>) {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::try_from(own.key.serialize_der()).unwrap();
            config
                .with_client_auth_cert(vec![own.der.clone()], key)
                .unwrap()
        }
    };
    let raw = served.client().stream;
    let (stream, mut other) = tokio::io::duplex(64 * 1024);
    let copying = tokio::spawn(async move {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut encrypted = connector.connect(name, raw).await?;
        let copied = tokio::io::copy_bidirectional(&mut other, &mut encrypted).await;
        copied.map(|_| ())
    });
    (Client::over(stream), copying)
}

/// Whether the server answers.
async fn is_served(client: &mut Client) -> bool {
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];
    let _ = client.stream.write_all(&request).await;
    client.receive_frame("the answer").await.is_some()
}

#[tokio::test]
async fn requests_are_served_over_tls_of_both_versions() {
    let authority = authority();
    let served = served(tls(&authority)).await;
    for version in [&TLS12, &TLS13] {
        let mut client = connect(&served, &authority, None, version);
        assert_served(&mut client).await;
        assert_served(&mut client).await;
    }
    // A client that does not trust the server goes no further than the handshake.
    let mut client = connect(&served, &self::authority(), None, &TLS13);
    assert!(!is_served(&mut client).await);
}

#[tokio::test]
async fn users_authenticate_themselves_within_tls() {
    let authority = authority();
    let security = Security::plaintext();
    let security = security
        .sasl(ringlog_kafka::SaslMechanism::ALL)
        .tls(tls(&authority));
    assert_eq!(security.protocol(), "SASL_SSL");
    let served = Served::with(builder().stream_security(security)).await;
    let mut client = connect(&served, &authority, None, &TLS13);
    assert_eq!(plain(&mut client, ALICE).await.error_code, 0);
    assert_served(&mut client).await;
    let mut client = connect(&served, &authority, None, &TLS13);
    assert_eq!(plain(&mut client, b"\0alice\0wrong").await.error_code, 58);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_without_tls_is_not_answered() {
    let authority = authority();
    let served = served(tls(&authority)).await;
    let mut plaintext = served.client();
    plaintext.send(0, &ApiVersionsRequest::default()).await;
    let mut answer = Vec::new();
    within("the close", plaintext.stream.read_to_end(&mut answer))
        .await
        .unwrap();
    // At most an alert of TLS.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    assert_served(&mut connect(&served, &authority, None, &TLS13)).await;
}

#[tokio::test]
async fn clients_without_a_valid_certificate_are_refused_where_one_is_required() {
    let authority = authority();
    let others = self::authority();
    let client = certified(&authority, "client");
    let forged = certified(&others, "client");
    for (asked, without) in [
        (ClientCertificates::Required, false),
        (ClientCertificates::Optional, true),
    ] {
        let tls = tls(&authority);
        let roots = authority.pem();
        let tls = tls.client_certificates(roots.as_bytes(), asked).unwrap();
        let served = served(tls).await;
        for version in [&TLS12, &TLS13] {
            for (own, expected) in [
                (Some(&client), true),
                (Some(&forged), false),
                (None, without),
            ] {
                let mut client = connect(&served, &authority, own, version);
                assert_eq!(is_served(&mut client).await, expected, "{asked:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_is_said_within_tls() {
    let authority = authority();
    let served = served(tls(&authority)).await;
    let (mut client, copying) = connect_until(&served, &authority, None, &TLS13);
    assert_served(&mut client).await;
    within("the shutdown", served.server.shutdown()).await;
    assert!(client.is_closed().await);
    let _ = client.stream.shutdown().await;
    // Without the alert `close_notify`, the end may be anyone's.
    let end = within("the end", copying).await.unwrap();
    let kind = end.err().map(|error| error.kind());
    assert_ne!(kind, Some(std::io::ErrorKind::UnexpectedEof));
}

#[test]
fn what_is_wrong_with_a_certificate_or_a_key_is_said() {
    let authority = authority();
    let one = certified(&authority, "localhost");
    let other = certified(&authority, "localhost");
    let pem = one.pem.as_bytes();
    let key = one.key.serialize_pem();
    let key = key.as_bytes();
    let other = other.key.serialize_pem();
    assert!(matches!(
        Tls::from_pem(b"", key),
        Err(TlsError::Chain { .. })
    ));
    assert!(matches!(
        Tls::from_pem(key, key),
        Err(TlsError::Chain { .. })
    ));
    assert!(matches!(Tls::from_pem(pem, pem), Err(TlsError::Key { .. })));
    let unfit = Tls::from_pem(pem, other.as_bytes());
    assert!(matches!(unfit, Err(TlsError::Unusable { .. })));
    let tls = Tls::from_pem(pem, key).unwrap();
    let roots = tls.client_certificates(b"none", ClientCertificates::Required);
    assert!(matches!(roots, Err(TlsError::ClientRoots { .. })));
    let missing = Tls::from_pem_files("/no/such/chain.pem", "/no/such/key.pem");
    let message = missing.unwrap_err().to_string();
    assert!(
        message.starts_with("cannot read /no/such/chain.pem: "),
        "{message}"
    );
    // One file with both will do.
    let both = [pem, key].concat();
    let shown = format!("{:?}", Tls::from_pem(&both, &both).unwrap());
    assert_eq!(shown, "Tls { certificates: 1, .. }");
}
