use super::*;
use ringlog::{Flush, Record, Storage, TopicConfig};
use std::path::Path;
use std::sync::atomic::Ordering;

/// A server's start: its broker, its store and the epoch that begins.
async fn start(dir: &Path) -> (Broker, Arc<Store>, i32) {
    let (broker, _) = Broker::open(Storage::dir(dir).flush(Flush::Manual)).unwrap();
    let store = Arc::new(Store::open(&dir.join("kafka")).unwrap());
    let epoch = store.begin_epoch(&broker).await.unwrap();
    (broker, store, epoch)
}

fn stop(broker: &Broker, store: &Store) {
    store.close().unwrap();
    broker.storage().unwrap().close().unwrap();
}

/// The epochs of the only partition of a topic, as clients see them.
fn epochs(topic: &Topic, store: &Arc<Store>, epoch: i32) -> Vec<(i32, u64)> {
    let id = Uuid::from_bytes(topic.id().unwrap());
    let seen = TopicEpochs::new(epoch, Some((store.clone(), id))).of(topic, 0);
    // As they are kept.
    assert_eq!(store.epochs(id, 0).unwrap(), *seen);
    let entries = seen.entries();
    entries.map(|entry| (entry.epoch, entry.start)).collect()
}

#[tokio::test]
async fn starts_without_records_keep_one_entry() {
    let dir = tempfile::tempdir().unwrap();
    let mut end = 0;
    for number in 0..39 {
        let (broker, store, epoch) = start(dir.path()).await;
        assert_eq!(epoch, number);
        let topic = broker.get_or_create_topic("orders", TopicConfig::new());
        let topic = topic.unwrap();
        let expected = match end {
            0 => vec![(epoch, 0)],
            // Those of records, and the current one.
            1 => vec![(19, 0), (epoch, 1)],
            _ => vec![(19, 0), (29, 1), (epoch, 2)],
        };
        assert_eq!(epochs(&topic, &store, epoch), expected);
        if number == 19 || number == 29 {
            topic.producer().send(Record::new("a")).unwrap();
            end += 1;
        }
        if number == 38 {
            topic.delete_records(0, end).unwrap();
        }
        stop(&broker, &store);
    }
    let (broker, store, epoch) = start(dir.path()).await;
    let topic = broker.topic("orders").unwrap();
    assert_eq!(epochs(&topic, &store, epoch), [(39, 2)]);
    stop(&broker, &store);
}

#[tokio::test]
async fn an_epoch_is_durable_before_it_is_returned() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, store, epoch) = start(dir.path()).await;
    assert_eq!(epoch, 0);
    let end = store.topic.log_end_offset(0).unwrap();
    assert_eq!(store.topic.durable_end(0), Ok(end));
    stop(&broker, &store);
}

#[tokio::test]
async fn without_room_for_an_epoch_there_is_none_until_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, store, _) = start(dir.path()).await;
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    assert_eq!(epochs(&topic, &store, 0), [(0, 0)]);
    topic.producer().send(Record::new("a")).unwrap();
    store.is_full.store(true, Ordering::Relaxed);
    let refused = store.begin_epoch(&broker).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })));
    let id = Uuid::from_bytes(topic.id().unwrap());
    let none = TopicEpochs::new(NO_EPOCH, Some((store.clone(), id))).of(&topic, 0);
    assert_eq!(*none, LeaderEpochs::only(NO_EPOCH));
    store.is_full.store(false, Ordering::Relaxed);
    topic.producer().send(Record::new("b")).unwrap();
    stop(&broker, &store);
    // What has found no room was stored when there was some.
    let (broker, store, epoch) = start(dir.path()).await;
    let topic = broker.topic("orders").unwrap();
    assert_eq!(epoch, 2);
    assert_eq!(epochs(&topic, &store, 2), [(0, 0), (1, 1), (2, 2)]);
    stop(&broker, &store);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, store, _) = start(dir.path()).await;
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    topic.producer().send(Record::new("a")).unwrap();
    let id = Uuid::from_bytes(topic.id().unwrap());
    store.put(list_key(id, 0), vec![7]).unwrap();
    stop(&broker, &store);
    let (broker, store, epoch) = start(dir.path()).await;
    let topic = broker.topic("orders").unwrap();
    assert_eq!(epochs(&topic, &store, epoch), [(0, 0), (1, 1)]);
    stop(&broker, &store);
}

#[tokio::test]
async fn a_store_of_a_version_without_epochs_goes_on_at_one_that_no_client_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("kafka")).unwrap();
    store.put(vec![b'c'], vec![1]).unwrap();
    store.close().unwrap();
    let (broker, store, epoch) = start(dir.path()).await;
    assert!(epoch > 0);
    stop(&broker, &store);
    let (broker, store, next) = start(dir.path()).await;
    assert_eq!(next, epoch + 1);
    stop(&broker, &store);
}

#[tokio::test]
async fn a_topic_that_is_deleted_leaves_no_list_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, store, epoch) = start(dir.path()).await;
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    epochs(&topic, &store, epoch);
    store
        .forget_topic(Uuid::from_bytes(topic.id().unwrap()))
        .unwrap();
    assert_eq!(store.with_prefix(b"e"), []);
    stop(&broker, &store);
}

#[tokio::test]
async fn what_a_program_sends_before_a_client_comes_is_of_the_current_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, store, _) = start(dir.path()).await;
    let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
    topic.producer().send(Record::new("a")).unwrap();
    stop(&broker, &store);
    let (broker, store, epoch) = start(dir.path()).await;
    let topic = broker.topic("orders").unwrap();
    topic.producer().send(Record::new("b")).unwrap();
    assert_eq!(epochs(&topic, &store, epoch), [(0, 0), (1, 1)]);
    stop(&broker, &store);
}

#[tokio::test]
async fn lists_of_topics_that_are_no_more_do_not_outlive_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, store, epoch) = start(dir.path()).await;
    for name in ["orders", "deleted"] {
        let topic = broker.create_topic(name, TopicConfig::new()).unwrap();
        epochs(&topic, &store, epoch);
    }
    // By the program: the server does not notice.
    broker.delete_topic("deleted").unwrap();
    assert_eq!(store.with_prefix(b"e").len(), 2);
    stop(&broker, &store);
    let (broker, store, epoch) = start(dir.path()).await;
    assert_eq!(epoch, 1);
    assert_eq!(store.with_prefix(b"e").len(), 1);
    stop(&broker, &store);
}

#[tokio::test]
async fn more_lists_than_the_journals_ring_holds_are_stored() {
    const LISTS: u32 = 3000;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let list = |partition| (list_key(Uuid::nil(), partition), Some(vec![1; 12_000]));
    let lists = (0..LISTS).map(list).collect();
    store.apply_in_steps(lists).await.unwrap();
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.with_prefix(b"e").len(), LISTS as usize);
}
