//! The broker's own configuration: what it was started with, and what clients alter while it runs.
//!
//! The names that can be altered are the ones that have the defaults of topics
//! ([`Setting::synonym`]). There are two levels, as in Kafka: the resource of the empty name is the
//! default of all brokers, and the one that is named by its node id is one broker's. What counts is
//! the topic's own value, then the broker's, the default of all brokers, what the broker was started
//! with, and the built-in default ([`BrokerSettings::values`]).

use super::config::Config;
use super::topic_settings::{
    Given, MAX_MESSAGE_BYTES, Operation, RETENTION_MS, SETTINGS, Setting, SettingError,
    TopicSettings, altered,
};

/// Where a value is from; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueSource {
    Topic = 1,
    Broker = 2,
    AllBrokers = 3,
    Static = 4,
    Default = 5,
}

/// A value, by the name that it is configured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourcedValue {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: ValueSource,
}

/// The levels at which clients alter the broker's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    AllBrokers,
    Broker,
}

impl Level {
    pub(crate) const ALL: [Level; 2] = [Level::AllBrokers, Level::Broker];
}

/// The names whose default Kafka has by another name, such as `log.retention.hours`.
const WITHOUT_DEFAULT: [&str; 4] = [
    "log.flush.interval.ms",
    "log.retention.ms",
    "log.roll.jitter.ms",
    "log.roll.ms",
];

/// Names of Kafka's brokers that are given at the start: what is described here, and what another
/// configuration has in another unit.
const READ_ONLY: &[&str] = &[
    "advertised.listeners",
    "auto.create.topics.enable",
    "broker.id",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.min.session.timeout.ms",
    "listeners",
    "log.dir",
    "log.dirs",
    "log.flush.scheduler.interval.ms",
    "log.retention.hours",
    "log.retention.minutes",
    "log.roll.hours",
    "log.roll.jitter.hours",
    "node.id",
    "num.partitions",
    "offset.metadata.max.bytes",
    "socket.request.max.bytes",
];

/// The configuration of this name of the broker's.
fn find(name: &str) -> Result<(&'static str, &'static Setting), SettingError> {
    let mut known = SETTINGS.iter().filter_map(|s| Some((s.synonym?, s)));
    known.find(|(known, _)| *known == name).ok_or_else(|| {
        let name = name.to_owned();
        match READ_ONLY.contains(&name.as_str()) {
            true => SettingError::ReadOnly { name },
            false => SettingError::UnknownOfBrokers { name },
        }
    })
}

/// Whether a broker takes this value. As in Kafka, its limit of time is not zero.
fn accepts(setting: &Setting, value: &str) -> bool {
    let is_zero = setting.name == RETENTION_MS && value.parse() == Ok(0);
    setting.accepts(value) && !is_zero
}

/// What clients have configured at a level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AlteredSettings {
    given: Given,
}

impl AlteredSettings {
    /// Checks what a client configures.
    pub(crate) fn new<'a>(
        given: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<AlteredSettings, SettingError> {
        let set = given.map(|(name, value)| (name, Operation::Set(value)));
        AlteredSettings::default().with(set)
    }

    /// These settings with changes, in their order.
    pub(crate) fn with<'a>(
        &self,
        changes: impl Iterator<Item = (&'a str, Operation<'a>)>,
    ) -> Result<AlteredSettings, SettingError> {
        let given = altered(self.given.clone(), changes, find)?;
        for (name, value) in &given {
            let (_, setting) = find(name)?;
            if !accepts(setting, value) {
                return Err(SettingError::InvalidValue {
                    name: (*name).to_owned(),
                    value: value.clone(),
                });
            }
        }
        Ok(AlteredSettings { given })
    }

    /// All values, by the broker's names.
    pub(crate) fn all_given(&self) -> impl ExactSizeIterator<Item = (&'static str, &str)> {
        let given = self.given.iter();
        given.map(|(name, value)| (*name, value.as_str()))
    }
}

/// The configuration of the broker, as far as it has the defaults of topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BrokerSettings {
    /// What the broker was started with, where that is not the built-in default.
    started_with: Given,
    of_all_brokers: AlteredSettings,
    of_broker: AlteredSettings,
}

impl BrokerSettings {
    /// Of a broker that was started so.
    pub(super) fn new(config: &Config) -> BrokerSettings {
        let mut started_with = Given::new();
        for setting in SETTINGS.iter().filter(|s| s.name == MAX_MESSAGE_BYTES) {
            let bytes = config.limits.batch_bytes.to_string();
            if let Some(name) = setting.synonym.filter(|_| bytes != setting.default) {
                started_with.insert(name, bytes);
            }
        }
        BrokerSettings {
            started_with,
            ..BrokerSettings::default()
        }
    }

    pub(crate) fn level(&self, level: Level) -> &AlteredSettings {
        match level {
            Level::AllBrokers => &self.of_all_brokers,
            Level::Broker => &self.of_broker,
        }
    }

