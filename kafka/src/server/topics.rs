//! The broker's topics as clients see them: with ids, and with the state of idempotent producers.
//!
//! The broker is the truth about which topics there are: programs in the same process create and
//! delete them, too. An entry here belongs to one *incarnation* of a name. It is made when the topic
//! is first looked up, and replaced when the name is another topic's. The id and the producers'
//! sequences are the incarnation's, so they end with it.
//!
//! A durable topic has its id of ringlog, which stays over restarts. Its settings and its producers
//! are kept in the server's store, by that id.
//!
//! # Locks
//!
//! The maps are behind one lock, for a few loads and stores at a time. Another is held while a topic
//! is created or deleted, one at a time. A partition's sequences are
//! behind a lock of tokio's, which an idempotent batch holds while it is appended: its neighbours in
//! the sequence must not overtake it. Other batches take neither.

use super::broker_settings::{AlteredSettings, BrokerSettings, Level};
use super::config::Config;
use super::leader_epochs::LeaderEpochs;
use super::sequences::PartitionSequences;
use super::served_settings::{CurrentBrokerSettings, ServedSettings};
use super::store::epochs::TopicEpochs;
use super::store::settings::KeptSettings;
use super::store::windows::Window;
use super::store::{Store, StoreError};
use super::topic_settings::TopicSettings;
use arc_swap::ArcSwap;
use ringlog::{Broker, ReadUpTo, SharedProducer, Topic, TopicConfig, TopicError};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use tracing::warn;
use uuid::Uuid;

/// One incarnation of a topic.
#[derive(Debug)]
pub(crate) struct ServedTopic {
    pub(crate) id: Uuid,
    pub(crate) topic: Topic,
    /// How far readers get, if the topic is durable.
    read_up_to: ReadUpTo,
    settings: ServedSettings,
    /// Of a durable topic: the broker and the store by which its settings and producers are kept.
    kept_by: Option<(Broker, Arc<Store>)>,
    /// Made by the first batch: while there is one, the topic admits no exclusive producer.
    producer: OnceLock<SharedProducer>,
    sequences: RwLock<Vec<Arc<PartitionSequences>>>,
    epochs: TopicEpochs,
}

impl ServedTopic {
    pub(crate) fn name(&self) -> &str {
        self.topic.name()
    }

    /// The settings that count: clients' own for this topic, and the broker's defaults.
    pub(crate) fn settings(&self) -> impl Deref<Target = TopicSettings> + use<> {
        self.settings.effective()
    }

    /// What clients have configured for this topic.
    pub(crate) fn configured(&self) -> impl Deref<Target = TopicSettings> + use<> {
        self.settings.configured()
    }

    /// Changes what is configured to what `changed` makes of it. If it fails, nothing has changed.
    pub(crate) fn change_settings<E: From<StoreError>>(
        &self,
        changed: impl FnOnce(&TopicSettings) -> Result<TopicSettings, E>,
    ) -> Result<(), E> {
        let keep = |kept: &KeptSettings| self.keep_settings(kept);
        self.settings.change(&self.topic, keep, changed)
    }

    fn keep_settings(&self, kept: &KeptSettings) -> Result<(), StoreError> {
        match &self.kept_by {
            Some((_, store)) => store.put_topic_settings(self.id, kept),
            None => Ok(()),
        }
    }

    pub(crate) fn producer(&self) -> &SharedProducer {
        self.producer.get_or_init(|| self.topic.shared_producer())
    }

    /// The partition of this number, if there is one.
    pub(crate) fn partition(&self, number: i32) -> Option<u32> {
        let number = u32::try_from(number).ok()?;
        (number < self.topic.partitions()).then_some(number)
    }

    pub(crate) fn read_up_to(&self) -> ReadUpTo {
        self.read_up_to
    }

