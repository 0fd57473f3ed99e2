//! Ids that are given once: the cluster's, and those of producers.

use super::{Reader, Store, StoreError, Writer};
use crate::server::topics::random_uuid;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use tokio::sync::Mutex;
use tracing::warn;

/// The name of a cluster whose state is not kept, unless it is configured.
const IN_MEMORY: &str = "ringlog-kafka";

/// The cluster's id: what is configured, or what was stored, or a new one.
pub(crate) fn cluster_id(
    store: Option<&Store>,
    configured: Option<&str>,
) -> Result<String, StoreError> {
    let Some(store) = store else {
        return Ok(configured.unwrap_or(IN_MEMORY).to_owned());
    };
    let key = vec![b'c'];
    let stored = store.get(&key);
    let stored = stored.and_then(|value| Reader::new(&value, 1)?.text());
    let id = match (configured, stored) {
        (None, Some(stored)) => return Ok(stored),
        (Some(configured), Some(stored)) => {
            if configured != stored {
                warn!(stored, configured, "the cluster has another id from now on");
            }
            configured.to_owned()
        }
        (Some(configured), None) => configured.to_owned(),
        // As Kafka's tool makes them.
        (None, None) => URL_SAFE_NO_PAD.encode(random_uuid().as_bytes()),
    };
    store.put(key, Writer::new(1).text(&id).into_bytes())?;
    Ok(id)
}

/// Ids that are taken from the store at once.
const BLOCK: i64 = 1000;

/// The ids of producers. None is given twice, also by a later server: a block of them is marked as
/// given, durably, before the first of it is.
#[derive(Debug)]
pub(crate) struct ProducerIds {
    store: Option<Arc<Store>>,
    block: Mutex<Block>,
}

#[derive(Debug)]
struct Block {
    next: i64,
    end: i64,
}

fn key() -> Vec<u8> {
    vec![b'i']
}

impl ProducerIds {
    pub(crate) fn new(store: Option<Arc<Store>>) -> ProducerIds {
        // A client may outlive a server that keeps nothing, and go on with its id at the next one: a
        // new producer that had the same id would have its batches taken for ones sent again. A
        // quarter of the numbers of 64 bits leaves room to count.
        let first = (random_uuid().as_u64_pair().0 >> 2) as i64;
        let block = match &store {
            None => Block {
                next: first,
                end: i64::MAX,
            },
            Some(store) => {
                let stored = store.get(&key());
                let stored = stored.and_then(|value| Reader::new(&value, 1)?.i64());
                let next = stored.unwrap_or(first);
                Block { next, end: next }
            }
        };
        ProducerIds {
            store,
            block: Mutex::new(block),
        }
    }

    /// An id that no other producer has.
    pub(crate) async fn next(&self) -> Result<i64, StoreError> {
        let mut block = self.block.lock().await;
        if let (Some(store), true) = (&self.store, block.next == block.end) {
            let end = block.end + BLOCK;
            store.put(key(), Writer::new(1).i64(end).into_bytes())?;
            store.durable().await?;
            block.end = end;
        }
        block.next += 1;
        Ok(block.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_producer_id_is_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = None;
        for round in 0..4 {
            let store = Arc::new(Store::open(dir.path()).unwrap());
            let ids = ProducerIds::new(Some(store.clone()));
            // The last one of a block, the first of the next, and none at all.
            for _ in 0..[1000, 1001, 0, 1][round] {
                let id = ids.next().await.unwrap();
                assert!(last.is_none_or(|last| id > last), "{id} after {last:?}");
                last = Some(id);
            }
            store.close().unwrap();
        }
    }

    #[test]
    fn a_cluster_keeps_its_id_unless_another_is_configured() {
        let dir = tempfile::tempdir().unwrap();
        let with = |configured: Option<&str>| {
            let store = Store::open(dir.path()).unwrap();
            cluster_id(Some(&store), configured).unwrap()
        };
        let first = with(None);
        assert_eq!(first.len(), 22);
        assert_eq!(with(None), first);
        assert_eq!(with(Some("tests")), "tests");
        assert_eq!(with(None), "tests");
        assert_eq!(cluster_id(None, None).unwrap(), IN_MEMORY);
    }
}
