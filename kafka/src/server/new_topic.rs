//! Topics that are created when a server is bound.

use super::Shared;
use super::bind_error::BindError;
use super::topic_settings::{SettingError, TopicSettings};
use tracing::info;

/// Why a topic cannot be configured so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TopicConfigError {
    reason: String,
}

impl From<SettingError> for TopicConfigError {
    fn from(error: SettingError) -> TopicConfigError {
        TopicConfigError {
            reason: error.to_string(),
        }
    }
}

/// A topic to create, with Kafka's configurations.
///
/// ```
/// use ringlog_kafka::NewTopic;
///
/// let orders = NewTopic::new("orders").partitions(8).config("retention.ms", "60000")?;
/// assert!(orders.config("retention.sm", "60000").is_err());
/// # Ok::<(), ringlog_kafka::TopicConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct NewTopic {
    name: String,
    partitions: Option<u32>,
    configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic of this name, with the server's default number of partitions.
    pub fn new(name: impl Into<String>) -> NewTopic {
        NewTopic {
            name: name.into(),
            partitions: None,
            configs: Vec::new(),
        }
    }

    /// Its number of partitions.
    pub fn partitions(mut self, partitions: u32) -> NewTopic {
        self.partitions = Some(partitions);
        self
    }

    /// One of Kafka's topic configurations.
    ///
    /// # Errors
    /// [`TopicConfigError`]: Kafka has none of this name, or it does not take this value.
    pub fn config(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<NewTopic, TopicConfigError> {
        self.configs.push((name.into(), value.into()));
        self.settings()?;
        Ok(self)
    }

    fn settings(&self) -> Result<TopicSettings, TopicConfigError> {
        let configs = self.configs.iter();
        let configs = configs.map(|(name, value)| (name.as_str(), Some(value.as_str())));
        Ok(TopicSettings::new(configs)?)
    }

    /// Creates it, before clients are served. One that is there in a durable broker is left as it is.
    pub(super) fn create(&self, shared: &Shared) -> Result<(), BindError> {
        let failed = |reason: String| BindError::Topic {
            name: self.name.clone(),
            reason,
        };
        let settings = self.settings().map_err(|error| failed(error.to_string()))?;
        let partitions = self.partitions.unwrap_or(shared.config.default_partitions);
        let found = shared.topics.find(&self.name);
        if let Some(found) = found.filter(|_| shared.store.is_some()) {
            if found.topic.partitions() != partitions || *found.configured() != settings {
                info!(
                    topic = self.name.as_str(),
                    partitions = found.topic.partitions(),
                    configured_partitions = partitions,
                    "the topic is in the directory with other settings than configured, and keeps them"
                );
            }
            return Ok(());
        }
        let topic_config = shared.topic_config.clone().partitions(partitions);
        let created = shared.topics.create(&self.name, topic_config, settings);
        created
            .map(|_| ())
            .map_err(|error| failed(error.to_string()))
    }
}
