//! Ending a poll from another thread.

use crate::common::*;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use ringlog_loom::{ConsumeError, Overflow, Record};
use std::sync::Arc;

/// P12: a wake-up ends one poll, whether there are records or not, and who is woken up sees what
/// was done before the call.
#[test]
fn a_wakeup_ends_one_poll_and_brings_what_was_done_before_it() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut consumer = reader(&broker);
        let mut producer = topic.producer();
        let told = Arc::new(AtomicU64::new(0));
        let (handle, tells) = (consumer.wakeup_handle(), told.clone());
        let p = thread::spawn(move || producer.send(Record::new(&value(7))).map(|_| ()));
        let w = thread::spawn(move || {
            tells.store(1, Ordering::Relaxed);
            handle.wakeup();
        });
        let saw = saw.clone();
        let c = thread::spawn(move || {
            let mut polls = Vec::new();
            for _ in 0..2 {
                polls.push(match consumer.try_poll() {
                    Ok(batch) => Some(batch.len()),
                    Err(ConsumeError::Wakeup) => {
                        assert_eq!(told.load(Ordering::Relaxed), 1);
                        None
                    }
                    Err(other) => panic!("{other}"),
                });
            }
            saw.saw(polls.clone());
            (consumer, polls)
        });
        p.join().unwrap().unwrap();
        w.join().unwrap();
        let (mut consumer, polls) = c.join().unwrap();
        // What it missed it gets now: one record, and one wake-up.
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
