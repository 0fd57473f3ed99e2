//! Kafka's topic configurations: their names and defaults, and the few that have a meaning here.
//!
//! All of Kafka's are accepted and described, because programs set them. [`TopicSettings`] has those
//! with a meaning.

use crate::batch::TimestampType;
use ringlog::TopicConfig;
use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What values a configuration has; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// A configuration of topics.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) kind: ValueKind,
    pub(crate) default: &'static str,
    /// The broker's configuration that topics without a value of their own have, if there is one.
    pub(crate) synonym: Option<&'static str>,
    /// The values that are allowed, if not all of the kind are.
    allowed: &'static [&'static str],
}

const fn setting(
    name: &'static str,
    kind: ValueKind,
    default: &'static str,
    synonym: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        synonym: if synonym.is_empty() {
            None
        } else {
            Some(synonym)
        },
        allowed: &[],
    }
}

const fn choice(
    name: &'static str,
    kind: ValueKind,
    default: &'static str,
    synonym: &'static str,
    allowed: &'static [&'static str],
) -> Setting {
    Setting {
        allowed,
        ..setting(name, kind, default, synonym)
    }
}

pub(crate) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
pub(crate) const RETENTION_MS: &str = "retention.ms";
pub(crate) const RETENTION_BYTES: &str = "retention.bytes";
const AFTER_MAX: &str = "message.timestamp.after.max.ms";
const BEFORE_MAX: &str = "message.timestamp.before.max.ms";
const CREATE_TIME: &str = "CreateTime";
const LOG_APPEND_TIME: &str = "LogAppendTime";
/// An hour: the default of [`AFTER_MAX`].
const DEFAULT_AFTER_MAX: i64 = 3_600_000;
const FOREVER: &str = "9223372036854775807";

/// All of them, as in Kafka 4.1, by name. The defaults of retention are this server's.
#[rustfmt::skip]
pub(crate) static SETTINGS: &[Setting] = {
    use ValueKind::{Boolean, Double, Int, List, Long, Text};
    &[
        choice("cleanup.policy", List, "delete", "log.cleanup.policy", &["delete", "compact"]),
        setting("compression.gzip.level", Int, "-1", "compression.gzip.level"),
        setting("compression.lz4.level", Int, "9", "compression.lz4.level"),
        choice("compression.type", Text, "producer", "compression.type",
            &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        setting("compression.zstd.level", Int, "3", "compression.zstd.level"),
        setting("delete.retention.ms", Long, "86400000", "log.cleaner.delete.retention.ms"),
        setting("file.delete.delay.ms", Long, "60000", "log.segment.delete.delay.ms"),
        setting("flush.messages", Long, FOREVER, "log.flush.interval.messages"),
        setting("flush.ms", Long, FOREVER, "log.flush.interval.ms"),
        setting("follower.replication.throttled.replicas", List, "", ""),
        setting("index.interval.bytes", Int, "4096", "log.index.interval.bytes"),
        setting("leader.replication.throttled.replicas", List, "", ""),
        setting("local.retention.bytes", Long, "-2", "log.local.retention.bytes"),
        setting("local.retention.ms", Long, "-2", "log.local.retention.ms"),
        setting("max.compaction.lag.ms", Long, FOREVER, "log.cleaner.max.compaction.lag.ms"),
        setting(MAX_MESSAGE_BYTES, Int, "1048588", "message.max.bytes"),
        setting(AFTER_MAX, Long, "3600000", "log.message.timestamp.after.max.ms"),
        setting(BEFORE_MAX, Long, FOREVER, "log.message.timestamp.before.max.ms"),
        choice("message.timestamp.type", Text, CREATE_TIME, "log.message.timestamp.type",
            &[CREATE_TIME, LOG_APPEND_TIME]),
        setting("min.cleanable.dirty.ratio", Double, "0.5", "log.cleaner.min.cleanable.ratio"),
        setting("min.compaction.lag.ms", Long, "0", "log.cleaner.min.compaction.lag.ms"),
        setting("min.insync.replicas", Int, "1", "min.insync.replicas"),
        setting("preallocate", Boolean, "false", "log.preallocate"),
        setting("remote.log.copy.disable", Boolean, "false", ""),
        setting("remote.log.delete.on.disable", Boolean, "false", ""),
        setting("remote.storage.enable", Boolean, "false", ""),
        setting(RETENTION_BYTES, Long, "-1", "log.retention.bytes"),
        setting(RETENTION_MS, Long, "-1", "log.retention.ms"),
        setting("segment.bytes", Int, "1073741824", "log.segment.bytes"),
        setting("segment.index.bytes", Int, "10485760", "log.index.size.max.bytes"),
        setting("segment.jitter.ms", Long, "0", "log.roll.jitter.ms"),
        setting("segment.ms", Long, "604800000", "log.roll.ms"),
        setting("unclean.leader.election.enable", Boolean, "false", "unclean.leader.election.enable"),
    ]
};

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("Unknown topic config name: {name}")]
    Unknown { name: String },
    #[error("{name} is no configuration of brokers that can be altered here")]
    UnknownOfBrokers { name: String },
    #[error("Cannot update these configs dynamically: {name}")]
    ReadOnly { name: String },
    #[error("Invalid value {value:?} for configuration {name}")]
    InvalidValue { name: String, value: String },
    #[error("Can't append to or subtract from {name}, which is no list")]
    NoList { name: String },
}