    /// How far readers get in this partition, which exists: Kafka's high watermark.
    pub(crate) fn readable_end(&self, partition: u32) -> Result<u64, TopicError> {
        let topic = &self.topic;
        let stored = match self.read_up_to {
            ReadUpTo::Written => topic.written_end(partition),
            ReadUpTo::Durable => topic.durable_end(partition),
            _ => return topic.log_end_offset(partition),
        };
        // After a failure readers of what is written get everything.
        let is_stopped = || matches!(topic.write_error(partition), Ok(Some(_)));
        match stored {
            Ok(end) if self.read_up_to == ReadUpTo::Durable || !is_stopped() => Ok(end),
            // It is in memory, too, or alone.
            _ => topic.log_end_offset(partition),
        }
    }

    /// The leader epochs of this partition, which exists.
    pub(crate) fn leader_epochs(&self, partition: u32) -> Arc<LeaderEpochs> {
        self.epochs.of(&self.topic, partition)
    }

    /// The sequences of this partition, which exists.
    pub(crate) fn sequences(&self, partition: u32) -> Arc<PartitionSequences> {
        let partition = partition as usize;
        let read = self.sequences.read();
        let read = read.unwrap_or_else(PoisonError::into_inner);
        if let Some(sequences) = read.get(partition) {
            return sequences.clone();
        }
        drop(read);
        let write = self.sequences.write();
        let mut write = write.unwrap_or_else(PoisonError::into_inner);
        while write.len() <= partition {
            let number = write.len() as u32;
            write.push(Arc::new(PartitionSequences::new(self.window(number))));
        }
        write[partition].clone()
    }

    /// Those of the partitions that were asked for so far.
    pub(crate) fn known_sequences(&self) -> Vec<Arc<PartitionSequences>> {
        let read = self.sequences.read();
        read.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn window(&self, partition: u32) -> Option<Window> {
        let (broker, store) = self.kept_by.clone()?;
        let topic = self.topic.clone();
        Some(Window::new(store, broker, topic, self.id, partition))
    }
}

/// A version-4 UUID from the randomness that seeds the hash maps of `std`.
pub(crate) fn random_uuid() -> Uuid {
    let half = || RandomState::new().hash_one(std::thread::current().id());
    uuid::Builder::from_random_bytes((u128::from(half()) << 64 | u128::from(half())).to_be_bytes())
        .into_uuid()
}

#[derive(Debug, Default)]
struct Incarnations {
    by_name: HashMap<String, Arc<ServedTopic>>,
    by_id: HashMap<Uuid, Arc<ServedTopic>>,
}

impl Incarnations {
    fn insert(&mut self, topic: ServedTopic) -> Arc<ServedTopic> {
        let topic = Arc::new(topic);
        self.remove(topic.name());
        self.by_name.insert(topic.name().to_owned(), topic.clone());
        self.by_id.insert(topic.id, topic.clone());
        topic
    }

