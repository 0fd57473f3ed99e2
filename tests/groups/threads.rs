//! Members on threads of their own that come and go while producers run.

use super::common::conditions::wait_until;
use super::common::{TOPIC, make};
use ringlog::{
    Assignor, Broker, ConsumeError, Consumer, ConsumerConfig, CooperativeStickyAssignor, Overflow,
    RangeAssignor, Record, RoundRobinAssignor, StickyAssignor, TopicConfig,
};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const PARTITIONS: u32 = 5;

const RECORDS: u64 = 40_000;

/// The handled offsets of each partition, in the order of their handling. The lock stands for an
/// external system, which would notice two members that handle one partition at once.
#[derive(Default)]
struct Handled(Mutex<BTreeMap<u32, Vec<u64>>>);

/// Starts the group: from now on it holds back what it has not read.
fn start_group(broker: &Broker, config: &ConsumerConfig) {
    let mut first = broker.consumer(config.clone()).unwrap();
    first.subscribe([TOPIC]).unwrap();
    assert!(first.try_poll().unwrap().is_empty());
    assert_eq!(first.assignment().len(), PARTITIONS as usize);
}

/// Reads for some polls as one member, handles each batch at once, and leaves.
fn read(broker: &Broker, config: ConsumerConfig, polls: u64, handled: &Handled, left: &AtomicU64) {
    let mut member = broker.consumer(config).unwrap();
    member.subscribe([TOPIC]).unwrap();
    for poll in 0..polls {
        let batch = member.poll(Duration::from_millis(1)).unwrap();
        assert_eq!(batch.lost(), 0);
        let mut handled = handled.0.lock().unwrap();
        if let Some(partition) = batch.partition() {
            let done = handled.entry(partition).or_default();
            done.extend(batch.iter().map(|record| record.offset()));
        }
        left.fetch_sub(batch.len() as u64, Relaxed);
        drop(handled);
        if poll % 7 == 0 {
            thread::yield_now();
        }
    }
    // Every record that was read was handled, so it is committed before the member leaves.
    member.commit().unwrap();
}

fn come_and_go(assignor: impl Assignor + Clone + 'static, overflow: Overflow) {
    let config = TopicConfig::new().partitions(PARTITIONS).overflow(overflow);
    let config = match overflow {
        Overflow::Backpressure => config.segments(3).segment_records(64),
        Overflow::DropOldest => config.segments(4).segment_records(16 * 1024),
    };
    let (broker, topic) = make(config);
    let config = ConsumerConfig::new()
        .group("g")
        .assignor(assignor)
        .max_poll_interval(Duration::ZERO)
        .max_poll_records(50);
    start_group(&broker, &config);
    let (handled, left) = (Handled::default(), AtomicU64::new(RECORDS));
    thread::scope(|scope| {
        for first in 0..2 {
            let mut producer = topic.producer();
            scope.spawn(move || {
                for n in (first..RECORDS).step_by(2) {
                    let partition = (n / 2 % u64::from(PARTITIONS)) as u32;
                    let value = n.to_ne_bytes();
                    producer
                        .send(Record::new(&value).partition(partition))
                        .unwrap();
                }
            });
        }
        for worker in 1..4u64 {
            let (broker, config, handled, left) = (&broker, &config, &handled, &left);
            scope.spawn(move || {
                let mut round = 0;
                while left.load(Relaxed) > 0 {
                    round += 1;
                    let polls = 20 + (worker * 31 + round * 17) % 90;
                    read(broker, config.clone(), polls, handled, left);
                }
            });
        }
    });
    let handled = handled.0.into_inner().unwrap();
    for partition in 0..PARTITIONS {
        let end = topic.log_end_offset(partition).unwrap();
        let offsets = &handled[&partition];
        assert!(
            offsets.iter().copied().eq(0..end),
            "partition {partition}: not each of {end} once and in order"
        );
    }
}

#[test]
fn each_record_is_handled_once_and_in_order_while_members_come_and_go() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        come_and_go(CooperativeStickyAssignor, overflow);
        come_and_go(StickyAssignor, overflow);
        come_and_go(RangeAssignor, overflow);
        come_and_go(RoundRobinAssignor, overflow);
    }
}

