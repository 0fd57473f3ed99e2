//! The users that administrators have changed: their credentials, or that they are removed.

use super::{Reader, Store, StoreError, Writer};
use crate::server::security::scram::ScramCredential;
use tracing::warn;

fn key(name: &str) -> Vec<u8> {
    Writer::new(b'u').rest(name.as_bytes()).into_bytes()
}

impl Store {
    /// Stores what a user has now: no credentials, if it was removed.
    pub(crate) fn put_user<'a>(
        &self,
        name: &str,
        credentials: impl Iterator<Item = &'a ScramCredential>,
    ) -> Result<(), StoreError> {
        let credentials: Vec<_> = credentials.collect();
        let value = Writer::new(1).list(credentials.iter(), |writer, one| one.write(writer));
        self.put(key(name), value.into_bytes())
    }

    /// All users that were changed.
    pub(crate) fn users(&self) -> Vec<(String, Vec<ScramCredential>)> {
        let stored = self.with_prefix(b"u").into_iter();
        let read = stored.filter_map(|(key, value)| {
            let name = String::from_utf8(Reader::new(&key, b'u')?.rest().to_vec()).ok()?;
            let read = || Reader::new(&value, 1)?.list(ScramCredential::read);
            match read() {
                Some(credentials) => Some((name, credentials)),
                None => {
                    warn!(name, "the user's stored credentials cannot be read");
                    None
                }
            }
        });
        read.collect()
    }
}