    fn remove(&mut self, name: &str) {
        if let Some(old) = self.by_name.remove(name) {
            self.by_id.remove(&old.id);
        }
    }
}

/// The name of the resource that has the broker's settings at a level.
fn resource(level: Level, node_id: i32) -> String {
    match level {
        Level::AllBrokers => String::new(),
        Level::Broker => node_id.to_string(),
    }
}

/// Why a topic could not be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("a topic's name has 1 to 249 letters, digits, dots, underscores and hyphens")]
    InvalidName,
    #[error(transparent)]
    Topic(TopicError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The topics of a broker.
#[derive(Debug)]
pub(crate) struct Topics {
    broker: Broker,
    store: Option<Arc<Store>>,
    read_up_to: ReadUpTo,
    node_id: i32,
    broker_settings: CurrentBrokerSettings,
    /// The leader epoch of all partitions.
    epoch: i32,
    incarnations: Mutex<Incarnations>,
    /// Held while a topic is created or deleted, or the broker's settings are changed, which may take
    /// as long as the disk does. Lookups go on meanwhile.
    changing: Mutex<()>,
}

impl Topics {
    pub(crate) fn new(
        broker: Broker,
        store: Option<Arc<Store>>,
        config: &Config,
        epoch: i32,
    ) -> Result<Topics, StoreError> {
        let node_id = config.node_id;
        let mut settings = BrokerSettings::new(config);
        if let Some(store) = &store {
            for level in Level::ALL {
                let stored = store.broker_settings(&resource(level, node_id));
                settings = settings.with(level, stored);
            }
            store.complete_topics(|name| {
                let id = broker.topic(name).ok()?.id()?;
                Some(Uuid::from_bytes(id))
            })?;
        }
        Ok(Topics {
            broker,
            store,
            read_up_to: config.read_up_to,
            node_id,
            broker_settings: Arc::new(ArcSwap::from_pointee(settings)),
            epoch,
            incarnations: Mutex::default(),
            changing: Mutex::default(),
        })
    }

    /// The id of a topic, and what keeps its settings and producers, if it is durable.
    fn identity(&self, topic: &Topic) -> (Uuid, Option<(Broker, Arc<Store>)>) {
        match topic.id() {
            None => (random_uuid(), None),
            Some(id) => {
                let store = self.store.clone();
                let kept_by = store.map(|store| (self.broker.clone(), store));
                (Uuid::from_bytes(id), kept_by)
            }
        }
    }

    fn new_served(
        &self,
        topic: Topic,
        id: Uuid,
        kept: KeptSettings,
        kept_by: Option<(Broker, Arc<Store>)>,
    ) -> ServedTopic {
        let epochs_kept_by = kept_by.as_ref().map(|(_, store)| (store.clone(), id));
        let served = ServedTopic {
            id,
            topic,
            read_up_to: self.read_up_to,
            settings: ServedSettings::new(kept, self.broker_settings.clone()),
            kept_by,
            producer: OnceLock::new(),
            sequences: RwLock::default(),
            epochs: TopicEpochs::new(self.epoch, epochs_kept_by),
        };
        // The epochs of all partitions begin before there are records.
        if let Some(last) = served.topic.partitions().checked_sub(1) {
            served.leader_epochs(last);
        }
        served
    }

    /// A topic that was not looked up before.
    fn serve(&self, topic: Topic) -> ServedTopic {
        let (id, kept_by) = self.identity(&topic);
        let kept = match &kept_by {
            Some((_, store)) => store.topic_settings(id, topic.name()),
            None => KeptSettings::default(),
        };
        let served = self.new_served(topic, id, kept.clone(), kept_by);
        served.settings.set_limits(&served.topic);
        // The broker's defaults may have given it limits.
        let kept_now = served.settings.kept();
        if kept_now != kept
            && let Err(reason) = served.keep_settings(&kept_now)
        {
            warn!(topic = served.name(), %reason, "the topic's settings are not kept");
        }
        served
    }

    /// The broker's configuration.
    pub(crate) fn broker_settings(&self) -> Arc<BrokerSettings> {
        self.broker_settings.load_full()
    }

    /// Changes the broker's configuration at a level to what `changed` makes of it. If it fails,
    /// nothing has changed. It blocks while the new limits of topics are stored.
    pub(crate) fn change_broker_settings<E: From<StoreError>>(
        &self,
        level: Level,
        changed: impl FnOnce(&AlteredSettings) -> Result<AlteredSettings, E>,
    ) -> Result<(), E> {
        // So that a topic that is created meanwhile does not keep the old limits.
        let changing = self.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        let old = self.broker_settings();
        let new = old.with(level, changed(old.level(level))?);
        if let Some(store) = &self.store {
            let resource = resource(level, self.node_id);
            store.put_broker_settings(&resource, new.level(level))?;
        }
        self.broker_settings.store(Arc::new(new));
        for served in self.names().iter().filter_map(|name| self.find(name)) {
            let as_before = |own: &TopicSettings| Ok::<_, StoreError>(own.clone());
            if let Err(reason) = served.change_settings(as_before) {
                let topic = served.name();
                warn!(topic, %reason, "a topic has not the broker's new settings yet");
            }
        }
        Ok(())
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.broker.topic_names()
    }

    /// The topics that were looked up so far.
    pub(crate) fn served(&self) -> Vec<Arc<ServedTopic>> {
        self.incarnations().by_id.values().cloned().collect()
    }

    /// The topic that has this name now.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<ServedTopic>> {
        let mut incarnations = self.incarnations();
        let Ok(topic) = self.broker.topic(name) else {
            incarnations.remove(name);
            return None;
        };
        if let Some(served) = incarnations.by_name.get(name) {
            // A closed topic cannot be opened again: an open one of its name is another.
            if !served.topic.is_closed() || topic.is_closed() {
                return Some(served.clone());
            }
            incarnations.remove(name);
        }
        Some(incarnations.insert(self.serve(topic)))
    }

    /// The topic that has this id, if it still exists.
    pub(crate) fn find_id(&self, id: Uuid) -> Option<Arc<ServedTopic>> {
        let served = self.incarnations().by_id.get(&id).cloned()?;
        self.find(served.name()).filter(|found| found.id == id)
    }

    /// Whether this incarnation still has its name.
    pub(crate) fn is_current(&self, served: &ServedTopic) -> bool {
        let found = self.find(served.name());
        found.is_some_and(|found| found.id == served.id)
    }

    fn incarnations(&self) -> MutexGuard<'_, Incarnations> {
        let incarnations = self.incarnations.lock();
        incarnations.unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes this incarnation, if it still has its name. It blocks while files are removed.
    pub(crate) fn delete(&self, served: &ServedTopic) -> Result<(), TopicError> {
        // So that another client does not put another topic in its place meanwhile.
        let changing = self.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        let is_current = {
            let incarnations = self.incarnations();
            let current = incarnations.by_name.get(served.name());
            current.is_some_and(|current| current.id == served.id)
        };
        if !is_current {
            let name = served.name().to_owned();
            return Err(TopicError::UnknownTopic { name });
        }
        let deleted = self.broker.delete_topic(served.name());
        self.incarnations().remove(served.name());
        deleted?;
        if let Some((_, store)) = &served.kept_by {
            // What is left behind belongs to an id that no topic has any more.
            if let Err(reason) = store.forget_topic(served.id) {
                warn!(topic = served.name(), %reason, "not all that was kept is forgotten");
            }
        }
        Ok(())
    }

    /// Creates a topic. It blocks while files are created.
    pub(crate) fn create(
        &self,
        name: &str,
        config: TopicConfig,
        settings: TopicSettings,
    ) -> Result<Arc<ServedTopic>, CreateError> {
        if !is_valid_name(name) {
            return Err(CreateError::InvalidName);
        }
        let changing = self.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        let effective = self.broker_settings().effective(&settings);
        let config = effective.on(config);
        let kept = KeptSettings::of_new_topic(settings).with_limits_of(&effective);
        // Most topics have no settings of their own: then there is nothing to store.
        let store = self.store.as_ref();
        let store = store.filter(|_| kept != KeptSettings::default());
        if let Some(store) = store {
            if self.broker.topic(name).is_ok() {
                let name = name.to_owned();
                return Err(CreateError::Topic(TopicError::TopicExists { name }));
            }
            store.begin_topic(name, &kept)?;
        }
        let created = self.broker.create_topic(name, config);
        if let Some(store) = store {
            let id = created.as_ref().ok().and_then(Topic::id);
            store.end_topic(name, id.map(|id| (Uuid::from_bytes(id), &kept)))?;
        }
        let topic = created.map_err(CreateError::Topic)?;
        // A program may have configured limits that are taken away here.
        if kept.sets_retention && effective.retention.is_none() {
            topic.set_retention(None);
        }
        if kept.sets_retention_bytes && effective.retention_bytes.is_none() {
            topic.set_retention_bytes(None);
        }
        let mut incarnations = self.incarnations();
        // Another client may have looked it up already.
        let found = incarnations.by_name.get(name).cloned();
        if let Some(found) = found.filter(|found| !found.topic.is_closed()) {
            found.settings.replace(kept);
            return Ok(found);
        }
        let (id, kept_by) = self.identity(&topic);
        Ok(incarnations.insert(self.new_served(topic, id, kept, kept_by)))
    }
}

/// Whether Kafka allows this name for a topic: 1 to 249 letters, digits, dots, underscores and hyphens, and not `.` or `..`.
pub fn is_valid_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && !matches!(name, "." | "..") && name.bytes().all(valid)
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