/// The clock of the next test. It only passes while a member sleeps over its batch.
static MILLISECONDS: AtomicU64 = AtomicU64::new(0);

/// Stops polling until the other members, which poll, have expelled this one.
fn sleep_until_expelled(broker: &Broker, member: &Consumer) {
    let id = member.member_id().unwrap();
    wait_until("a member that sleeps is expelled", || {
        MILLISECONDS.fetch_add(5, Relaxed);
        let group = broker.describe_group("g").unwrap();
        group.members.iter().all(|other| other.id != id)
    });
}

/// Members that stop polling are expelled while they handle a batch: uncommitted records are
/// handled again, and none is left out.
#[test]
fn what_an_expelled_member_committed_is_not_handled_again_and_nothing_is_left_out() {
    let (broker, topic) = make(
        TopicConfig::new()
            .partitions(PARTITIONS)
            .segments(3)
            .segment_records(64),
    );
    let config = ConsumerConfig::new()
        .group("g")
        .auto_commit(false)
        .max_poll_interval(Duration::from_millis(100))
        .clock(|| Duration::from_millis(MILLISECONDS.load(Relaxed)))
        .max_poll_records(40);
    start_group(&broker, &config);
    // The highest acknowledged commit of each partition.
    let committed = Mutex::new(BTreeMap::<u32, u64>::new());
    let seen = Mutex::new(BTreeMap::<u32, Vec<u64>>::new());
    let expelled = AtomicU64::new(0);
    // Held by the one that sleeps: the others poll.
    let asleep = Mutex::new(());
    let total = RECORDS / 4;
    let done = || {
        let committed = committed.lock().unwrap();
        (0..PARTITIONS)
            .map(|p| committed.get(&p).copied().unwrap_or(0))
            .sum::<u64>()
            == total
    };
    thread::scope(|scope| {
        let mut producer = topic.producer();
        scope.spawn(move || {
            for n in 0..total {
                let partition = (n % u64::from(PARTITIONS)) as u32;
                producer
                    .send(Record::new(b"x").partition(partition))
                    .unwrap();
            }
        });
        for worker in 0..3u64 {
            let (broker, config, done) = (&broker, &config, &done);
            let (committed, seen, expelled) = (&committed, &seen, &expelled);
            let asleep = &asleep;
            scope.spawn(move || {
                let mut member = broker.consumer(config.clone()).unwrap();
                member.subscribe([TOPIC]).unwrap();
                let mut batches = 0;
                while !done() {
                    let (partition, offsets) = match member.poll(Duration::from_millis(1)) {
                        Ok(batch) if batch.is_empty() => continue,
                        Ok(batch) => {
                            assert_eq!(batch.lost(), 0);
                            let offsets = batch.iter().map(|r| r.offset()).collect::<Vec<_>>();
                            (batch.partition().unwrap(), offsets)
                        }
                        Err(ConsumeError::Fenced { .. }) => continue,
                        Err(other) => panic!("{other}"),
                    };
                    batches += 1;
                    if batches % 40 == 10 * worker {
                        if let Ok(_alone) = asleep.try_lock() {
                            sleep_until_expelled(broker, &member);
                        }
                    }
                    // While this member records its commit, no other member can.
                    let mut committed = committed.lock().unwrap();
                    match member.commit() {
                        Ok(()) => {
                            let before = committed.entry(partition).or_insert(0);
                            assert_eq!(offsets[0], *before, "committed before, or left out");
                            *before = offsets[offsets.len() - 1] + 1;
                            let mut seen = seen.lock().unwrap();
                            seen.entry(partition).or_default().extend(offsets);
                        }
                        Err(ConsumeError::Fenced { .. }) => {
                            expelled.fetch_add(1, Relaxed);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
    });
    assert!(expelled.into_inner() > 0, "no member was expelled");
    let seen = seen.into_inner().unwrap();
    for (partition, offsets) in seen {
        let end = topic.log_end_offset(partition).unwrap();
        assert!(offsets.into_iter().eq(0..end));
    }
}