    /// These with other settings at a level.
    pub(crate) fn with(&self, level: Level, settings: AlteredSettings) -> BrokerSettings {
        let mut changed = self.clone();
        match level {
            Level::AllBrokers => changed.of_all_brokers = settings,
            Level::Broker => changed.of_broker = settings,
        }
        changed
    }

    /// The values that a broker has for this configuration of topics, the first of which counts. None
    /// if the built-in default has no name of brokers.
    pub(crate) fn values(&self, setting: &Setting) -> Vec<SourcedValue> {
        let Some(name) = setting.synonym else {
            return Vec::new();
        };
        let default = Some(setting.default).filter(|_| !WITHOUT_DEFAULT.contains(&name));
        let given = |given: &Given| given.get(name).cloned();
        let values = [
            (given(&self.of_broker.given), ValueSource::Broker),
            (given(&self.of_all_brokers.given), ValueSource::AllBrokers),
            (given(&self.started_with), ValueSource::Static),
            (default.map(str::to_owned), ValueSource::Default),
        ];
        let values = values.into_iter().filter_map(|(value, source)| {
            Some(SourcedValue {
                name,
                value: value?,
                source,
            })
        });
        values.collect()
    }

    /// The values that there are for a topic with these settings of its own, the first of which counts.
    pub(crate) fn topic_values(&self, own: &TopicSettings, setting: &Setting) -> Vec<SourcedValue> {
        let mut values = self.values(setting);
        if let Some(value) = own.given(setting.name) {
            let own = SourcedValue {
                name: setting.name,
                value: value.to_owned(),
                source: ValueSource::Topic,
            };
            values.insert(0, own);
        }
        values
    }

    /// What counts for a topic with these settings of its own.
    pub(crate) fn effective(&self, own: &TopicSettings) -> TopicSettings {
        let mut defaults = Given::new();
        // From what counts least to what counts most.
        for given in [
            &self.started_with,
            &self.of_all_brokers.given,
            &self.of_broker.given,
        ] {
            for setting in SETTINGS {
                let value = setting.synonym.and_then(|name| given.get(name));
                defaults.extend(value.map(|value| (setting.name, value.clone())));
            }
        }
        own.over(defaults)
    }
}

/// The value that counts of these, and its source.
pub(crate) fn first_value<'a>(
    values: &'a [SourcedValue],
    setting: &'a Setting,
) -> (&'a str, ValueSource) {
    match values.first() {
        Some(first) => (&first.value, first.source),
        None => (setting.default, ValueSource::Default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn altered(given: &[(&str, &str)]) -> AlteredSettings {
        AlteredSettings::new(given.iter().copied()).unwrap()
    }

    #[test]
    fn every_default_is_accepted_by_the_brokers_name() {
        for setting in SETTINGS {
            if let Some(name) = setting.synonym {
                assert_eq!(find(name).unwrap().1.name, setting.name);
                let given = [(name, setting.default)];
                assert!(AlteredSettings::new(given.into_iter()).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn the_broker_counts_more_than_all_brokers_and_these_more_than_the_start() {
        let config = Config::default();
        let mut limits = config.limits;
        limits.batch_bytes = 7;
        let broker = BrokerSettings::new(&Config { limits, ..config });
        let max = |broker: &BrokerSettings| {
            let own = TopicSettings::default();
            broker.effective(&own).max_message_bytes
        };
        assert_eq!(max(&BrokerSettings::new(&Config::default())), None);
        assert_eq!(max(&broker), Some(7));
        let broker = broker.with(Level::AllBrokers, altered(&[("message.max.bytes", "8")]));
        assert_eq!(max(&broker), Some(8));
        let broker = broker.with(Level::Broker, altered(&[("message.max.bytes", "9")]));
        assert_eq!(max(&broker), Some(9));
        let own = [("max.message.bytes", Some("10"))];
        let own = TopicSettings::new(own.into_iter()).unwrap();
        assert_eq!(broker.effective(&own).max_message_bytes, Some(10));
        let setting = SETTINGS.iter().find(|s| s.name == MAX_MESSAGE_BYTES);
        let values = broker.topic_values(&own, setting.unwrap());
        let values: Vec<_> = values
            .iter()
            .map(|v| (v.name, &*v.value, v.source as i8))
            .collect();
        let expected = [
            ("max.message.bytes", "10", 1),
            ("message.max.bytes", "9", 2),
            ("message.max.bytes", "8", 3),
            ("message.max.bytes", "7", 4),
            ("message.max.bytes", "1048588", 5),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_topics_own_limit_counts_also_where_it_is_none() {
        let broker = BrokerSettings::default();
        let broker = broker.with(Level::AllBrokers, altered(&[("log.retention.ms", "5")]));
        let default = broker.effective(&TopicSettings::default());
        assert_eq!(default.retention, Some(Duration::from_millis(5)));
        let own = [(RETENTION_MS, Some("-1"))];
        let own = TopicSettings::new(own.into_iter()).unwrap();
        assert_eq!(broker.effective(&own).retention, None);
    }
}
