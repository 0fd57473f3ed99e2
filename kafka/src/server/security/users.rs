//! The users, and what is kept of their passwords.

use super::SaslMechanism;
use super::scram::{SALT_BYTES, ScramCredential, ScramHash};
use crate::server::store::{Store, StoreError};
use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Why a user cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// A user has a name.
    #[error("a user's name is empty")]
    EmptyName,
    /// A user has a password.
    #[error("the password of the user {name:?} is empty")]
    EmptyPassword {
        /// The user.
        name: String,
    },
    /// PLAIN separates the name from the password by a NUL.
    #[error("the name or the password of the user {name:?} has a NUL in it")]
    Nul {
        /// The user.
        name: String,
    },
    /// The system has no random bytes for a salt.
    #[error("no random bytes for a salt: {reason}")]
    Random {
        /// The system's error.
        reason: String,
    },
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], UserError> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(UserError::Random {
            reason: error.to_string(),
        }),
    }
}

/// A user's credentials: one of each hash, or fewer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    sha256: Option<ScramCredential>,
    sha512: Option<ScramCredential>,
}

impl Credentials {
    fn of(password: &[u8]) -> Result<Credentials, UserError> {
        let credential = |hash| {
            let salt = random::<SALT_BYTES>()?.to_vec();
            Ok(Some(ScramCredential::new(hash, password, salt)))
        };
        Ok(Credentials {
            sha256: credential(ScramHash::Sha256)?,
            sha512: credential(ScramHash::Sha512)?,
        })
    }

    fn get(&self, hash: ScramHash) -> Option<&ScramCredential> {
        match hash {
            ScramHash::Sha256 => self.sha256.as_ref(),
            ScramHash::Sha512 => self.sha512.as_ref(),
        }
    }

    fn slot(&mut self, hash: ScramHash) -> &mut Option<ScramCredential> {
        match hash {
            ScramHash::Sha256 => &mut self.sha256,
            ScramHash::Sha512 => &mut self.sha512,
        }
    }

    /// The credentials there are.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ScramCredential> {
        self.sha256.iter().chain(&self.sha512)
    }
}

/// Users by their names. `Debug` shows the names alone.
#[derive(Clone, Default)]
pub(crate) struct UserList(BTreeMap<String, Credentials>);

impl UserList {
    pub(crate) fn add(&mut self, name: String, password: &str) -> Result<(), UserError> {
        if name.is_empty() {
            return Err(UserError::EmptyName);
        }
        if password.is_empty() {
            return Err(UserError::EmptyPassword { name });
        }
        if name.contains('\0') || password.contains('\0') {
            return Err(UserError::Nul { name });
        }
        self.0.insert(name, Credentials::of(password.as_bytes())?);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for UserList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The users of a server. Administrators change them while it runs.
#[derive(Debug)]
pub(crate) struct Users {
    list: RwLock<UserList>,
    /// Keeps what administrators change.
    store: Option<Arc<Store>>,
    /// Decides the salts of names that are no user's, for as long as the server runs.
    secret: Secret,
}

struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl Users {
    /// The users that are configured. What administrators have changed counts more.
    pub(crate) fn new(mut list: UserList, store: Option<Arc<Store>>) -> Result<Users, UserError> {
        for (name, credentials) in store.iter().flat_map(|store| store.users()) {
            let mut changed = Credentials::default();
            for credential in credentials {
                let hash = credential.hash;
                *changed.slot(hash) = Some(credential);
            }
            let has_any = changed.all().next().is_some();
            match has_any {
                true => list.0.insert(name, changed),
                false => list.0.remove(&name),
            };
        }
        Ok(Users {
            list: RwLock::new(list),
            store,
            secret: Secret(random()?),
        })
    }

    fn read<T>(&self, read: impl FnOnce(&BTreeMap<String, Credentials>) -> T) -> T {
        let list = self.list.read();
        read(&list.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The credential of this user for this mechanism, or a decoy.
    pub(crate) fn credential(&self, mechanism: SaslMechanism, name: &str) -> ScramCredential {
        let (hash, other) = match mechanism {
            SaslMechanism::ScramSha256 => (ScramHash::Sha256, None),
            SaslMechanism::ScramSha512 => (ScramHash::Sha512, None),
            SaslMechanism::Plain => (ScramHash::Sha256, Some(ScramHash::Sha512)),
        };
        let found = self.read(|list| {
            let credentials = list.get(name)?;
            let second = || credentials.get(other?);
            credentials.get(hash).or_else(second).cloned()
        });
        found.unwrap_or_else(|| ScramCredential::decoy(hash, &self.secret.0, name))
    }

    /// All users with their credentials, in the order of their names.
    pub(crate) fn all(&self) -> Vec<(String, Credentials)> {
        self.read(|list| list.clone().into_iter().collect())
    }

    /// This user's credentials.
    pub(crate) fn of(&self, name: &str) -> Option<Credentials> {
        self.read(|list| list.get(name).cloned())
    }

    /// Takes credentials away from a user, and gives it others in place of the ones of their hashes. A
    /// client that authenticates itself meanwhile sees all of that, or nothing. `false` if one that is
    /// to be removed is not there. Then nothing has changed, and neither has it after an error.
    pub(crate) fn change(
        &self,
        name: &str,
        removed: &[ScramHash],
        set: Vec<ScramCredential>,
    ) -> Result<bool, StoreError> {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = list.0.get(name).cloned().unwrap_or_default();
        for hash in removed {
            if changed.slot(*hash).take().is_none() {
                return Ok(false);
            }
        }
        for credential in set {
            let hash = credential.hash;
            *changed.slot(hash) = Some(credential);
        }
        if let Some(store) = &self.store {
            store.put_user(name, changed.all())?;
        }
        let has_any = changed.all().next().is_some();
        match has_any {
            true => list.0.insert(name.to_owned(), changed),
            false => list.0.remove(name),
        };
        Ok(true)
    }
}
