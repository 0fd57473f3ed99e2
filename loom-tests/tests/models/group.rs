//! Members of a group: their commits, and the hand-over of partitions.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Broker, ConsumeError, Consumer, ConsumerConfig, FenceReason, Overflow, Record};

fn config() -> ConsumerConfig {
    ConsumerConfig::new().group("g").max_poll_records(1)
}

fn member(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

/// Polls one record: its partition and offset, and the number of records lost before it.
fn read_one(consumer: &mut Consumer) -> Option<(u32, u64, u64)> {
    let batch = consumer.try_poll().unwrap();
    let record = batch.iter().next()?;
    Some((batch.partition().unwrap(), record.offset(), batch.lost()))
}

fn is_fenced_off<T>(result: &Result<T, ConsumeError>) -> bool {
    let reason = FenceReason::InstanceId;
    matches!(result, Err(ConsumeError::Fenced { reason: r, .. }) if *r == reason)
}

/// P14: the next owner begins at a commit that returned `Ok`. A commit that was fenced off has
/// changed nothing.
#[test]
fn a_commit_counts_for_the_next_owner_or_is_fenced_off() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = producer(&topic);
        send_all(&mut producer, 0..2);
        let config = config().instance_id("i").auto_commit(false);
        let mut a = member(&broker, config.clone());
        assert_eq!(read_one(&mut a), Some((0, 0, 0)));
        let owner = thread::spawn(move || {
            let committed = a.commit();
            assert!(
                committed.is_ok() || is_fenced_off(&committed),
                "{committed:?}"
            );
            committed.is_ok()
        });
        let next = thread::spawn(move || {
            let mut b = member(&broker, config); // takes over the instance id
            read_one(&mut b).unwrap().1
        });
        let (counts, begins) = (owner.join().unwrap(), next.join().unwrap());
        assert_eq!(begins, u64::from(counts));
        observed.add(counts);
    });
    outcomes.are([false, true]);
}

/// P14: a commit of two partitions counts for both, or for neither.
#[test]
fn a_commit_of_two_partitions_counts_for_both_or_neither() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest).partitions(2));
        let mut producer = producer(&topic);
        for p in 0..2 {
            let value = value(p.into());
            producer.send(Record::new(&value).partition(p)).unwrap();
        }
        let config = config().instance_id("i").auto_commit(false);
        let mut a = member(&broker, config.clone());
        for _ in 0..2 {
            assert!(read_one(&mut a).is_some());
        }
        let owner = thread::spawn(move || a.commit().is_ok());
        let b = broker.clone();
        let next = thread::spawn(move || drop(member(&b, config)));
        let counts = owner.join().unwrap();
        next.join().unwrap();
        let group = broker.describe_group("g").unwrap();
        for partition in group.partitions {
            assert_eq!(partition.committed, counts.then_some(1));
        }
        observed.add(counts);
    });
    outcomes.are([false, true]);
}

/// P14, P5: records that a fenced-off member has read and its group has not committed are not
/// overwritten, although the member moves its gate on at that moment.
#[test]
fn a_fenced_off_member_gives_up_nothing_that_the_next_owner_reads() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure).segments(3));
        let mut producer = producer(&topic);
        send_all(&mut producer, 0..3);
        let config = config().instance_id("i");
        let mut a = member(&broker, config.clone());
        for offset in 0..2 {
            assert_eq!(read_one(&mut a), Some((0, offset, 0)));
        }
        let owner = thread::spawn(move || {
            // Commits that it has read the first two, so its gate may move to the third.
            let read = a.try_poll().map(|batch| batch.len());
            assert!(read.is_ok() || is_fenced_off(&read), "{read:?}");
        });
        let writer = thread::spawn(move || {
            let mut sent = 0;
            for n in 3..5 {
                sent += u64::from(producer.try_send(Record::new(&value(n))).is_ok());
            }
            sent
        });
        let next = thread::spawn(move || member(&broker, config));
        owner.join().unwrap();
        let (sent, mut b) = (writer.join().unwrap(), next.join().unwrap());
        let (_, begins, lost) = read_one(&mut b).unwrap();
        assert_eq!(lost, 0, "overwritten");
        observed.add((sent, begins));
    });
    outcomes.include([(0, 1), (0, 2), (2, 2)]);
}

/// A member that joins takes over a partition of the first member. Each record is read once, by one
/// of the two.
#[test]
fn at_a_handover_nothing_is_read_twice_or_skipped() {
    let outcomes = Outcomes::new();
    for polling in Polling::BOTH {
        let observed = outcomes.clone();
        explore(move || {
            let (broker, topic) = topic(small(Overflow::DropOldest).partitions(2));
            let mut producer = producer(&topic);
            for n in 0..4 {
                let record = value(n);
                let record = Record::new(&record).partition((n % 2) as u32);
                producer.send(record).unwrap();
            }
            let mut a = member(&broker, config());
            assert!(read_one(&mut a).is_some());
            let read = move |consumer: &mut Consumer, times| {
                let mut seen = Vec::new();
                for _ in 0..times {
                    seen.extend(read_one(consumer));
                    if let Polling::Yielding = polling {
                        thread::yield_now();
                    }
                }
                seen
            };
            let old = thread::spawn(move || {
                let seen = read(&mut a, 2);
                (a, seen)
            });
            let new = thread::spawn(move || {
                let mut b = member(&broker, config());
                let seen = read(&mut b, 2);
                (b, seen)
            });
            let (mut a, of_a) = old.join().unwrap();
            let (mut b, of_b) = new.join().unwrap();
            observed.add((of_a.len(), of_b.len()));
            let mut all: Vec<_> = of_a.into_iter().chain(of_b).collect();
            for _ in 0..4 {
                all.extend(read_one(&mut a));
                all.extend(read_one(&mut b));
            }
            assert!(all.iter().all(|&(_, _, lost)| lost == 0));
            all.sort_unstable();
            let read: Vec<_> = all.iter().map(|&(p, offset, _)| (p, offset)).collect();
            // The first member has read the first record of one partition before.
            let all_records = [(0, 0), (0, 1), (1, 0), (1, 1)];
            assert!(
                read == all_records[1..] || read == [(0, 0), (0, 1), (1, 1)],
                "{read:?}"
            );
            assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
        });
    }
    outcomes.include([(1, 0), (1, 2), (2, 0), (2, 1)]);
}
