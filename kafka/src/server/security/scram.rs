//! SCRAM: the client proves that it has the password, and the server that it knows the client's.
//!
//! ```text
//! client-first   n,,n=NAME,r=NONCE
//! server-first   r=NONCE + the server's,s=SALT,i=ITERATIONS
//! client-final   c=biws,r=both nonces,p=PROOF
//! server-final   v=SIGNATURE
//! ```
//!
//! RFC 5802 and RFC 7677 have the names: `SaltedPassword`, `ClientKey`, `StoredKey`, `ServerKey`,
//! `AuthMessage`. A name without credentials goes through the same steps with a decoy, so that neither
//! an answer nor its time shows which names there are.

use crate::server::store::{Reader, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The iterations of credentials that are made here, the least that RFC 7677 allows.
pub(crate) const ITERATIONS: u32 = 4096;
pub(crate) const SALT_BYTES: usize = 16;

/// The hash of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    pub(crate) fn bytes(self) -> usize {
        match self {
            ScramHash::Sha256 => 32,
            ScramHash::Sha512 => 64,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => Sha256::digest(bytes).to_vec(),
            ScramHash::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    pub(crate) fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => keyed::<Hmac<Sha256>>(key, message),
            ScramHash::Sha512 => keyed::<Hmac<Sha512>>(key, message),
        }
    }

    /// `SaltedPassword`: PBKDF2 of one block.
    fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            ScramHash::Sha256 => pbkdf2::<Hmac<Sha256>>(password, salt, iterations),
            ScramHash::Sha512 => pbkdf2::<Hmac<Sha512>>(password, salt, iterations),
        }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn with_key<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length")
}

fn keyed<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac: M = with_key(key);
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn pbkdf2<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let prepared: M = with_key(password);
    let mut mac = prepared.clone();
    mac.update(salt);
    mac.update(&1u32.to_be_bytes());
    let mut block = mac.finalize().into_bytes();
    let mut salted = block.to_vec();
    for _ in 1..iterations {
        let mut mac = prepared.clone();
        mac.update(&block);
        block = mac.finalize().into_bytes();
        for (sum, byte) in salted.iter_mut().zip(&block) {
            *sum ^= byte;
        }
    }
    salted
}

/// What the server keeps of a password.
#[derive(Clone)]
pub(crate) struct ScramCredential {
    pub(crate) hash: ScramHash,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
    /// A decoy: no password matches.
    is_decoy: bool,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl ScramCredential {
    pub(crate) fn new(hash: ScramHash, password: &[u8], salt: Vec<u8>) -> ScramCredential {
        let salted = hash.salted_password(password, &salt, ITERATIONS);
        ScramCredential::from_salted(hash, &salted, salt, ITERATIONS)
    }

    /// The credential of a password that was salted elsewhere.
    pub(crate) fn from_salted(
        hash: ScramHash,
        salted_password: &[u8],
        salt: Vec<u8>,
        iterations: u32,
    ) -> ScramCredential {
        let client_key = hash.hmac(salted_password, b"Client Key");
        ScramCredential {
            hash,
            salt,
            iterations,
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(salted_password, b"Server Key"),
            is_decoy: false,
        }
    }

    pub(crate) fn write(&self, writer: Writer) -> Writer {
        let hash = match self.hash {
            ScramHash::Sha256 => 1,
            ScramHash::Sha512 => 2,
        };
        let writer = writer
            .u8(hash)
            .i32(self.iterations as i32)
            .bytes(&self.salt);
        writer.bytes(&self.stored_key).bytes(&self.server_key)
    }

    /// What [`write`](Self::write) has written.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<ScramCredential> {
        let hash = match reader.u8()? {
            1 => ScramHash::Sha256,
            2 => ScramHash::Sha512,
            _ => return None,
        };
        Some(ScramCredential {
            hash,
            iterations: reader.i32()?.try_into().ok()?,
            salt: reader.bytes()?.to_vec(),
            stored_key: reader.bytes()?.to_vec(),
            server_key: reader.bytes()?.to_vec(),
            is_decoy: false,
        })
    }

    /// A credential that nothing matches, for a name that has none. The name decides its salt, as it
    /// would if it had one.
    pub(crate) fn decoy(hash: ScramHash, secret: &[u8], name: &str) -> ScramCredential {
        let mut salt = hash.hmac(secret, name.as_bytes());
        salt.truncate(SALT_BYTES);
        ScramCredential {
            hash,
            salt,
            iterations: ITERATIONS,
            stored_key: vec![0; hash.bytes()],
            server_key: vec![0; hash.bytes()],
            is_decoy: true,
        }
    }

    /// Whether this is the password. It takes as long as salting it.
    pub(crate) fn is_password(&self, password: &[u8]) -> bool {
        let salted = self
            .hash
            .salted_password(password, &self.salt, self.iterations);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        self.is_client_key(&client_key)
    }

