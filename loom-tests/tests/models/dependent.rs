//! Dependent readers: what an upstream publishes, and what a dependent makes of it.
//!
//! The upstream *handles* a record by writing a cell that loom checks, and the dependent reads the
//! cell once it has the record. Without an order between the two, loom reports a race.

use crate::common::*;
use loom::cell::UnsafeCell;
use loom::thread;
use ringlog_loom::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Overflow, TopicConfig, UpstreamError,
    WaitStrategy,
};
use std::sync::Arc;
use std::time::Duration;

/// A time limit that no model reaches.
const FOREVER: Duration = Duration::from_secs(100_000);

/// Whether a record was handled, by its offset.
struct Handled([UnsafeCell<bool>; 2]);

// SAFETY: loom checks every access.
#[allow(unsafe_code)]
unsafe impl Sync for Handled {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Handled {}

impl Handled {
    fn new() -> Arc<Handled> {
        Arc::new(Handled([UnsafeCell::new(false), UnsafeCell::new(false)]))
    }

    #[allow(unsafe_code)]
    fn handle(&self, offset: u64) {
        // SAFETY: loom reports an access beside this one.
        self.0[offset as usize].with_mut(|cell| unsafe { *cell = true });
    }

    #[allow(unsafe_code)]
    fn check(&self, offset: u64) {
        // SAFETY: as above.
        assert!(self.0[offset as usize].with(|cell| unsafe { *cell }));
    }
}

fn config() -> TopicConfig {
    small(Overflow::DropOldest)
}

fn member(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker
        .consumer(config.group("g").max_poll_records(1))
        .unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

fn dependent(broker: &Broker, config: ConsumerConfig) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

/// One poll, whose records are handled.
fn handle_one(upstream: &mut Consumer, handled: &Handled) {
    let batch = upstream.try_poll().unwrap();
    batch
        .iter()
        .for_each(|record| handled.handle(record.offset()));
}

/// Polls `polls` times: how many records there were. Each was handled.
fn check_all(dependent: &mut Consumer, polls: usize, handled: &Handled) -> u64 {
    let mut next = 0;
    for _ in 0..polls {
        let batch = dependent.try_poll().unwrap();
        for record in &batch {
            assert_eq!(record.offset(), next);
            handled.check(next);
            next += 1;
        }
    }
    next
}

/// P18: a dependent gets no record that its upstream has not handled, and what the upstream did
/// with it happened before.
#[test]
fn a_dependent_reads_only_what_its_upstream_has_handled() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(config());
        let mut upstream = broker
            .consumer(ConsumerConfig::new().max_poll_records(1))
            .unwrap();
        upstream.subscribe(["t"]).unwrap();
        let config = ConsumerConfig::new().read_after(&upstream.progress());
        let mut dependent = dependent(&broker, config);
        send_all(&mut producer(&topic), 0..2);
        let handled = Handled::new();
        let by_upstream = handled.clone();
        let u = thread::spawn(move || {
            (0..3).for_each(|_| handle_one(&mut upstream, &by_upstream));
            upstream
        });
        let d = thread::spawn(move || {
            let read = check_all(&mut dependent, 2, &handled);
            (dependent, read)
        });
        let _upstream = u.join().unwrap();
        let (mut dependent, read) = d.join().unwrap();
        // It has all of it in the end.
        assert_eq!(read + drain(&mut dependent).0.len() as u64, 2);
        observed.add(read);
    });
    outcomes.are([0, 1, 2]);
}

/// P18, P15: a dependent that sleeps is woken by what its upstream reads.
#[test]
fn a_dependent_that_sleeps_is_woken_by_its_upstream() {
    explore(|| {
        let (broker, topic) = topic(config().wait(WaitStrategy::Block));
        let mut upstream = reader(&broker);
        let config = ConsumerConfig::new().read_after(&upstream.progress());
        let mut dependent = dependent(&broker, config);
        send_all(&mut producer(&topic), 0..1);
        assert_eq!(upstream.try_poll().unwrap().len(), 1);
        let u = thread::spawn(move || {
            assert!(upstream.try_poll().unwrap().is_empty());
            upstream
        });
        let d = thread::spawn(move || {
            assert_eq!(dependent.poll(FOREVER).unwrap().len(), 1);
        });
        u.join().unwrap();
        d.join().unwrap();
    });
}

