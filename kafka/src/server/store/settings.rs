//! Topics' settings, as clients have configured them.
//!
//! A topic is created in the broker's storage first, and its settings are stored by its id then. They
//! are stored by its name before: after a crash in between, the topic has them all the same. By its
//! name they are there only while it is created, so that no later topic of that name has them
//! ([`Store::complete_topics`]).

use super::{Change, Reader, Store, StoreError, Writer};
use crate::server::topic_settings::{RETENTION_BYTES, RETENTION_MS, TopicSettings};
use tracing::warn;
use uuid::Uuid;

/// What is kept of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeptSettings {
    pub(crate) settings: TopicSettings,
    /// Clients have set, or taken away, the limit by time, of this topic or as the broker's default:
    /// it is the settings'. Otherwise it is what a program has configured, which ringlog keeps.
    pub(crate) sets_retention: bool,
    /// The same of the limit by bytes.
    pub(crate) sets_retention_bytes: bool,
}

fn by_id(id: Uuid) -> Vec<u8> {
    Writer::new(b't').uuid(id).into_bytes()
}

fn by_name(name: &str) -> Vec<u8> {
    Writer::new(b'n').rest(name.as_bytes()).into_bytes()
}

impl KeptSettings {
    pub(crate) fn of_new_topic(settings: TopicSettings) -> KeptSettings {
        KeptSettings::default().with(settings)
    }

    /// These with other settings. The limits that either has are the clients' from now on.
    pub(crate) fn with(&self, settings: TopicSettings) -> KeptSettings {
        let with_limits = self.clone().with_limits_of(&settings);
        KeptSettings {
            settings,
            ..with_limits
        }
    }

    /// These, where the limits that are configured in `effective` are the clients'.
    pub(crate) fn with_limits_of(mut self, effective: &TopicSettings) -> KeptSettings {
        self.sets_retention |= effective.given(RETENTION_MS).is_some();
        self.sets_retention_bytes |= effective.given(RETENTION_BYTES).is_some();
        self
    }

    fn to_bytes(&self) -> Vec<u8> {
        let given = self.settings.all_given();
        Writer::new(1)
            .u8(self.sets_retention.into())
            .u8(self.sets_retention_bytes.into())
            .list(given, |writer, (name, value)| writer.text(name).text(value))
            .into_bytes()
    }

    /// A configuration that this version does not know, or would refuse, is left out.
    fn from_bytes(bytes: &[u8]) -> Option<KeptSettings> {
        let mut reader = Reader::new(bytes, 1)?;
        let (sets_retention, sets_retention_bytes) = (reader.u8()? != 0, reader.u8()? != 0);
        let given = reader.list(|reader| Some((reader.text()?, reader.text()?)))?;
        let mut settings = TopicSettings::default();
        for (name, value) in &given {
            let one = [(name.as_str(), Some(value.as_str()))];
            let all = settings.all_given().map(|(n, v)| (n, Some(v)));
            match TopicSettings::new(all.chain(one)) {
                Ok(with) => settings = with,
                Err(reason) => warn!(%reason, "a stored configuration is left out"),
            }
        }
        Some(KeptSettings {
            settings,
            sets_retention,
            sets_retention_bytes,
        })
    }
}

impl Store {
    /// The settings of this topic. If its creation was not completed, they are the ones that were
    /// stored before it.
    pub(crate) fn topic_settings(&self, id: Uuid, name: &str) -> KeptSettings {
        let stored = self.get(&by_id(id));
        let stored = stored.or_else(|| self.get(&by_name(name)));
        let kept = stored.map(|bytes| KeptSettings::from_bytes(&bytes));
        match kept {
            None => KeptSettings::default(),
            Some(Some(kept)) => kept,
            Some(None) => {
                warn!(name, "the topic's stored configurations cannot be read");
                KeptSettings::default()
            }
        }
    }

    /// Stores, durably, what a topic is to have that is about to be created. It blocks.
    pub(crate) fn begin_topic(&self, name: &str, kept: &KeptSettings) -> Result<(), StoreError> {
        self.put(by_name(name), kept.to_bytes())?;
        self.make_durable().or_else(|error| {
            self.end_topic(name, None)?;
            Err(error)
        })
    }