/// What is done to a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Set(&'a str),
    /// It has its default again.
    Reset,
    /// Adds to a list those of the values that it does not have.
    Append(&'a str),
    /// Takes values out of a list.
    Subtract(&'a str),
}

/// The values of a list.
struct Values(Vec<String>);

impl Values {
    fn of(list: &str) -> Values {
        let values = list.split(',').map(str::trim);
        let values = values.filter(|value| !value.is_empty());
        Values(values.map(str::to_owned).collect())
    }

    fn with(mut self, list: &str) -> String {
        let mut seen: HashSet<String> = self.0.iter().cloned().collect();
        let new = Values::of(list).0.into_iter();
        self.0
            .extend(new.filter(|value| seen.insert(value.clone())));
        self.0.join(",")
    }

    fn without(mut self, list: &str) -> String {
        let removed: HashSet<String> = Values::of(list).0.into_iter().collect();
        self.0.retain(|value| !removed.contains(value));
        self.0.join(",")
    }
}

impl Setting {
    fn find(name: &str) -> Result<&'static Setting, SettingError> {
        let known = SETTINGS.iter().find(|setting| setting.name == name);
        known.ok_or_else(|| SettingError::Unknown {
            name: name.to_owned(),
        })
    }

    /// The values of this list, as it is given or by default. It may be given by another name.
    fn list(&self, name: &str, given: Option<&String>) -> Result<Values, SettingError> {
        match self.kind {
            ValueKind::List => Ok(Values::of(given.map_or(self.default, String::as_str))),
            _ => Err(SettingError::NoList {
                name: name.to_owned(),
            }),
        }
    }

    /// Whether a topic takes this value.
    pub(crate) fn accepts(&self, value: &str) -> bool {
        self.takes(value) && TopicSettings::default().apply(self.name, value)
    }

    fn takes(&self, value: &str) -> bool {
        let is_allowed = |value: &str| self.allowed.is_empty() || self.allowed.contains(&value);
        let value = value.trim();
        match self.kind {
            ValueKind::Boolean => ["true", "false"].contains(&value.to_ascii_lowercase().as_str()),
            ValueKind::Text => is_allowed(value),
            ValueKind::Int => value.parse::<i32>().is_ok(),
            ValueKind::Long => value.parse::<i64>().is_ok(),
            ValueKind::Double => value.parse::<f64>().is_ok(),
            ValueKind::List => Values::of(value).0.iter().all(|value| is_allowed(value)),
        }
    }
}

/// Values by the names of their configurations.
pub(crate) type Given = BTreeMap<&'static str, String>;