/// P18, P15: an upstream that is closed while its dependent sleeps, or is about to: the dependent
/// gets all that it has read, and then the error.
#[test]
fn a_dependent_gets_all_that_an_upstream_read_before_it_ended() {
    explore(|| {
        let (broker, topic) = topic(config().wait(WaitStrategy::Block));
        let mut upstream = reader(&broker);
        let config = ConsumerConfig::new().read_after(&upstream.progress());
        let mut dependent = dependent(&broker, config);
        send_all(&mut producer(&topic), 0..2);
        let handled = Handled::new();
        let by_upstream = handled.clone();
        let u = thread::spawn(move || {
            handle_one(&mut upstream, &by_upstream);
            upstream.close();
        });
        let d = thread::spawn(move || {
            let mut next = 0;
            let error = loop {
                match dependent.poll(FOREVER) {
                    Ok(batch) => {
                        for record in &batch {
                            handled.check(record.offset());
                            next += 1;
                        }
                    }
                    Err(error) => break error,
                }
            };
            assert_eq!(next, 2);
            let ended = ConsumeError::Upstream(UpstreamError::Ended {
                upstream: "consumer \"consumer-1\"".to_owned(),
                topic: "t".into(),
                partition: 0,
                position: 2,
            });
            assert_eq!(error, ended);
        });
        u.join().unwrap();
        d.join().unwrap();
    });
}

/// P18: what the owner of a group's partition commits counts as read, with all that it did before.
#[test]
fn a_dependent_reads_only_what_a_group_has_committed() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let (broker, topic) = topic(config());
        let mut owner = member(&broker, ConsumerConfig::new());
        let mut dependent = dependent(&broker, ConsumerConfig::new().read_after_group("g"));
        owner.try_poll().unwrap();
        send_all(&mut producer(&topic), 0..2);
        let handled = Handled::new();
        let by_owner = handled.clone();
        let o = thread::spawn(move || {
            (0..3).for_each(|_| handle_one(&mut owner, &by_owner));
            owner
        });
        let d = thread::spawn(move || {
            let read = check_all(&mut dependent, 2, &handled);
            (dependent, read)
        });
        drop(o.join().unwrap());
        let (mut dependent, read) = d.join().unwrap();
        assert_eq!(read + drain(&mut dependent).0.len() as u64, 2);
        observed.add(read);
    });
    outcomes.include([0, 2]);
}

/// P18: a dependent comes while an owner commits. Either thread publishes the commit, and what the
/// owner did before comes with it.
#[test]
fn a_commit_counts_for_a_dependent_that_comes_at_that_moment() {
    explore(|| {
        let (broker, topic) = topic(config());
        let mut owner = member(&broker, ConsumerConfig::new().auto_commit(false));
        send_all(&mut producer(&topic), 0..1);
        let handled = Handled::new();
        while owner.position(("t", 0)) != Ok(1) {
            owner.try_poll().unwrap();
        }
        let by_owner = handled.clone();
        let o = thread::spawn(move || {
            by_owner.handle(0);
            owner.commit().unwrap();
            owner
        });
        let d = thread::spawn(move || {
            let mut dependent = dependent(&broker, ConsumerConfig::new().read_after_group("g"));
            let read = check_all(&mut dependent, 1, &handled);
            (dependent, read)
        });
        let _owner = o.join().unwrap();
        let (mut dependent, read) = d.join().unwrap();
        assert_eq!(read + drain(&mut dependent).0.len() as u64, 1);
    });
}

