//! Ending a poll from another thread.

use crate::common::*;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use ringlog_loom::{ConsumeError, Overflow, Record};
use std::sync::Arc;

/// P12: a wake-up ends one poll, with or without records, and the woken consumer sees what the
/// caller did before `wakeup`.
#[test]
fn a_wakeup_ends_one_poll_and_brings_what_was_done_before_it() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut consumer = reader(&broker);
        let mut producer = producer(&topic);
        let written = Arc::new(AtomicU64::new(0));
        let (handle, writes) = (consumer.wakeup_handle(), written.clone());
        let p = thread::spawn(move || producer.send(Record::new(&value(7))).map(|_| ()));
        let w = thread::spawn(move || {
            writes.store(1, Ordering::Relaxed);
            handle.wakeup();
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let mut polls = Vec::new();
            for _ in 0..2 {
                polls.push(match consumer.try_poll() {
                    Ok(batch) => Some(batch.len()),
                    Err(ConsumeError::Wakeup) => {
                        assert_eq!(written.load(Ordering::Relaxed), 1);
                        None
                    }
                    Err(other) => panic!("{other}"),
                });
            }
            observed.add(polls.clone());
            (consumer, polls)
        });
        p.join().unwrap().unwrap();
        w.join().unwrap();
        let (mut consumer, polls) = c.join().unwrap();
        // It gets what it has not seen yet now: in all one record and one wake-up.
        let later = consumer.try_poll().map(|batch| batch.len());
        let woken = polls.iter().filter(|poll| poll.is_none()).count();
        match later {
            Err(ConsumeError::Wakeup) => assert_eq!(woken, 0),
            _ => assert_eq!(woken, 1),
        }
        let read = polls.iter().flatten().sum::<usize>() + later.unwrap_or(0);
        assert_eq!(read + drain(&mut consumer).0.len(), 1);
    });
    outcomes.are([
        vec![None, Some(0)],
        vec![None, Some(1)],
        vec![Some(0), None],
        vec![Some(0), Some(0)],
        vec![Some(0), Some(1)],
        vec![Some(1), None],
        vec![Some(1), Some(0)],
    ]);
}