/// Values with changes, in their order. `find` returns the configuration of a name, and this name.
pub(crate) fn altered<'a>(
    mut all: Given,
    changes: impl Iterator<Item = (&'a str, Operation<'a>)>,
    find: impl Fn(&str) -> Result<(&'static str, &'static Setting), SettingError>,
) -> Result<Given, SettingError> {
    for (name, operation) in changes {
        // As in Kafka, what gets its default again need not be known.
        if operation == Operation::Reset {
            all.remove(name);
            continue;
        }
        let (name, setting) = find(name)?;
        let list = || setting.list(name, all.get(name));
        let value = match operation {
            Operation::Set(value) => value.trim().to_owned(),
            Operation::Append(values) => list()?.with(values),
            Operation::Subtract(values) => list()?.without(values),
            Operation::Reset => continue,
        };
        all.insert(name, value);
    }
    Ok(all)
}

/// What is configured for a topic: by clients, or with the broker's defaults ([`TopicSettings::over`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    given: Given,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) max_message_bytes: Option<usize>,
    /// How far the producer's times may be from the server's, in milliseconds.
    timestamp_after_max: Option<i64>,
    timestamp_before_max: Option<i64>,
    /// Records have keys: the topic is to be compacted.
    pub(crate) needs_keys: bool,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) retention: Option<Duration>,
}

impl TopicSettings {
    /// Checks what a client configures. A name without a value keeps its default.
    pub(crate) fn new<'a>(
        given: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<TopicSettings, SettingError> {
        let mut all = Given::new();
        for (name, value) in given {
            let known = Setting::find(name)?;
            match value {
                None => all.remove(known.name),
                Some(value) => all.insert(known.name, value.trim().to_owned()),
            };
        }
        TopicSettings::checked(all)
    }

