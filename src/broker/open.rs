//! Durable brokers: opening a directory, and the topics and commits that are found in it.

use super::Broker;
use crate::error::TopicError;
use crate::events::event;
use crate::group::{Coordinator, OffsetChange};
use crate::storage::{RecoveryReport, Storage, StorageConfig, StoredCommit, TopicRecord};
use crate::topic::{Topic, TopicConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

impl Broker {
    /// A broker whose topics are kept in a directory, so that they outlive the process.
    ///
    /// The topics and the groups' commits that the directory has are there when this returns, and
    /// the report says what was found. Topics that are created are durable too, unless they are
    /// configured to be [in memory](TopicConfig::in_memory). A directory that does not exist is
    /// created. `config` is a path, or a [`StorageConfig`].
    ///
    /// A send costs what it costs otherwise. Records are written to the files beside the sends;
    /// [`Topic`] says how far they are written and durable.
    ///
    /// Damage does not keep a directory from being opened: of each partition the longest valid part
    /// is served, and the rest is kept under other names and
    /// [reported](RecoveryReport::has_damage).
    ///
    /// ```
    /// use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// use std::time::Duration;
    ///
    /// # let dir = std::env::temp_dir().join(format!("ringlog-open-{}", std::process::id()));
    /// let (broker, _) = Broker::open(&dir)?;
    /// let orders = broker.create_topic("orders", TopicConfig::new())?;
    /// orders.producer().send(Record::new("login"))?;
    /// orders.flush(Duration::from_secs(10))?;
    /// drop((orders, broker)); // or the process crashes
    ///
    /// let (broker, report) = Broker::open(&dir)?;
    /// assert_eq!(report.records(), 1);
    /// let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// consumer.subscribe(["orders"])?;
    /// let batch = consumer.poll(Duration::from_secs(1))?;
    /// assert_eq!(batch.iter().next().unwrap().value_bytes(), b"login");
    /// # drop((consumer, broker));
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`StorageConfig::open`] and [`attach`](Self::attach).
    pub fn open(config: impl Into<StorageConfig>) -> Result<(Broker, RecoveryReport), TopicError> {
        Self::open_with(config, |_, config| config)
    }

    /// [`open`](Self::open), where `configure` may change the configuration of each topic that is
    /// found: for what is code, and so is not stored (partitioner, clock, wait strategy), or to use
    /// other rings than before. The number of partitions stays.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        config: impl Into<StorageConfig>,
        configure: impl FnMut(&str, TopicConfig) -> TopicConfig,
    ) -> Result<(Broker, RecoveryReport), TopicError> {
        let storage = config.into().open()?;
        let mut broker = Broker::new();
        let report = broker.attach_with(&storage, configure)?;
        broker.storage = Some(storage);
        Ok((broker, report))
    }

    /// Takes in the topics that another storage has, and its groups' commits: for topics on several
    /// disks. Topics that are created there later are [configured](TopicConfig::storage) with it. Those
    /// that the broker has already are left out.
    ///
    /// # Errors
    /// [`TopicError::TopicExists`] if the broker has another topic of a name that the storage has;
    /// [`TopicError::Storage`] if the storage's files cannot be read, or another broker has attached
    /// them since the storage was opened; otherwise as [`create_topic`](Self::create_topic). The topics
    /// before the one with the error may be attached.
    pub fn attach(&self, storage: &Storage) -> Result<RecoveryReport, TopicError> {
        self.attach_with(storage, |_, config| config)
    }

    /// [`attach`](Self::attach), where `configure` may change the configuration of each topic, as
    /// for [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn attach_with(
        &self,
        storage: &Storage,
        mut configure: impl FnMut(&str, TopicConfig) -> TopicConfig,
    ) -> Result<RecoveryReport, TopicError> {
        let start = Instant::now();
        let mut report = RecoveryReport::default();
        let mut attached = BTreeSet::new();
        for stored in storage.recover(&mut report, |record| self.has_stored(record))? {
            let id = stored.record.id;
            let topic = Topic::recovered(storage, stored, &mut configure)?;
            if !self.directory.insert(&topic) {
                return Err(TopicError::TopicExists {
                    name: topic.name().to_owned(),
                });
            }
            attached.insert(id);
        }
        match storage.stored_commits()? {
            Some(commits) => report.groups = self.restore(commits, &attached),
            None => report.groups_damaged = true,
        }
        let groups = Arc::downgrade(&self.groups);
        storage.shared().add_commit_source(Box::new(move || {
            groups.upgrade().map(|groups| groups.all_commits())
        }));
        self.groups.add_storage(storage.shared().clone());
        report.duration = start.elapsed();
        event!(
            debug,
            "storage attached",
            topics = report.topics.len(),
            records = report.records(),
        );
        Ok(report)
    }

    /// Whether this topic of a storage is one of the broker's.
    fn has_stored(&self, record: &TopicRecord) -> Result<bool, TopicError> {
        match self.directory.find(&record.name) {
            None => Ok(false),
            Some(topic) if topic.id() == Some(record.id) => Ok(true),
            Some(_) => Err(TopicError::TopicExists {
                name: record.name.clone(),
            }),
        }
    }

    /// The storage that the broker was [opened](Self::open) on.
    pub fn storage(&self) -> Option<&Storage> {
        self.storage.as_ref()
    }

    /// Sets the groups' offsets in these topics to what was stored. Returns how many groups there are.
    /// What a storage has of other storages' topics may be old.
    ///
    /// A commit may be past the end of its log, if the records before it were lost with the machine:
    /// then the group continues at the end.
    fn restore(&self, commits: Vec<StoredCommit>, topics: &BTreeSet<[u8; 16]>) -> usize {
        let mut by_group: BTreeMap<String, Vec<OffsetChange>> = BTreeMap::new();
        for commit in commits {
            let found = self.directory.find(&commit.topic);
            let topic = found.filter(|topic| {
                let is_attached = topic.id().is_some_and(|id| topics.contains(&id));
                is_attached && commit.partition < topic.partitions()
            });
            let Some(topic) = topic.map(|topic| topic.inner().clone()) else {
                continue; // or a topic that was deleted, or one in memory
            };
            let log = topic.partition(commit.partition);
            let bounds = (log.log_start_offset(), log.log_end_offset());
            by_group
                .entry(commit.group)
                .or_default()
                .push(OffsetChange {
                    offset: commit.offset.clamp(bounds.0, bounds.1),
                    partition: commit.partition,
                    topic,
                });
        }
        let restored = by_group.iter().filter(|(name, changes)| {
            let work = |group: &mut Coordinator| group.alter_offsets(changes);
            self.groups.alter(&name.as_str().into(), work).is_ok()
        });
        restored.count()
    }
}
