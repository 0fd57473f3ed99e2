//! The gathering producers: buffers that threads share, and tickets.

use crate::common::*;
use loom::thread;
use ringlog_loom::{GatheringConfig, Overflow, Record, TopicConfig};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A segment holds a frame of two records.
fn config() -> TopicConfig {
    small(Overflow::DropOldest).segment_bytes(64)
}

fn by_two() -> GatheringConfig {
    GatheringConfig::new()
        .linger(Duration::MAX)
        .batch_records(2)
}

/// Two threads gather and flush by one handle. Each record goes into the log once: in one frame with
/// the other thread's or in a frame of its own. A flush leaves nothing behind that was gathered before it.
#[test]
fn threads_that_gather_together_send_each_record_once() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(config());
        let handle = topic.shared_producer().gathering(by_two());
        let calls = [1, 2].map(|n| {
            let handle = handle.clone();
            thread::spawn(move || {
                let ticket = handle.send_with_ticket(Record::new(&value(n))).unwrap();
                let full = ticket.get().is_some();
                handle.flush().unwrap();
                (full, ticket.get().expect("flushed").unwrap().offset)
            })
        });
        let sent = calls.map(|call| call.join().unwrap());
        assert_eq!(handle.gathered(), 0);
        let seen = drain(&mut reader(&broker)).0;
        let mut expected = [(sent[0].1, 1), (sent[1].1, 2)];
        expected.sort_unstable();
        assert_eq!(seen, expected);
        assert!(seen.iter().map(|&(offset, _)| offset).eq(0..2));
        observed.add((sent[0].0 || sent[1].0, sent[0].1));
    });
    // Together, by the second record that fills the frame, or apart; in either order.
    outcomes.are([(false, 0), (false, 1), (true, 0), (true, 1)]);
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A task that finds its ticket open is woken, whenever the record is sent meanwhile.
#[test]
fn a_ticket_that_was_open_wakes_its_task() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (_broker, topic) = topic(config());
        let mut producer = topic.producer().gathering(by_two());
        let ticket = producer.send_with_ticket(Record::new(&value(1))).unwrap();
        let flush = thread::spawn(move || producer.flush().unwrap());
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        let mut ticket = pin!(ticket);
        let polled = ticket.as_mut().poll(&mut Context::from_waker(&waker));
        flush.join().unwrap();
        let woken = flag.0.load(Ordering::Relaxed);
        assert!(polled.is_ready() || woken, "a wake-up was lost");
        let again = ticket.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(again, Poll::Ready(Ok(sent)) if sent.offset == 0));
        observed.add((polled.is_ready(), woken));
    });
    outcomes.include([(true, false), (false, true)]);
}
