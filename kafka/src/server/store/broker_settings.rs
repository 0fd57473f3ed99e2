//! The broker's configuration, as clients have altered it: a value for each resource that they name,
//! which is the node id of a broker, or empty for the default of all brokers.

use super::{Reader, Store, StoreError, Writer};
use crate::server::broker_settings::AlteredSettings;
use crate::server::topic_settings::Operation;
use tracing::warn;

fn key(resource: &str) -> Vec<u8> {
    Writer::new(b'b').rest(resource.as_bytes()).into_bytes()
}

impl Store {
    /// What was configured for this resource. A configuration that this version does not know, or
    /// would refuse, is left out.
    pub(crate) fn broker_settings(&self, resource: &str) -> AlteredSettings {
        let mut settings = AlteredSettings::default();
        let Some(stored) = self.get(&key(resource)) else {
            return settings;
        };
        let read = || Reader::new(&stored, 1)?.list(|r| Some((r.text()?, r.text()?)));
        let Some(given) = read() else {
            warn!(
                resource,
                "the stored configurations of a broker cannot be read"
            );
            return settings;
        };
        for (name, value) in &given {
            let one = [(name.as_str(), Operation::Set(value))];
            match settings.with(one.into_iter()) {
                Ok(with) => settings = with,
                Err(reason) => warn!(%reason, "a stored configuration is left out"),
            }
        }
        settings
    }

    pub(crate) fn put_broker_settings(
        &self,
        resource: &str,
        settings: &AlteredSettings,
    ) -> Result<(), StoreError> {
        let value = Writer::new(1).list(settings.all_given(), |writer, (name, value)| {
            writer.text(name).text(value)
        });
        self.put(key(resource), value.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_configuration_that_is_not_known_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let given = [
            ("log.retention.ms", "7"),
            ("no.such", "1"),
            ("log.roll.ms", "x"),
            ("message.max.bytes", "8"),
        ];
        let value = Writer::new(1).list(given.into_iter(), |w, (n, v)| w.text(n).text(v));
        store.put(key("0"), value.into_bytes()).unwrap();
        let known = AlteredSettings::new([given[0], given[3]].into_iter()).unwrap();
        assert_eq!(store.broker_settings("0"), known);
        store.put_broker_settings("", &known).unwrap();
        store.put(key("0"), vec![1, 0]).unwrap();
        assert_eq!(store.broker_settings("0"), AlteredSettings::default());
        store.close().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.broker_settings(""), known);
    }
}
