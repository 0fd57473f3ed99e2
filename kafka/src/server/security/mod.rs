//! Which clients may connect, and how: the mechanisms of SASL, the users, TLS.
//!
//! | file | |
//! |---|---|
//! | `scram.rs` | SCRAM (RFC 5802, RFC 7677): credentials, the exchange |
//! | `plain.rs` | PLAIN (RFC 4616), on the same credentials |
//! | `users.rs` | the users and their credentials |
//! | `tls.rs` | TLS (the feature `tls`) |
//! | `session.rs` | what a connection may do: the handshake, the exchange, the session's end |
//!
//! A password is salted and hashed where it enters. No type in here shows one in its `Debug`, and no
//! error has a byte that a client sent as one.

mod plain;
pub(super) mod scram;
pub(super) mod session;
#[cfg(feature = "tls")]
mod tls;
pub(super) mod users;

#[cfg(feature = "tls")]
pub use tls::{ClientCertificates, Tls, TlsError};
pub use users::UserError;

use core::fmt;
use core::str::FromStr;

/// A way for clients to authenticate themselves (Kafka's `sasl.mechanism`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// `PLAIN`: the client sends its password. Without TLS, everything between can read it.
    Plain,
    /// `SCRAM-SHA-256`: the client proves that it has the password.
    ScramSha256,
    /// `SCRAM-SHA-512`: the same, with a longer hash.
    ScramSha512,
}

impl SaslMechanism {
    /// All of them.
    pub const ALL: [SaslMechanism; 3] = [
        SaslMechanism::Plain,
        SaslMechanism::ScramSha256,
        SaslMechanism::ScramSha512,
    ];

    /// The name that clients configure.
    pub fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no mechanism's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is none of the SASL mechanisms PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512")]
pub struct UnknownMechanism {
    /// The name.
    pub name: String,
}

impl FromStr for SaslMechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<SaslMechanism, UnknownMechanism> {
        let mut all = SaslMechanism::ALL.into_iter();
        let found = all.find(|mechanism| mechanism.name() == name);
        found.ok_or_else(|| UnknownMechanism {
            name: name.to_owned(),
        })
    }
}

/// What a listener asks of its clients (Kafka's `security.protocol`). Default: nothing.
///
/// ```
/// use ringlog_kafka::{SaslMechanism, Security};
///
/// let security = Security::plaintext().sasl([SaslMechanism::ScramSha256]);
/// assert_eq!(security.protocol(), "SASL_PLAINTEXT");
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Security {
    pub(super) sasl: Option<Vec<SaslMechanism>>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

impl Security {
    /// Everything that can connect can do everything (`PLAINTEXT`).
    pub fn plaintext() -> Security {
        Security::default()
    }

    /// Clients authenticate themselves by one of these mechanisms, as one of the server's
    /// [users](crate::ServerBuilder::user).
    pub fn sasl(mut self, mechanisms: impl IntoIterator<Item = SaslMechanism>) -> Security {
        let mut offered = Vec::new();
        for mechanism in mechanisms {
            if !offered.contains(&mechanism) {
                offered.push(mechanism);
            }
        }
        self.sasl = Some(offered);
        self
    }

    /// Clients speak TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Security {
        self.tls = Some(tls);
        self
    }

    fn has_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }

    /// Kafka's name for this: what clients configure as `security.protocol`.
    pub fn protocol(&self) -> &'static str {
        match (self.sasl.is_some(), self.has_tls()) {
            (false, false) => "PLAINTEXT",
            (false, true) => "SSL",
            (true, false) => "SASL_PLAINTEXT",
            (true, true) => "SASL_SSL",
        }
    }
}
