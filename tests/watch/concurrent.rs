//! Snapshots taken while producers and consumers run: no counter goes back, and the numbers of one
//! snapshot agree with each other.

use super::common::conditions::wait_until;
use super::common::{make, subscribed};
use super::{named, small};
use ringlog::{BrokerSnapshot, Destination, Overflow, PartitionStats, Record};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Two producers that also abort claims, two consumers and a group member run while another thread
/// takes snapshots. No counter goes back, and the order of offsets holds in each snapshot.
fn check_snapshots(overflow: Overflow) {
    const RECORDS: u64 = 400_000;
    let (broker, topic) = make(
        small()
            .partitions(2)
            .segment_records(64)
            .overflow(overflow)
            .max_block(Duration::from_secs(60)),
    );
    let done = AtomicBool::new(false);
    let snapshots = AtomicU64::new(0);
    let consumers: Vec<_> = [
        named("a"),
        named("b").max_poll_records(7),
        named("m").group("g"),
    ]
    .into_iter()
    .map(|config| subscribed(&broker, config))
    .collect();
    let lost = std::thread::scope(|scope| {
        let readers: Vec<_> = consumers
            .into_iter()
            .map(|mut consumer| {
                let done = &done;
                scope.spawn(move || {
                    let mut lost = 0;
                    loop {
                        let ends = done.load(Ordering::Acquire);
                        let batch = consumer.poll(Duration::from_millis(1)).unwrap();
                        lost += batch.lost();
                        if batch.is_empty() && ends {
                            break;
                        }
                    }
                    let stats = consumer.stats();
                    assert!(stats.partitions.iter().all(|p| p.lag == 0), "{stats:?}");
                    assert_eq!(stats.lost, lost);
                    (consumer, lost)
                })
            })
            .collect();
        let observer = scope.spawn(|| {
            let mut before = broker.snapshot();
            while !done.load(Ordering::Acquire) {
                let now = broker.snapshot();
                check(&before, &now);
                before = now;
                snapshots.fetch_add(1, Ordering::Relaxed);
            }
        });
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let (topic, snapshots) = (&topic, &snapshots);
                scope.spawn(move || {
                    let mut producer = topic.producer();
                    for i in 0..RECORDS {
                        // Snapshots are taken before, between and after the sends.
                        if i % (RECORDS / 20) == 0 {
                            let wanted = i / (RECORDS / 20);
                            wait_until("a snapshot", || snapshots.load(Ordering::Relaxed) > wanted);
                        }
                        let partition = (i % 2) as u32;
                        if i % 100 == 99 {
                            drop(
                                producer
                                    .claim(Destination::Partition(partition), None, 8)
                                    .unwrap(),
                            );
                            continue;
                        }
                        let value = i.to_ne_bytes();
                        let record = Record::new(&value).partition(partition);
                        producer.send(record).unwrap();
                    }
                })
            })
            .collect();
        let sent: Vec<_> = producers.into_iter().map(|p| p.join()).collect();
        done.store(true, Ordering::Release);
        observer.join().unwrap();
        sent.into_iter().for_each(|sent| sent.unwrap());
        let joined = readers.into_iter().map(|reader| reader.join().unwrap());
        let all: Vec<_> = joined.collect();
        // While all consumers still exist.
        let last = broker.snapshot();
        for row in last.consumers.iter().flat_map(|c| &c.partitions) {
            assert_eq!((row.position, row.lag), (row.log_end, 0));
        }
        let group: u64 = last.groups[0].partitions.iter().map(|p| p.lost).sum();
        assert_eq!(group, all[2].1);
        all.iter().map(|(_, lost)| lost).sum::<u64>()
    });
    let stats = topic.stats();
    let sum = |number: fn(&PartitionStats) -> u64| stats.partitions.iter().map(number).sum::<u64>();
    assert_eq!(sum(|p| p.appended_records), 2 * RECORDS);
    assert_eq!(sum(|p| p.aborted_frames), 2 * RECORDS / 100);
    assert_eq!(sum(|p| p.appended_bytes), 2 * RECORDS * 8);
    match overflow {
        Overflow::Backpressure => assert_eq!(lost, 0),
        Overflow::DropOldest => assert_eq!(sum(|p| p.reader_stalls + p.blocked_sends), 0),
    }
}

/// Compares a snapshot with the one before, and its numbers with each other.
fn check(before: &BrokerSnapshot, now: &BrokerSnapshot) {
    let partitions = |snapshot: &BrokerSnapshot| snapshot.topics[0].partitions.clone();
    for (old, new) in partitions(before).iter().zip(partitions(now)) {
        let counters = |p: &PartitionStats| {
            [
                p.log_start,
                p.log_end,
                p.appended_records,
                p.appended_bytes,
                p.aborted_records,
                p.rolls,
                p.retired_segments,
                p.reader_stalls,
                p.blocked_sends,
                p.refused_sends,
            ]
        };
        let pairs = counters(old).into_iter().zip(counters(&new));
        assert!(pairs.into_iter().all(|(a, b)| a <= b), "{old:?}\n{new:?}");
        assert!(new.log_start <= new.log_end);
        assert!(new.retained_bytes <= new.appended_bytes, "{new:?}");
        // Each record takes 8 bytes here, and whole segments are retained.
        assert_eq!(new.appended_bytes, new.appended_records * 8, "{new:?}");
        assert_eq!(new.retained_bytes, new.retained_records() * 8, "{new:?}");
        assert!(new.aborted_records <= new.appended_records);
        assert!(new.rolls - new.retired_segments < 3, "{new:?}");
    }
    for consumer in &now.consumers {
        for row in &consumer.partitions {
            let order = [row.log_start, row.position, row.position_max, row.log_end];
            assert!(order.is_sorted(), "{row:?}");
            assert_eq!(
                (row.lag, row.lead),
                (row.log_end - row.position, row.position - row.log_start)
            );
            let log = &now.topics[0].partitions[row.partition as usize];
            assert_eq!((row.log_start, row.log_end), (log.log_start, log.log_end));
        }
    }
    let pairs = before.consumers.iter().zip(&now.consumers);
    assert!(pairs.into_iter().all(|(old, new)| old.lost <= new.lost));
    for row in now.groups.iter().flat_map(|g| &g.partitions) {
        assert!(
            row.committed
                .is_none_or(|committed| committed <= row.log_end),
            "{row:?}"
        );
    }
}

#[test]
fn snapshots_are_consistent_beside_running_threads_under_backpressure() {
    check_snapshots(Overflow::Backpressure);
}

#[test]
fn snapshots_are_consistent_beside_running_threads_under_drop_oldest() {
    check_snapshots(Overflow::DropOldest);
}
