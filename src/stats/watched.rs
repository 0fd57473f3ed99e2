//! The consumers that live, for whoever wants to see them.
//!
//! A consumer has a card in its broker's list from when it is made until it is dropped, and each
//! partition that it reads has one on the consumer's card. They are written when partitions come
//! and go, under locks that no poll takes otherwise. What changes as it polls is in words: the
//! position that its hold tells (`readers.rs`), what its tenure has committed (`group/tenure.rs`)
//! and what it lost.

use crate::config::ConsumerConfig;
use crate::group::Tenure;
use crate::readers::Hold;
use crate::sync::Count;
use crate::sync::lock_std as lock;
use crate::topic_inner::TopicInner;
// Not loom's: the models do nothing under these locks that another thread waits for.
use std::sync::{Arc, Mutex};

fn remove<T>(list: &mut Vec<Arc<T>>, item: &Arc<T>) {
    list.retain(|other| !Arc::ptr_eq(other, item));
}

/// The consumers of a broker.
#[derive(Default)]
pub(crate) struct Consumers(Mutex<List>);

#[derive(Default)]
struct List {
    /// How many there have been.
    made: u64,
    /// Those that live.
    cards: Vec<Arc<ConsumerCard>>,
}

impl Consumers {
    /// Counts a consumer in, and gives it a name if it has none: as Kafka does.
    pub(crate) fn enter(self: &Arc<Self>, config: &ConsumerConfig) -> Entry {
        let mut list = lock(&self.0);
        list.made += 1;
        let id = list.made;
        let made = || match &config.group {
            Some(group) => format!("consumer-{group}-{id}").into(),
            None => format!("consumer-{id}").into(),
        };
        let card = Arc::new(ConsumerCard {
            id,
            client_id: config.client_id.clone().unwrap_or_else(made),
            group: config.group.clone(),
            lost: Count::default(),
            cursors: Mutex::default(),
        });
        list.cards.push(card.clone());
        Entry {
            all: self.clone(),
            card,
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<ConsumerCard>> {
        lock(&self.0).cards.clone()
    }
}

/// A consumer's place in the list: it goes with it.
pub(crate) struct Entry {
    all: Arc<Consumers>,
    pub(crate) card: Arc<ConsumerCard>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        remove(&mut lock(&self.all.0).cards, &self.card);
    }
}

/// What others may know of a consumer.
pub(crate) struct ConsumerCard {
    pub(crate) id: u64,
    pub(crate) client_id: Arc<str>,
    pub(crate) group: Option<Arc<str>>,
    /// In all partitions that it ever had.
    pub(crate) lost: Count,
    cursors: Mutex<Vec<Arc<CursorCard>>>,
}

impl ConsumerCard {
    pub(crate) fn cursors(&self) -> Vec<Arc<CursorCard>> {
        lock(&self.cursors).clone()
    }
}

/// What others may know of its place in one partition.
pub(crate) struct CursorCard {
    pub(crate) topic: Arc<TopicInner>,
    pub(crate) partition: u32,
    pub(crate) hold: Arc<Hold>,
    /// What it has of it as a member of a group.
    pub(crate) tenure: Option<Arc<Tenure>>,
    /// The tenure is told the position at each poll.
    pub(crate) commits: bool,
    pub(crate) lost: Count,
}

/// A partition's place on its consumer's card: it goes with it.
pub(crate) struct Watch {
    consumer: Arc<ConsumerCard>,
    cursor: Arc<CursorCard>,
}

impl Watch {
    pub(crate) fn new(consumer: &Arc<ConsumerCard>, cursor: CursorCard) -> Watch {
        let cursor = Arc::new(cursor);
        lock(&consumer.cursors).push(cursor.clone());
        Watch {
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
        if let Some(tenure) = &self.cursor.tenure {
            tenure.lose(lost);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        remove(&mut lock(&self.consumer.cursors), &self.cursor);
    }
}
