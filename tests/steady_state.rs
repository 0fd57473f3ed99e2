//! After the warm-up, sending and polling make no allocation and no system call.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(unsafe_code)] // a counting allocator, and a seccomp filter
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{make, subscribed};
use ringlog::{
    BatchError, BatchMetadata, Consumer, ConsumerConfig, Destination, ExclusiveProducer,
    FrameMetadata, GatheringConfig, HoldBack, Overflow, Producer, Record, RecordMetadata,
    SendError, TopicConfig,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

thread_local! {
    /// Calls to the allocator by this thread, so that tests that run in parallel do not mix.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static FREES: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that is ending has no counter any more, and no test reads it.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = FREES.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `GlobalAlloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Both kinds of producer behind one interface.
trait Sends {
    fn one(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError>;
    fn batch<'a>(&'a mut self, all: &'a [Record<'a>]) -> Result<BatchMetadata<'a>, BatchError>;
    fn values(&mut self, route: Destination<'_>, all: &[u64]) -> Result<FrameMetadata, SendError>;
    fn claimed(&mut self, value: &[u8]) -> Result<RecordMetadata, SendError>;
}

macro_rules! sends {
    ($kind:ty) => {
        impl Sends for $kind {
            fn one(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
                self.send(record)
            }
            fn batch<'a>(
                &'a mut self,
                all: &'a [Record<'a>],
            ) -> Result<BatchMetadata<'a>, BatchError> {
                self.send_batch(all)
            }
            fn values(
                &mut self,
                route: Destination<'_>,
                all: &[u64],
            ) -> Result<FrameMetadata, SendError> {
                self.send_values(route, all)
            }
            fn claimed(&mut self, value: &[u8]) -> Result<RecordMetadata, SendError> {
                let mut claim = self.claim(Destination::Any, Some(b"key"), value.len())?;
                claim.copy_from_slice(value);
                Ok(claim.publish())
            }
        }
    };
}

sends!(Producer);
sends!(ExclusiveProducer);

/// Reads every record there is, and looks at each of its parts.
fn read_all(consumer: &mut Consumer) -> u64 {
    let mut records = 0;
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return records;
        }
        assert_eq!(batch.lost(), 0);
        for record in &batch {
            black_box((record.value_bytes(), record.key(), record.timestamp()));
        }
        if let Ok(values) = batch.values::<u64>() {
            black_box(values.count());
        }
        records += batch.len() as u64;
    }
}

/// Sends with every call and reads everything, `rounds` times. Returns how many records were sent
/// and read: 290 a round, 130 of them sent one by one.
fn rounds(sender: &mut impl Sends, consumer: &mut Consumer, rounds: u64) -> (u64, u64) {
    let value = [7u8; 40];
    let plain = [Record::new(&value); 50];
    let mut mixed = [Record::new(&value); 30];
    for (i, record) in mixed.iter_mut().enumerate().skip(1).step_by(2) {
        *record = record.key(&value[..i % 9]).timestamp(i as i64);
    }
    let values = [9u64; 80];
    let (mut sent, mut read) = (0, 0);
    for round in 0..rounds {
        for i in 0..60u64 {
            sender
                .one(Record::new(&value[..(i % 41) as usize]))
                .unwrap();
            let key = (round ^ i).to_le_bytes();
            sender.one(Record::new(&value).key(&key)).unwrap();
        }
        for _ in 0..10 {
            sender.claimed(&value).unwrap();
        }
        for metadata in &sender.batch(&plain).unwrap() {
            black_box(metadata);
        }
        sent += 130 + plain.len() as u64;
        sent += sender.batch(&mixed).unwrap().len() as u64;
        sent += sender.values(Destination::Any, &values).unwrap().records;
        read += read_all(consumer);
    }
    (sent, read)
}

