//! The consumers that live, for whoever wants to see them.
//!
//! A consumer has a card in its broker's list from when it is made until it is dropped, and each
//! partition that it reads has one on the consumer's card. They are written when partitions come
//! and go, under locks that no poll takes otherwise. What changes as it polls is in words: the
//! position that its hold tells (`readers.rs`), what its tenure has committed (`group/ownership.rs`)
//! and what it lost.

use super::config::ConsumerConfig;
use crate::group::Ownership;
use crate::log::holds::Hold;
use crate::sync::Count;
use crate::sync::lock_std as lock;
use crate::topic::TopicShared;
use std::sync::{Arc, Mutex};

fn remove<T>(list: &mut Vec<Arc<T>>, item: &Arc<T>) {
    list.retain(|other| !Arc::ptr_eq(other, item));
}

/// The consumers of a broker.
#[derive(Default)]
pub(crate) struct ConsumerRegistry(Mutex<List>);

#[derive(Default)]
struct List {
    /// How many there have been.
    made: u64,
    /// Those that live.
    cards: Vec<Arc<RegisteredConsumer>>,
}

impl ConsumerRegistry {
    /// Counts a consumer in, and gives it a name if it has none: as Kafka does.
    pub(crate) fn enter(self: &Arc<Self>, config: &ConsumerConfig) -> Registration {
        let mut list = lock(&self.0);
        list.made += 1;
        let id = list.made;
        let made = || match &config.group {
            Some(group) => format!("consumer-{group}-{id}").into(),
            None => format!("consumer-{id}").into(),
        };
        let card = Arc::new(RegisteredConsumer {
            id,
            client_id: config.client_id.clone().unwrap_or_else(made),
            group: config.group.clone(),
            lost: Count::default(),
            cursors: Mutex::default(),
        });
        list.cards.push(card.clone());
        Registration {
            all: self.clone(),
            card,
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<RegisteredConsumer>> {
        lock(&self.0).cards.clone()
    }
}

/// A consumer's place in the list: it goes with it.
pub(crate) struct Registration {
    all: Arc<ConsumerRegistry>,
    pub(crate) card: Arc<RegisteredConsumer>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        remove(&mut lock(&self.all.0).cards, &self.card);
    }
}

/// What others may know of a consumer.
pub(crate) struct RegisteredConsumer {
    pub(crate) id: u64,
    pub(crate) client_id: Arc<str>,
    pub(crate) group: Option<Arc<str>>,
    /// In all partitions that it ever had.
    pub(crate) lost: Count,
    cursors: Mutex<Vec<Arc<RegisteredCursor>>>,
}

impl RegisteredConsumer {
    pub(crate) fn cursors(&self) -> Vec<Arc<RegisteredCursor>> {
        lock(&self.cursors).clone()
    }
}

/// What others may know of its place in one partition.
pub(crate) struct RegisteredCursor {
    pub(crate) topic: Arc<TopicShared>,
    pub(crate) partition: u32,
    pub(crate) hold: Arc<Hold>,
    /// What it has of it as a member of a group.
    pub(crate) ownership: Option<Arc<Ownership>>,
    /// The tenure is told the position at each poll.
    pub(crate) commits: bool,
    pub(crate) lost: Count,
}

/// A partition's place on its consumer's card: it goes with it.
pub(crate) struct CursorRegistration {
    consumer: Arc<RegisteredConsumer>,
    cursor: Arc<RegisteredCursor>,
}

impl CursorRegistration {
    pub(crate) fn new(
        consumer: &Arc<RegisteredConsumer>,
        cursor: RegisteredCursor,
    ) -> CursorRegistration {
        let cursor = Arc::new(cursor);
        lock(&consumer.cursors).push(cursor.clone());
        CursorRegistration {
            consumer: consumer.clone(),
            cursor,
        }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.consumer.client_id
    }

    pub(crate) fn lost(&self) -> u64 {
        self.cursor.lost.get()
    }

    /// So many offsets went by unread.
    pub(crate) fn lose(&self, lost: u64) {
        self.consumer.lost.add(lost);
        self.cursor.lost.add(lost);
        if let Some(ownership) = &self.cursor.ownership {
            ownership.add_lost(lost);
        }
    }
}

impl Drop for CursorRegistration {
    fn drop(&mut self) {
        remove(&mut lock(&self.consumer.cursors), &self.cursor);
    }
}