    /// These settings with changes, in their order.
    pub(crate) fn with<'a>(
        &self,
        changes: impl Iterator<Item = (&'a str, Operation<'a>)>,
    ) -> Result<TopicSettings, SettingError> {
        let find = |name: &str| Setting::find(name).map(|known| (known.name, known));
        TopicSettings::checked(altered(self.given.clone(), changes, find)?)
    }

    /// What counts for a topic with these settings, where these are the defaults: its own, and the
    /// defaults that it does not set.
    pub(crate) fn over(&self, defaults: Given) -> TopicSettings {
        let mut all = defaults;
        let own = self.given.iter();
        all.extend(own.map(|(name, value)| (*name, value.clone())));
        let mut settings = TopicSettings::default();
        for (name, value) in &all {
            // Both were checked when they were set.
            settings.apply(name, value);
        }
        settings.given = all;
        settings
    }

    fn checked(given: Given) -> Result<TopicSettings, SettingError> {
        let mut settings = TopicSettings::default();
        for (name, value) in &given {
            if !Setting::find(name)?.takes(value) || !settings.apply(name, value) {
                return Err(SettingError::InvalidValue {
                    name: (*name).to_owned(),
                    value: value.clone(),
                });
            }
        }
        settings.given = given;
        Ok(settings)
    }

    /// Takes over a value that has a meaning. `false` if it is out of range.
    fn apply(&mut self, name: &str, value: &str) -> bool {
        let number = value.parse::<i64>();
        match (name, number) {
            (MAX_MESSAGE_BYTES, Ok(bytes)) => {
                self.max_message_bytes = usize::try_from(bytes).ok();
                bytes >= 0
            }
            (RETENTION_BYTES, Ok(bytes)) => {
                self.retention_bytes = u64::try_from(bytes).ok();
                bytes >= -1
            }
            (RETENTION_MS, Ok(milliseconds)) => {
                self.retention = u64::try_from(milliseconds).ok().map(Duration::from_millis);
                milliseconds >= -1
            }
            (AFTER_MAX, Ok(milliseconds)) => {
                self.timestamp_after_max = Some(milliseconds);
                milliseconds >= 0
            }
            (BEFORE_MAX, Ok(milliseconds)) => {
                self.timestamp_before_max = Some(milliseconds);
                milliseconds >= 0
            }
            ("cleanup.policy", _) => {
                self.needs_keys = value.split(',').any(|policy| policy.trim() == "compact");
                true
            }
            ("message.timestamp.type", _) => {
                self.timestamp_type = match value {
                    LOG_APPEND_TIME => TimestampType::LogAppendTime,
                    _ => TimestampType::CreateTime,
                };
                true
            }
            _ => true,
        }
    }

    /// The times that a producer may give its records at this time.
    pub(crate) fn timestamps_at(&self, now: i64) -> RangeInclusive<i64> {
        let before = self.timestamp_before_max.unwrap_or(i64::MAX);
        let after = self.timestamp_after_max.unwrap_or(DEFAULT_AFTER_MAX);
        now.saturating_sub(before)..=now.saturating_add(after)
    }

    /// The value that was configured, if one was.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// All values that were configured, by name.
    pub(crate) fn all_given(&self) -> impl ExactSizeIterator<Item = (&'static str, &str)> {
        self.given
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// A topic's configuration with what is configured here.
    pub(crate) fn on(&self, mut config: TopicConfig) -> TopicConfig {
        if let Some(retention) = self.retention {
            config = config.retention(retention);
        }
        if let Some(bytes) = self.retention_bytes {
            config = config.retention_bytes(bytes);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, Option<&str>)]) -> Result<TopicSettings, SettingError> {
        TopicSettings::new(given.iter().copied())
    }

    #[test]
    fn every_default_is_valid() {
        for setting in SETTINGS {
            let given = [(setting.name, Some(setting.default))];
            assert!(settings(&given).is_ok(), "{}", setting.name);
        }
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        for (name, value) in [
            ("retention.ms", "long"),
            ("retention.ms", "-2"),
            ("retention.bytes", "-2"),
            ("max.message.bytes", "-1"),
            ("max.message.bytes", "3000000000"),
            ("cleanup.policy", "delete,squash"),
            ("message.timestamp.type", "createtime"),
            ("message.timestamp.after.max.ms", "-1"),
            ("preallocate", "yes"),
            ("min.cleanable.dirty.ratio", "half"),
        ] {
            let error = SettingError::InvalidValue {
                name: name.to_owned(),
                value: value.to_owned(),
            };
            assert_eq!(settings(&[(name, Some(value))]), Err(error));
        }
        let name = "no.such.thing".to_owned();
        let unknown = Err(SettingError::Unknown { name });
        assert_eq!(settings(&[("no.such.thing", Some("1"))]), unknown);
    }

    #[test]
    fn only_lists_are_appended_to() {
        let changes = [("segment.ms", Operation::Append("1"))];
        let changed = TopicSettings::default().with(changes.into_iter());
        let name = "segment.ms".to_owned();
        assert_eq!(changed, Err(SettingError::NoList { name }));
    }

    #[test]
    fn times_may_be_an_hour_ahead_unless_something_else_is_configured() {
        let allowed = TopicSettings::default().timestamps_at(1_000);
        assert_eq!(allowed, 1_000 - i64::MAX..=3_601_000);
        let given = [(AFTER_MAX, Some("5")), (BEFORE_MAX, Some("7"))];
        let allowed = settings(&given).unwrap().timestamps_at(1_000);
        assert_eq!(allowed, 993..=1_005);
    }

    #[test]
    fn what_has_a_meaning_is_taken_over() {
        let given = settings(&[
            ("cleanup.policy", Some("compact, delete")),
            ("max.message.bytes", Some("77")),
            ("message.timestamp.type", Some("LogAppendTime")),
            ("retention.ms", Some("1000")),
            ("segment.ms", None),
        ]);
        let given = given.unwrap();
        assert_eq!(given.max_message_bytes, Some(77));
        assert_eq!(given.timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(given.given("cleanup.policy"), Some("compact, delete"));
        assert_eq!(given.given("segment.ms"), None);
    }
}
