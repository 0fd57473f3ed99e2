//! One handle for many threads: all gather together.

use super::*;
use std::collections::BTreeMap;
use std::thread;

#[test]
fn threads_gather_into_the_same_frames_and_keep_their_own_order() {
    const THREADS: u32 = 4;
    const SENDS: u32 = if cfg!(miri) { 30 } else { 3000 };
    let config = TopicConfig::new().partitions(3).segments(64);
    let (broker, topic) = make(config.segment_bytes(64 * 1024));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let handle = topic
        .shared_producer()
        .gathering(by_four().batch_records(9));
    let mut seen: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
    thread::scope(|scope| {
        for sender in 0..THREADS {
            let handle = handle.clone();
            scope.spawn(move || {
                for number in 0..SENDS {
                    let value = [sender.to_le_bytes(), number.to_le_bytes()].concat();
                    // Each clone, and each partition, in turn.
                    let record = Record::new(&value).partition(number % 3);
                    match number % 50 {
                        10 => handle.clone().flush().unwrap(),
                        20 => drop(handle.send_now(record).unwrap()),
                        _ => handle.clone().send(record).unwrap(),
                    }
                }
            });
        }
        let count = u64::from(THREADS * (SENDS - SENDS.div_ceil(50)));
        let mut read = 0;
        common::conditions::wait_until("all records are read", || {
            // A last flush, when all threads have ended: no record is left behind.
            handle.try_flush().unwrap();
            let batch = consumer.try_poll().unwrap();
            for record in &batch {
                let (sender, number) = record.value_bytes().split_at(4);
                let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
                let key = (word(sender), record.partition());
                seen.entry(key).or_default().push(word(number));
                read += 1;
            }
            read == count
        });
    });
    for ((sender, partition), numbers) in seen {
        let sent = (0..SENDS).filter(|n| n % 3 == partition && n % 50 != 10);
        assert!(
            numbers.iter().copied().eq(sent),
            "sender {sender}, partition {partition}"
        );
    }
    assert_eq!(handle.gathered(), 0);
}

#[test]
fn the_last_clone_sends_what_is_gathered() {
    let (_broker, topic) = make(TopicConfig::new());
    let handle = topic.shared_producer().gathering(by_four());
    let clone = handle.clone();
    handle.send(Record::new("0")).unwrap();
    drop(handle);
    assert_eq!((logged(&topic), clone.gathered()), (0, 1));
    clone.send(Record::new("1")).unwrap();
    drop(clone);
    assert_eq!(logged(&topic), 2);
    assert!(
        topic.exclusive_producer().is_ok(),
        "no producer is left behind"
    );
}

#[test]
fn calls_that_do_not_wait_do_not_wait_for_a_call_that_does() {
    let (broker, topic) = make(tiny());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut patient = topic
        .shared_producer()
        .gathering(by_four().batch_records(2));
    for number in 0..6 {
        patient.send(Record::new(&number.to_string())).unwrap();
    }
    let handle = patient.clone();
    patient.set_max_block(common::conditions::LONG);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            common::conditions::woken("a send", || patient.send(Record::new("6")).unwrap());
        });
        common::conditions::wait_until("the send waits", || {
            topic.stats().partitions[0].blocked_sends == 1
        });
        // The buffer is not locked meanwhile.
        assert!(handle.try_send(Record::new("refused")).is_err());
        assert!(handle.try_flush().is_err());
        assert_eq!(handle.gathered(), 2);
        assert!(!waiting.is_finished());
        // As there is room, the send appends what was gathered.
        let mut seen = Vec::new();
        common::conditions::wait_until("what was gathered is read", || {
            seen.extend(values(&mut consumer));
            seen.len() >= 6
        });
        assert_eq!(seen, ["0", "1", "2", "3", "4", "5"]);
    });
    handle.flush().unwrap();
    assert_eq!(values(&mut consumer), ["6"]);
}

#[test]
fn a_timer_sends_by_the_shared_handle() {
    let clock = ringlog::ManualClock::new(1000);
    let (_broker, topic) = make(TopicConfig::new().clock(clock.clone()));
    let linger = Duration::from_millis(5);
    let config = GatheringConfig::new().linger(linger);
    let handle = topic.shared_producer().gathering(config);
    assert_eq!(handle.linger_left(), None);
    handle.send(Record::new("x")).unwrap();
    assert_eq!(handle.linger_left(), Some(linger));
    clock.advance(linger);
    handle.flush_due().unwrap();
    assert_eq!((logged(&topic), handle.linger_left()), (1, None));
}

#[test]
fn a_handle_has_its_topics_name_and_its_own_limit_of_waits() {
    let (_broker, topic) = make(tiny());
    let limit = Duration::from_secs(7);
    let mut own = topic.producer().gathering(by_four());
    assert_eq!((own.topic(), own.max_block()), (TOPIC, Duration::ZERO));
    own.set_max_block(limit);
    assert_eq!(own.max_block(), limit);
    let mut shared = topic.shared_producer().gathering(by_four());
    assert_eq!(
        (shared.topic(), shared.max_block()),
        (TOPIC, Duration::ZERO)
    );
    shared.set_max_block(limit);
    assert_eq!(shared.clone().max_block(), limit);
}