    /// Ends the creations that the last server did not: what is stored by a name is the topic's that
    /// has the name, or no topic's if there is none. `id_of` is the id of the topic of a name.
    pub(crate) fn complete_topics(
        &self,
        id_of: impl Fn(&str) -> Option<Uuid>,
    ) -> Result<(), StoreError> {
        let mut changes: Vec<Change> = Vec::new();
        for (key, value) in self.with_prefix(b"n") {
            let name = Reader::new(&key, b'n').map(|reader| reader.rest());
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let id = name.and_then(&id_of).map(by_id);
            let id = id.filter(|id| self.get(id).is_none());
            changes.extend(id.map(|id| (id, Some(value))));
            changes.push((key, None));
        }
        self.apply(changes)
    }

    /// The topic was created, with this id, or not.
    pub(crate) fn end_topic(
        &self,
        name: &str,
        created: Option<(Uuid, &KeptSettings)>,
    ) -> Result<(), StoreError> {
        let named: Change = (by_name(name), None);
        let created = created.map(|(id, kept)| (by_id(id), Some(kept.to_bytes())));
        self.apply(created.into_iter().chain([named]).collect())
    }

    pub(crate) fn put_topic_settings(
        &self,
        id: Uuid,
        kept: &KeptSettings,
    ) -> Result<(), StoreError> {
        self.put(by_id(id), kept.to_bytes())
    }

    /// A topic was deleted: forgets all that is kept by its id.
    pub(crate) fn forget_topic(&self, id: Uuid) -> Result<(), StoreError> {
        let prefixes = [b't', b'e', b'w', b'p'].map(|kind| Writer::new(kind).uuid(id).into_bytes());
        let keys = prefixes.iter().flat_map(|prefix| self.with_prefix(prefix));
        self.apply(keys.map(|(key, _)| (key, None)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settings(given: &[(&str, &str)]) -> TopicSettings {
        TopicSettings::new(given.iter().map(|(name, value)| (*name, Some(*value)))).unwrap()
    }

    #[test]
    fn settings_are_read_as_they_were_stored() {
        let given = [
            ("retention.ms", "7"),
            ("segment.ms", "8"),
            ("cleanup.policy", "compact"),
        ];
        let kept = KeptSettings::of_new_topic(settings(&given));
        assert!(kept.sets_retention && !kept.sets_retention_bytes);
        assert_eq!(
            KeptSettings::from_bytes(&kept.to_bytes()),
            Some(kept.clone())
        );
        // A limit that is taken away is not the program's again.
        let taken = kept.with(settings(&[("segment.ms", "9")]));
        assert!(taken.sets_retention && !taken.sets_retention_bytes);
        assert_eq!(taken.settings.retention, None);
        assert_eq!(KeptSettings::from_bytes(&taken.to_bytes()), Some(taken));
    }

    #[test]
    fn a_configuration_that_is_not_known_is_left_out() {
        let bytes = Writer::new(1)
            .u8(1)
            .u8(0)
            .list(
                [("no.such", "1"), ("retention.ms", "7")].into_iter(),
                |w, (n, v)| w.text(n).text(v),
            )
            .into_bytes();
        let kept = KeptSettings::from_bytes(&bytes).unwrap();
        assert_eq!(kept.settings.retention, Some(Duration::from_millis(7)));
        assert_eq!(kept.settings.given("no.such"), None);
        assert_eq!(KeptSettings::from_bytes(&bytes[..20]), None);
    }

    #[test]
    fn a_topic_whose_creation_was_not_completed_has_its_settings() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let kept = KeptSettings::of_new_topic(settings(&[("retention.ms", "7")]));
        let id = Uuid::from_u128(9);
        store.begin_topic("orders", &kept).unwrap();
        assert_eq!(store.topic_settings(id, "orders"), kept);
        store.end_topic("orders", Some((id, &kept))).unwrap();
        assert_eq!(store.topic_settings(id, "orders"), kept);
        let other = Uuid::from_u128(10);
        assert_eq!(
            store.topic_settings(other, "orders"),
            KeptSettings::default()
        );
        store.forget_topic(id).unwrap();
        assert_eq!(store.topic_settings(id, "orders"), KeptSettings::default());
    }
}