/// P18: the same for the commit of a poll, which has no fence. If it misses the dependent, and the
/// dependent the commit, the next poll publishes it. (With a gate, the dependent's own hold needs no
/// fence any more.)
#[test]
fn a_polls_commit_counts_for_a_dependent_that_comes_at_that_moment() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut owner = member(&broker, ConsumerConfig::new());
        send_all(&mut producer(&topic), 0..1);
        let handled = Handled::new();
        while owner.position(("t", 0)) != Ok(1) {
            owner.try_poll().unwrap();
        }
        let by_owner = handled.clone();
        let o = thread::spawn(move || {
            by_owner.handle(0);
            assert!(owner.try_poll().unwrap().is_empty());
            owner
        });
        let d = thread::spawn(move || {
            let mut dependent = dependent(&broker, ConsumerConfig::new().read_after_group("g"));
            let read = check_all(&mut dependent, 1, &handled);
            (dependent, read)
        });
        let mut owner = o.join().unwrap();
        let (mut dependent, read) = d.join().unwrap();
        assert!(owner.try_poll().unwrap().is_empty());
        assert_eq!(read + drain(&mut dependent).0.len() as u64, 1);
        observed.add(read);
    });
    outcomes.are([0, 1]);
}

/// P18: what a consumer that is no member commits for its group counts, with all that it did before.
#[test]
fn a_dependent_reads_only_what_was_committed_for_a_group_without_members() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(config());
        send_all(&mut producer(&topic), 0..1);
        let mut dependent = dependent(&broker, ConsumerConfig::new().read_after_group("g"));
        let mut assigned = broker.consumer(ConsumerConfig::new().group("g")).unwrap();
        assigned.assign([("t", 0)]).unwrap();
        assert_eq!(assigned.try_poll().unwrap().len(), 1);
        let handled = Handled::new();
        let by_assigned = handled.clone();
        let a = thread::spawn(move || {
            by_assigned.handle(0);
            assigned.commit().unwrap();
            assigned
        });
        let d = thread::spawn(move || check_all(&mut dependent, 1, &handled));
        a.join().unwrap();
        observed.add(d.join().unwrap());
    });
    outcomes.are([0, 1]);
}

/// P18: the end of an upstream brings its last position.
#[test]
fn an_end_brings_the_last_position() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(config());
        let mut upstream = reader(&broker);
        let config = ConsumerConfig::new().read_after(&upstream.progress());
        let mut dependent = dependent(&broker, config);
        send_all(&mut producer(&topic), 0..1);
        assert_eq!(upstream.try_poll().unwrap().len(), 1);
        let u = thread::spawn(move || upstream.close());
        let d = thread::spawn(move || {
            let first = dependent.try_poll().map(|batch| batch.len());
            // It never ends before that.
            assert!(first.is_ok(), "{first:?}");
            first.unwrap_or_default()
        });
        u.join().unwrap();
        observed.add(d.join().unwrap());
    });
    outcomes.are([0, 1]);
}

/// P18, P14: what a fenced-off owner has committed in time counts, and nothing else; the thread
/// that fences it off publishes it.
#[test]
fn a_dependent_reads_nothing_that_a_fenced_off_owner_committed_too_late() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(config());
        let config = || ConsumerConfig::new().instance_id("i").auto_commit(false);
        let mut owner = member(&broker, config());
        send_all(&mut producer(&topic), 0..1);
        while owner.position(("t", 0)) != Ok(1) {
            owner.try_poll().unwrap();
        }
        let mut dependent = dependent(&broker, ConsumerConfig::new().read_after_group("g"));
        let handled = Handled::new();
        let by_owner = handled.clone();
        let o = thread::spawn(move || {
            by_owner.handle(0);
            owner.commit().is_ok()
        });
        let next = thread::spawn(move || {
            let next = member(&broker, config()); // takes over the instance id
            let read = check_all(&mut dependent, 1, &handled);
            (next, dependent, read)
        });
        let counts = o.join().unwrap();
        let (_next, mut dependent, read) = next.join().unwrap();
        let read = read + drain(&mut dependent).0.len() as u64;
        assert_eq!(read, u64::from(counts));
        observed.add(counts);
    });
    outcomes.are([false, true]);
}