    fn is_client_key(&self, client_key: &[u8]) -> bool {
        let stored_key = self.hash.digest(client_key);
        let is_equal = bool::from(stored_key.ct_eq(&self.stored_key));
        is_equal & !self.is_decoy
    }
}

/// Why an exchange is refused. It has nothing of what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScramFault {
    #[error("the client's first message is malformed")]
    First,
    #[error("delegation tokens are not served")]
    DelegationToken,
    #[error("the client's last message is malformed")]
    Last,
    #[error("the client's last message has another nonce")]
    Nonce,
    #[error("the client binds to another channel")]
    ChannelBinding,
    #[error("the client's proof is wrong")]
    Proof,
}

/// The client's first message.
#[derive(Debug)]
pub(crate) struct ClientFirst {
    /// The header, as channel bindings repeat it.
    gs2_header: String,
    /// The user that it wants to act as, if it says so.
    pub(crate) authorization: Option<String>,
    pub(crate) name: String,
    nonce: String,
    bare: String,
}

impl ClientFirst {
    pub(crate) fn parse(message: &[u8]) -> Result<ClientFirst, ScramFault> {
        let fault = ScramFault::First;
        let message = core::str::from_utf8(message).map_err(|_| fault)?;
        let (flag, rest) = message.split_once(',').ok_or(fault)?;
        // `y`: the client could bind to the channel, and takes the server for one that cannot.
        if !["n", "y"].contains(&flag) {
            return Err(fault);
        }
        let (authorization, bare) = rest.split_once(',').ok_or(fault)?;
        let gs2_header = message[..message.len() - bare.len()].to_owned();
        let authorization = match authorization.strip_prefix("a=") {
            None if authorization.is_empty() => None,
            None => return Err(fault),
            Some(name) => Some(unescaped(name).ok_or(fault)?),
        };
        let (name, rest) = bare.split_once(',').ok_or(fault)?;
        let name = name.strip_prefix("n=").and_then(unescaped).ok_or(fault)?;
        let mut parts = rest.split(',');
        let nonce = parts.next().and_then(|part| part.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| !nonce.is_empty() && nonce.bytes().all(is_printable));
        let nonce = nonce.ok_or(fault)?.to_owned();
        if parts.any(|extension| extension == "tokenauth=true") {
            return Err(ScramFault::DelegationToken);
        }
        Ok(ClientFirst {
            gs2_header,
            authorization,
            name,
            nonce,
            bare: bare.to_owned(),
        })
    }
}

fn is_printable(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && byte != b','
}

/// A name as it was before `=` and `,` were replaced.
fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (c, rest) = part.split_at_checked(2)?;
        plain.push(match c {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        plain.push_str(rest);
    }
    (!plain.is_empty()).then_some(plain)
}

/// An exchange that waits for the client's last message.
#[derive(Debug)]
pub(crate) struct ScramExchange {
    client: ClientFirst,
    credential: ScramCredential,
    nonce: String,
    server_first: String,
}

impl ScramExchange {
    /// Begins, with a nonce of the server that was never used before.
    pub(crate) fn new(
        client: ClientFirst,
        credential: ScramCredential,
        server_nonce: &[u8],
    ) -> ScramExchange {
        let nonce = format!("{}{}", client.nonce, BASE64.encode(server_nonce));
        let salt = BASE64.encode(&credential.salt);
        let server_first = format!("r={nonce},s={salt},i={}", credential.iterations);
        ScramExchange {
            client,
            credential,
            nonce,
            server_first,
        }
    }

    /// The server's first message.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Takes the client's last message. Returns its name, and the server's last message.
    pub(crate) fn finish(self, message: &[u8]) -> Result<(String, String), ScramFault> {
        let fault = ScramFault::Last;
        let message = core::str::from_utf8(message).map_err(|_| fault)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(fault)?;
        let mut parts = without_proof.split(',');
        let mut part = |prefix| parts.next().and_then(|part| part.strip_prefix(prefix));
        let channel = part("c=").ok_or(fault)?;
        let nonce = part("r=").ok_or(fault)?;
        if nonce != self.nonce {
            return Err(ScramFault::Nonce);
        }
        if channel != BASE64.encode(&self.client.gs2_header) {
            return Err(ScramFault::ChannelBinding);
        }
        let mut client_key = BASE64.decode(proof).map_err(|_| fault)?;
        let credential = &self.credential;
        if client_key.len() != credential.hash.bytes() {
            return Err(ScramFault::Proof);
        }
        let auth_message = format!("{},{},{without_proof}", self.client.bare, self.server_first);
        let auth_message = auth_message.as_bytes();
        let signature = credential.hash.hmac(&credential.stored_key, auth_message);
        for (byte, mask) in client_key.iter_mut().zip(&signature) {
            *byte ^= mask;
        }
        if !credential.is_client_key(&client_key) {
            return Err(ScramFault::Proof);
        }
        let signature = credential.hash.hmac(&credential.server_key, auth_message);
        let server_last = format!("v={}", BASE64.encode(signature));
        Ok((self.client.name, server_last))
    }
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
