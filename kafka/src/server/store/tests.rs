use super::*;
use std::sync::atomic::Ordering;

fn key(number: u32) -> Vec<u8> {
    Writer::new(b'x').i32(number as i32).into_bytes()
}

#[test]
fn values_outlive_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("kafka");
    {
        let store = Store::open(&dir).unwrap();
        for i in 0..10 {
            store.put(key(i), vec![i as u8]).unwrap();
        }
        let changes = vec![(key(3), None), (key(4), Some(vec![44]))];
        store.apply(changes).unwrap();
        assert!(matches!(Store::open(&dir), Err(StoreError::Storage(_))));
        store.close().unwrap();
    }
    let store = Store::open(&dir).unwrap();
    assert_eq!(store.with_prefix(b"x").len(), 9);
    assert_eq!(store.get(&key(3)), None);
    assert_eq!(store.get(&key(4)), Some(vec![44]));
    assert_eq!(store.with_prefix(b"y").len(), 0);
}

#[test]
fn what_is_as_it_was_takes_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.put(key(1), vec![1]).unwrap();
    let end = store.end();
    store.put(key(1), vec![1]).unwrap();
    store.apply(vec![(key(2), None)]).unwrap();
    assert_eq!(store.end(), end);
}

#[tokio::test]
async fn what_finds_no_room_is_appended_when_there_is_some() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = Store::open(dir.path()).unwrap();
        store.put(key(0), vec![1]).unwrap();
        store.put(key(1), vec![1]).unwrap();
        store.is_full.store(true, Ordering::Relaxed);
        store.put(key(0), vec![2]).unwrap();
        store.put(key(0), vec![3]).unwrap();
        store.apply(vec![(key(1), None)]).unwrap();
        assert_eq!(store.get(&key(0)), Some(vec![3]));
        let written = store.written().await;
        assert!(matches!(written, Err(StoreError::Refused { .. })));
        store.is_full.store(false, Ordering::Relaxed);
        store.put(key(2), vec![4]).unwrap();
        store.written().await.unwrap();
        assert!(store.values().pending.is_empty());
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.get(&key(0)), Some(vec![3]));
    assert_eq!(store.get(&key(1)), None);
    assert_eq!(store.get(&key(2)), Some(vec![4]));
}

#[tokio::test]
async fn more_than_the_ring_holds_is_appended_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let value = vec![7; 1 << 20];
    {
        let store = Store::open(dir.path()).unwrap();
        store.is_full.store(true, Ordering::Relaxed);
        for i in 0..64 {
            store.put(key(i), value.clone()).unwrap();
        }
        store.is_full.store(false, Ordering::Relaxed);
        // Each time what has been written meanwhile is room again.
        let mut tries = 0;
        while store.written().await.is_err() {
            tries += 1;
            assert!(tries < 1000, "{} are left", store.values().pending.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(store.topic.log_end_offset(0), Ok(64));
        // And once more, as when the journal is compacted.
        let keys: Vec<Vec<u8>> = (0..64).map(key).collect();
        let mut left = &keys[..];
        while !left.is_empty() {
            left = store.append_again(left).unwrap();
            store.written().await.unwrap();
        }
        assert_eq!(store.topic.log_end_offset(0), Ok(128));
    }
    let store = Store::open(dir.path()).unwrap();
    let found = store.with_prefix(b"x");
    assert!(found.len() == 64 && found.iter().all(|(_, found)| *found == value));
}

#[tokio::test]
async fn a_long_journal_is_compacted_and_has_the_same_values() {
    let dir = tempfile::tempdir().unwrap();
    let expected: BTreeMap<_, _>;
    {
        let store = Store::open(dir.path()).unwrap();
        for round in 0..100u32 {
            for i in 0..10 {
                let value = vec![round as u8; 10 << 10];
                let removed = i == 9 && round == 99;
                let change = (key(i), (!removed).then_some(value));
                store.apply(vec![change]).unwrap();
            }
            store.written().await.unwrap();
        }
        let long = store.values().journal_bytes;
        assert!(long > COMPACT_FROM, "{long}");
        store.compact().await.unwrap();
        let short = store.values().journal_bytes;
        assert_eq!(short, store.values().live_bytes);
        assert_eq!(store.topic.log_start_offset(0), Ok(1000));
        expected = store.values().by_key.clone();
        assert_eq!(expected.len(), 9);
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.values().by_key, expected);
}

#[test]
fn changes_that_no_frame_can_hold_are_appended_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let changes = |value: u8| {
        (0..5)
            .map(|i| (key(i), Some(vec![value; 1 << 20])))
            .collect()
    };
    {
        let store = Store::open(dir.path()).unwrap();
        store.apply(changes(1)).unwrap();
        let huge = store.put(key(9), vec![0; SEGMENT_BYTES]);
        assert!(matches!(huge, Err(StoreError::Refused { .. })), "{huge:?}");
        assert_eq!(store.get(&key(9)), None);
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.with_prefix(b"x").len(), 5);
}
