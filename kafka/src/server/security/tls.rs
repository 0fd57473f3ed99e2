//! TLS, by rustls.

use core::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Why a certificate or a key cannot be used. It has nothing of the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// There is no certificate, or what there is is not PEM.
    #[error("no certificate chain in the PEM: {reason}")]
    Chain {
        /// What is wrong.
        reason: String,
    },
    /// There is no private key, or what there is is not PEM.
    #[error("no private key in the PEM: {reason}")]
    Key {
        /// What is wrong.
        reason: String,
    },
    /// There is no root certificate for the clients' certificates, or what there is is not one.
    #[error("no root certificate for clients in the PEM: {reason}")]
    ClientRoots {
        /// What is wrong.
        reason: String,
    },
    /// The certificate and the key do not fit.
    #[error("the certificate chain and the key cannot be used: {reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
}

/// Which certificates are asked of clients (Kafka's `ssl.client.auth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// A client may have one; it must be valid then.
    Optional,
    /// A client must have a valid one.
    Required,
}

/// A server's certificate and key. TLS 1.2 and 1.3 are spoken.
#[derive(Clone)]
#[must_use]
pub struct Tls {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.display().to_string(),
        source,
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("it has no certificate".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

impl Tls {
    /// A certificate chain, the server's own certificate first, and its private key (PKCS #1, PKCS #8
    /// or SEC 1), as PEM.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
        let chain = certificates(chain).map_err(|reason| TlsError::Chain { reason })?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key {
            reason: error.to_string(),
        })?;
        let acceptor = acceptor(&chain, &key, None)?;
        let key = Arc::new(key);
        Ok(Tls {
            chain,
            key,
            acceptor,
        })
    }

    /// The same, from two files. One file may have both.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Tls, TlsError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let named = |path: &Path, reason| format!("{}: {reason}", path.display());
        Tls::from_pem(&read(chain)?, &read(key)?).map_err(|error| match error {
            TlsError::Chain { reason } => TlsError::Chain {
                reason: named(chain, reason),
            },
            TlsError::Key { reason } => TlsError::Key {
                reason: named(key, reason),
            },
            other => other,
        })
    }

    /// Asks clients for a certificate that one of these has signed, as PEM.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn client_certificates(
        self,
        roots: &[u8],
        asked: ClientCertificates,
    ) -> Result<Tls, TlsError> {
        let failed = |reason| TlsError::ClientRoots { reason };
        let mut store = RootCertStore::empty();
        for root in certificates(roots).map_err(failed)? {
            store.add(root).map_err(|error| failed(error.to_string()))?;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
        let verifier = match asked {
            ClientCertificates::Optional => verifier.allow_unauthenticated(),
            ClientCertificates::Required => verifier,
        };
        let verifier = verifier.build();
        let verifier = verifier.map_err(|error| failed(error.to_string()))?;
        let acceptor = acceptor(&self.chain, &self.key, Some(verifier))?;
        Ok(Tls { acceptor, ..self })
    }

    /// The same, with the certificates in a file.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn client_certificates_file(
        self,
        roots: impl AsRef<Path>,
        asked: ClientCertificates,
    ) -> Result<Tls, TlsError> {
        let roots = read(roots.as_ref())?;
        self.client_certificates(&roots, asked)
    }

    /// The handshake.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }
}

fn acceptor(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    verifier: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
) -> Result<TlsAcceptor, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable {
        reason: error.to_string(),
    };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let config = match verifier {
        None => config.with_no_client_auth(),
        Some(verifier) => config.with_client_cert_verifier(verifier),
    };
    let config = config.with_single_cert(chain.to_vec(), key.clone_key());
    Ok(TlsAcceptor::from(Arc::new(config.map_err(unusable)?)))
}
