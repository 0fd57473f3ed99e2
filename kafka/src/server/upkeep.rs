//! The task of a durable broker's server: it stores what has changed of idempotent producers, and
//! keeps the journal short.
//!
//! It sleeps while nothing changes. While batches come, it stores their producers once a second, or
//! less often if that takes long; each as it was when the log up to there has become durable. What is
//! not stored is read from the log at the next start, which is about what two seconds bring.

use super::Shared;
use super::bind_error::BindError;
use super::connection::{Phase, reached};
use super::leader_epochs::NO_EPOCH;
use super::sequences::PartitionSequences;
use super::store::windows::WindowError;
use super::store::{Store, StoreError};
use ringlog::Broker;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

/// How often producers are stored at most.
const PERIOD: Duration = Duration::from_secs(1);
/// Storing takes at most one part in this many of the time.
const SHARE: u32 = 50;
/// How often partitions are looked at whose producers send nothing, but programs do.
const IDLE_PERIOD: Duration = Duration::from_secs(30);

/// What the broker itself has in its directory.
const OF_THE_BROKER: [&str; 4] = ["topics", "values", "groups", "LOCK"];

/// The store of a durable broker's server.
pub(super) async fn open_store(
    broker: &Broker,
    name: &str,
) -> Result<Option<Arc<Store>>, BindError> {
    let Some(storage) = broker.storage() else {
        return Ok(None);
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) || OF_THE_BROKER.contains(&name) {
        let name = name.to_owned();
        return Err(BindError::StateDir { name });
    }
    let dir = storage.path().join(name);
    let opened = tokio::task::spawn_blocking(move || Store::open(&dir)).await;
    match opened {
        Ok(store) => Ok(Some(Arc::new(store?))),
        Err(_) => Err(BindError::Stopped),
    }
}

/// How long the start of a server waits for its leader epoch to be stored: a disk that is full holds it
/// up no longer.
const EPOCH_LIMIT: Duration = Duration::from_secs(5);

/// Begins a leader epoch: 0 for a broker in memory.
pub(super) async fn begin_epoch(broker: &Broker, store: Option<&Store>) -> i32 {
    let Some(store) = store else {
        return 0;
    };
    let begun = match timeout(EPOCH_LIMIT, store.begin_epoch(broker)).await {
        Ok(begun) => begun.map_err(|reason| reason.to_string()),
        Err(_) => Err(format!("the disk has not taken it for {EPOCH_LIMIT:?}")),
    };
    begun.unwrap_or_else(|reason| {
        warn!(%reason, "clients are served without leader epochs: they cannot be stored");
        NO_EPOCH
    })
}

/// Runs until the server stops.
pub(super) async fn run(shared: Arc<Shared>, store: Arc<Store>) {
    let mut phase = shared.phase.subscribe();
    tokio::select! {
        () = keep_up(&shared, &store) => {}
        () = reached(&mut phase, |phase| *phase != Phase::Running) => {}
    }
}

async fn keep_up(shared: &Shared, store: &Store) {
    load_all(shared).await;
    loop {
        // A time that is up is no error: there may be something to do then.
        let _ = timeout(IDLE_PERIOD, store.has_work.notified()).await;
        let begin = Instant::now();
        if let Err(reason) = work(shared, store).await {
            warn!(%reason, "what outlives the process could not be stored: it is tried again");
            store.has_work.notify_one();
        }
        // A disk that was slow once may be fast again.
        sleep((begin.elapsed() * SHARE).clamp(PERIOD, IDLE_PERIOD)).await;
    }
}

/// What cannot be done for one partition does not keep the others from it. Returns the first error.
async fn work(shared: &Shared, store: &Store) -> Result<(), WindowError> {
    let mut done = Ok(());
    for sequences in all(shared) {
        done = done.and(sequences.sync_if_far_behind().await);
    }
    let saved = save_all(shared);
    store.written().await?;
    store.compact().await?;
    done.and(Ok(saved?))
}

/// Of all partitions that were used since the start.
fn all(shared: &Shared) -> Vec<Arc<PartitionSequences>> {
    let topics = shared.topics.served().into_iter();
    topics.flat_map(|topic| topic.known_sequences()).collect()
}

/// Stores what has changed of the idempotent producers.
pub(super) fn save_all(shared: &Shared) -> Result<(), StoreError> {
    let saved = all(shared).into_iter();
    let saved = saved.map(|sequences| sequences.save_if_changed());
    saved.fold(Ok(()), Result::and)
}

/// Loads the producers of all partitions that have some, one after the other: a batch does not wait
/// for that, except for its own partition's.
async fn load_all(shared: &Shared) {
    for name in shared.topics.names() {
        let Some(topic) = shared.topics.find(&name) else {
            continue;
        };
        for partition in 0..topic.topic.partitions() {
            let sequences = topic.sequences(partition);
            if !sequences.is_kept() {
                continue;
            }
            if let Err(reason) = sequences.load().await {
                warn!(topic = name, partition, %reason, "idempotent producers are not known yet");
            }
        }
    }
}
