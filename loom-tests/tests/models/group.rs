//! Members of a group: what they commit, and how partitions go from one to another.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Broker, ConsumeError, Consumer, ConsumerConfig, FenceReason, Overflow, Record};

fn config() -> ConsumerConfig {
    ConsumerConfig::new().group("g").max_poll_records(1)
}

fn member(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config);
    consumer.subscribe(&["t"]).unwrap();
    consumer
}

/// What one poll reads: the partition, the offset, and what was lost before it.
fn read_one(consumer: &mut Consumer) -> Option<(u32, u64, u64)> {
    let batch = consumer.try_poll().unwrap();
    let record = batch.iter().next()?;
    Some((batch.partition(), record.offset(), batch.lost()))
}

fn is_fenced<T>(result: &Result<T, ConsumeError>) -> bool {
    let reason = FenceReason::InstanceId;
    matches!(result, Err(ConsumeError::Fenced { reason: r, .. }) if *r == reason)
}

/// P14: a commit that counts is where the next owner begins, and one that does not changes
/// nothing.
#[test]
fn a_commit_counts_for_the_next_owner_or_is_fenced() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = topic.producer();
        send_all(&mut producer, 0..2);
        let config = config().instance_id("i").auto_commit(false);
        let mut a = member(&broker, config.clone());
        assert_eq!(read_one(&mut a), Some((0, 0, 0)));
        let owner = thread::spawn(move || {
            let committed = a.commit();
            assert!(committed.is_ok() || is_fenced(&committed), "{committed:?}");
            committed.is_ok()
        });
        let next = thread::spawn(move || {
            let mut b = member(&broker, config); // takes the name, and so the place
            read_one(&mut b).unwrap().1
        });
        let (counts, begins) = (owner.join().unwrap(), next.join().unwrap());
        assert_eq!(begins, u64::from(counts));
        saw.saw(counts);
    });
    outcomes.are([false, true]);
}

/// P14: of two commits at once both count, or none.
#[test]
fn commits_of_two_partitions_count_both_or_not_at_all() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest).partitions(2));
        let mut producer = topic.producer();
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
        saw.saw(counts);
    });
    outcomes.are([false, true]);
}

/// P14, P5: what a fenced member has read, and its group has not committed, is not overwritten,
/// though it moves its gate on at that moment.
#[test]
fn a_fenced_member_gives_nothing_up_that_the_next_owner_reads() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore_to(1, move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure).segments(3));
        let mut producer = topic.producer();
        send_all(&mut producer, 0..3);
        let config = config().instance_id("i");
        let mut a = member(&broker, config.clone());
        for offset in 0..2 {
            assert_eq!(read_one(&mut a), Some((0, offset, 0)));
        }
        let owner = thread::spawn(move || {
            // Commits that it has read the second, and its gate may go to the third.
            let read = a.try_poll().map(|batch| batch.len());
            assert!(read.is_ok() || is_fenced(&read), "{read:?}");
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
        saw.saw((sent, begins));
    });
    outcomes.include([(0, 1), (0, 2), (2, 2)]);
}

/// A member that comes gets a partition of the one that was there: each record is read by one of
/// them, and once.
#[test]
fn at_a_handover_nothing_is_read_twice_or_skipped() {
    let outcomes = Outcomes::new();
    for pace in PACES {
        let saw = outcomes.clone();
        explore(move || {
            let (broker, topic) = topic(small(Overflow::DropOldest).partitions(2));
            let mut producer = topic.producer();
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
                    if let Pace::GivingWay = pace {
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
            saw.saw((of_a.len(), of_b.len()));
            let mut all: Vec<_> = of_a.into_iter().chain(of_b).collect();
            for _ in 0..4 {
                all.extend(read_one(&mut a));
                all.extend(read_one(&mut b));
            }
            assert!(all.iter().all(|&(_, _, lost)| lost == 0));
            all.sort_unstable();
            let read: Vec<_> = all.iter().map(|&(p, offset, _)| (p, offset)).collect();
            // The first of one of the partitions was read before.
            let there = [(0, 0), (0, 1), (1, 0), (1, 1)];
            assert!(
                read == there[1..] || read == [(0, 0), (0, 1), (1, 1)],
                "{read:?}"
            );
            assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
        });
    }
    outcomes.include([(1, 0), (1, 2), (2, 0), (2, 1)]);
}
