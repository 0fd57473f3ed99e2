//! The settings of a topic that is served: what clients have configured, and what counts with the
//! broker's defaults ([`BrokerSettings::effective`]).

use super::broker_settings::BrokerSettings;
use super::store::StoreError;
use super::store::settings::KeptSettings;
use super::topic_settings::TopicSettings;
use arc_swap::ArcSwap;
use ringlog::Topic;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The broker's configuration, as it is now.
pub(crate) type CurrentBrokerSettings = Arc<ArcSwap<BrokerSettings>>;

/// A limit of retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit<T> {
    /// What a program has configured.
    OfProgram,
    /// What clients have configured, which may be none.
    OfClients(Option<T>),
}

impl<T> Limit<T> {
    fn new(is_of_clients: bool, limit: Option<T>) -> Limit<T> {
        match is_of_clients {
            true => Limit::OfClients(limit),
            false => Limit::OfProgram,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Current {
    kept: KeptSettings,
    effective: TopicSettings,
    retention: Limit<Duration>,
    retention_bytes: Limit<u64>,
}

impl Current {
    fn new(kept: KeptSettings, broker: &BrokerSettings) -> Current {
        let effective = broker.effective(&kept.settings);
        let kept = kept.with_limits_of(&effective);
        Current {
            retention: Limit::new(kept.sets_retention, effective.retention),
            retention_bytes: Limit::new(kept.sets_retention_bytes, effective.retention_bytes),
            effective,
            kept,
        }
    }

    /// Sets the limits that are not as before.
    fn set_limits(&self, topic: &Topic, before: Option<&Current>) {
        if let Limit::OfClients(limit) = self.retention
            && before.is_none_or(|before| before.retention != self.retention)
        {
            topic.set_retention(limit);
        }
        if let Limit::OfClients(limit) = self.retention_bytes
            && before.is_none_or(|before| before.retention_bytes != self.retention_bytes)
        {
            topic.set_retention_bytes(limit);
        }
    }
}

/// The settings of one topic.
#[derive(Debug)]
pub(crate) struct ServedSettings {
    broker: CurrentBrokerSettings,
    current: ArcSwap<Current>,
    /// Held while they are changed.
    changing: Mutex<()>,
}

impl ServedSettings {
    pub(crate) fn new(kept: KeptSettings, broker: CurrentBrokerSettings) -> ServedSettings {
        ServedSettings {
            current: ArcSwap::from_pointee(Current::new(kept, &broker.load())),
            broker,
            changing: Mutex::default(),
        }
    }

    /// What counts.
    pub(crate) fn effective(&self) -> impl Deref<Target = TopicSettings> + use<> {
        struct Effective(Arc<Current>);
        impl Deref for Effective {
            type Target = TopicSettings;

            fn deref(&self) -> &TopicSettings {
                &self.0.effective
            }
        }
        Effective(self.current.load_full())
    }

    /// What clients have configured for this topic.
    pub(crate) fn configured(&self) -> impl Deref<Target = TopicSettings> + use<> {
        struct Configured(Arc<Current>);
        impl Deref for Configured {
            type Target = TopicSettings;

            fn deref(&self) -> &TopicSettings {
                &self.0.kept.settings
            }
        }
        Configured(self.current.load_full())
    }

    /// What is to be kept.
    pub(crate) fn kept(&self) -> KeptSettings {
        self.current.load().kept.clone()
    }

    /// Sets the limits of a topic that was created with these settings, or before a restart.
    pub(crate) fn set_limits(&self, topic: &Topic) {
        self.current.load().set_limits(topic, None);
    }

    pub(crate) fn replace(&self, kept: KeptSettings) {
        let current = Current::new(kept, &self.broker.load());
        self.current.store(Arc::new(current));
    }

    /// Changes what is configured for the topic to what `changed` makes of it. If it fails, nothing
    /// has changed. `keep` stores the new settings.
    pub(crate) fn change<E: From<StoreError>>(
        &self,
        topic: &Topic,
        keep: impl FnOnce(&KeptSettings) -> Result<(), StoreError>,
        changed: impl FnOnce(&TopicSettings) -> Result<TopicSettings, E>,
    ) -> Result<(), E> {
        let changing = self.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load_full();
        let kept = old.kept.with(changed(&old.kept.settings)?);
        let new = Current::new(kept, &self.broker.load());
        if new == *old {
            return Ok(());
        }
        keep(&new.kept)?;
        new.set_limits(topic, Some(&old));
        self.current.store(Arc::new(new));
        topic.apply_retention();
        Ok(())
    }
}