fn config(overflow: Overflow) -> TopicConfig {
    // Small segments: the loop wraps the ring many times.
    TopicConfig::new()
        .partitions(3)
        .segments(3)
        .segment_records(700)
        .segment_bytes(64 * 1024)
        .overflow(overflow)
        .prefault(true)
}

/// 17,500 rounds are five million records, more than two million of them single sends.
fn no_allocation(sender: &mut impl Sends, consumer: &mut Consumer) {
    rounds(sender, consumer, 1_000);
    let before = ALLOCATIONS.get();
    let (sent, read) = rounds(sender, consumer, 17_500);
    assert_eq!(
        ALLOCATIONS.get() - before,
        0,
        "allocations in {sent} records"
    );
    assert!(sent >= 5_000_000, "{sent}");
    assert_eq!(sent, read);
}

/// One test in one thread: memory that a consumer on another thread leaves to epoch reclamation is
/// freed by any thread that passes by, which could be a producer of this test.
#[test]
fn ten_million_records_make_no_allocation_under_either_policy() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, topic) = make(config(overflow));
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        no_allocation(&mut topic.producer(), &mut consumer);
        let mut exclusive = topic.exclusive_producer().unwrap();
        no_allocation(&mut exclusive, &mut consumer);
    }
}

#[test]
fn a_consumer_of_many_partitions_makes_no_allocation_from_its_first_poll_on() {
    let (broker, topic) = make(config(Overflow::Backpressure).partitions(100).segments(2));
    let mut producer = topic.producer();
    rounds_of_one(&mut producer, None);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let before = ALLOCATIONS.get();
    assert_eq!(read_all(&mut consumer), 100);
    for _ in 0..1000 {
        rounds_of_one(&mut producer, Some(&mut consumer));
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

/// Sends a record to each of 100 partitions, and polls after each.
fn rounds_of_one(producer: &mut Producer, mut consumer: Option<&mut Consumer>) {
    for partition in 0..100 {
        producer
            .send(Record::new(b"value").partition(partition))
            .unwrap();
        if let Some(consumer) = &mut consumer {
            assert_eq!(consumer.try_poll().unwrap().len(), 1);
        }
    }
}

#[test]
fn a_group_member_makes_no_allocation() {
    for auto_commit in [true, false] {
        let (broker, topic) = make(config(Overflow::Backpressure));
        let read = ConsumerConfig::new().hold_back(HoldBack::Read);
        let read = read.group("g").auto_commit(auto_commit);
        let mut consumer = subscribed(&broker, read);
        assert_eq!(read_all(&mut consumer), 0);
        no_allocation(&mut topic.producer(), &mut consumer);
    }
}

#[test]
fn a_gathering_producer_makes_no_allocation_after_its_first_records() {
    let (broker, topic) = make(config(Overflow::Backpressure));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(GatheringConfig::new());
    let mut round = |number: u64| {
        for i in 0..200u64 {
            let key = (number ^ i).to_le_bytes();
            let value = &[7; 40][..(i % 41) as usize];
            producer.send(Record::new(value).key(&key)).unwrap();
        }
        producer.flush().unwrap();
        assert_eq!(read_all(&mut consumer), 200);
    };
    (0..100).for_each(&mut round);
    let before = ALLOCATIONS.get();
    (100..2000).for_each(&mut round);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

#[test]
fn the_allocation_counter_counts() {
    let before = (ALLOCATIONS.get(), FREES.get());
    drop(black_box(vec![1u8; 100]));
    assert_eq!(
        (ALLOCATIONS.get() - before.0, FREES.get() - before.1),
        (1, 1)
    );
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod system_calls {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    /// Set for a test that runs in a child process of its own.
    const CHILD: &str = "RINGLOG_TEST_CHILD";
    const DONE: i32 = 42;
    const NOT_PERMITTED: i32 = 43;

    fn child(test: &str) -> ExitStatus {
        let name = format!("system_calls::{test}");
        Command::new(std::env::current_exe().unwrap())
            .args([&name, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .status()
            .unwrap()
    }

    fn exit(code: i32) -> ! {
        // SAFETY: the call ends the process and takes no pointers.
        unsafe { libc::_exit(code) }
    }

    /// From now on, any system call of this thread except the allowed ones kills the process.
    fn allow_only_clock_reads() {
        const fn op(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
            libc::sock_filter {
                code: code as u16,
                jt,
                jf,
                k,
            }
        }
        let allowed = [
            libc::SYS_clock_gettime,
            libc::SYS_exit,
            libc::SYS_exit_group,
            // For the message of a panic.
            libc::SYS_write,
            libc::SYS_rt_sigreturn,
        ];
        // The first word of a filter's input is the number of the call.
        let mut filter = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
        for (i, call) in allowed.iter().enumerate() {
            // On a match, jump over the other comparisons and the kill.
            let to_allow = (allowed.len() - i) as u8;
            let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
            filter.push(op(equal, to_allow, 0, *call as u32));
        }
        let answer = libc::BPF_RET | libc::BPF_K;
        filter.push(op(answer, 0, 0, libc::SECCOMP_RET_KILL_PROCESS));
        filter.push(op(answer, 0, 0, libc::SECCOMP_RET_ALLOW));
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: the call takes no pointers.
        let no_new = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the program and its filter outlive the call.
        let set = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            )
        };
        // Never freed: freeing could make a system call.
        std::mem::forget(filter);
        if no_new != 0 || set != 0 {
            exit(NOT_PERMITTED);
        }
    }

    fn is_child() -> bool {
        std::env::var_os(CHILD).is_some()
    }

    fn skipped(status: ExitStatus) -> bool {
        let skipped = status.code() == Some(NOT_PERMITTED);
        if skipped {
            eprintln!("note: this system does not permit seccomp filters; not checked");
        }
        skipped
    }

    #[test]
    fn sending_and_polling_make_no_system_call() {
        if is_child() {
            let (broker, topic) = make(config(Overflow::Backpressure));
            let mut consumer = subscribed(&broker, ConsumerConfig::new());
            let mut lapping = make(config(Overflow::DropOldest));
            let mut lapped = subscribed(&lapping.0, ConsumerConfig::new());
            let grouped = make(config(Overflow::Backpressure));
            let mut member = subscribed(&grouped.0, ConsumerConfig::new().group("g"));
            assert_eq!(read_all(&mut member), 0);
            let mut for_group = grouped.1.producer();
            let mut producer = topic.producer();
            let mut exclusive = lapping.1.exclusive_producer().unwrap();
            rounds(&mut producer, &mut consumer, 100);
            rounds(&mut exclusive, &mut lapped, 100);
            rounds(&mut for_group, &mut member, 100);
            allow_only_clock_reads();
            let (sent, read) = rounds(&mut producer, &mut consumer, 2_000);
            let (more, others) = rounds(&mut exclusive, &mut lapped, 2_000);
            let (sent_on, read_on) = rounds(&mut for_group, &mut member, 2_000);
            let all = sent == read && more == others && sent_on == read_on;
            let all = all && sent + more > 1_000_000;
            black_box(&mut lapping);
            exit(if all { DONE } else { 1 });
        }
        let status = child("sending_and_polling_make_no_system_call");
        assert!(skipped(status) || status.code() == Some(DONE), "{status}");
    }

    /// Shows that the test above can fail.
    #[test]
    fn the_filter_kills_on_any_other_system_call() {
        if is_child() {
            allow_only_clock_reads();
            // SAFETY: the call takes no arguments and changes nothing.
            unsafe { libc::syscall(libc::SYS_getppid) };
            exit(DONE);
        }
        let status = child("the_filter_kills_on_any_other_system_call");
        assert!(
            skipped(status) || status.signal() == Some(libc::SIGSYS),
            "{status}"
        );
    }
}
