//! A thread that stops for ever, before any one of its atomic steps: who goes on.
//!
//! The stopped thread's work is run once to count its steps, and then once for each of them:
//! before that step, others do all they want to do, in its place, as if it were not there. What
//! waits for it takes more steps than there can be, and fails. Afterwards the stopped thread
//! wakes up, very late, and does the rest; the log must be right then as well.
//!
//! The outcome is the table of `docs/verification.md`, which is compared with what is found.

use crate::common::*;
use ringlog_loom::sites_loom::{At, Step, stop, trace};
use ringlog_loom::{
    Broker, Consumer, Destination, ExclusiveProducer, Overflow, Producer, Record, SendError, Topic,
    TopicConfig,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Five laps of a ring of two segments of two records.
const SENDS: u64 = 20;

/// What others do meanwhile takes fewer steps than this, or waits.
const MOST_STEPS: usize = 10_000;

/// Everybody but the stopped one, and what they know of the log.
struct Others {
    /// Two, or none beside an exclusive producer.
    producers: Vec<Producer>,
    reader: Consumer,
    topic: Topic,
    log: Rc<RefCell<Log>>,
}

#[derive(Default)]
struct Log {
    /// What was sent to each offset.
    sent: BTreeMap<u64, u64>,
    next: u64,
    /// The offsets that the stopped one claimed.
    claimed: BTreeSet<u64>,
}

impl Log {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// How the others fared while one was stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Outcome {
    /// Sends that succeeded, of [`SENDS`]. The others found the ring full.
    sent: u64,
    /// The reader came to the end of the log.
    read_all: bool,
    /// The first offset that was claimed and not published.
    gap: Option<u64>,
    lost: u64,
}

impl Others {
    fn new(broker: &Broker, topic: &Topic, producers: usize, log: &Rc<RefCell<Log>>) -> Others {
        Others {
            producers: (0..producers).map(|_| topic.producer()).collect(),
            reader: reader(broker),
            topic: topic.clone(),
            log: log.clone(),
        }
    }

    /// Sends one record, if there is room.
    fn send(&mut self, turn: u64) -> bool {
        let n = self.log.borrow_mut().number();
        let producers = self.producers.len();
        let producer = &mut self.producers[turn as usize % producers];
        match producer.try_send(Record::new(&value(n))) {
            Ok(sent) => {
                let before = self.log.borrow_mut().sent.insert(sent.offset, n);
                assert_eq!(before, None, "an offset twice");
                true
            }
            Err(SendError::Full { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    /// Reads all there is; every record is the one that was sent. What was lost.
    fn read(&mut self) -> u64 {
        let mut next = self.reader.position("t", 0).unwrap();
        let mut all_lost = 0;
        loop {
            let batch = self.reader.try_poll().unwrap();
            if batch.is_empty() {
                return all_lost;
            }
            // A reader that keeps up loses only what lies behind a claim that it stood before.
            assert!(batch.lost() == 0 || !self.log.borrow().sent.contains_key(&next));
            next += batch.lost();
            all_lost += batch.lost();
            for record in &batch {
                // Only a claim that was given up leaves an offset without a record.
                let gone =
                    (next..record.offset()).filter(|o| self.log.borrow().sent.contains_key(o));
                assert_eq!(gone.count(), 0);
                if let Some(&n) = self.log.borrow().sent.get(&record.offset()) {
                    assert_eq!(number(record.value()), n);
                }
                next = record.offset() + 1;
            }
        }
    }

    fn sends(&self) -> u64 {
        if self.producers.is_empty() { 0 } else { SENDS }
    }

    /// Sends and reads five laps of the ring.
    fn go_on(&mut self) -> Outcome {
        let (outcome, _) = trace(MOST_STEPS, || {
            let (mut sent, mut lost) = (0, self.read());
            for turn in 0..self.sends() {
                sent += u64::from(self.send(turn));
                lost += self.read();
            }
            let position = self.reader.position("t", 0).unwrap();
            let end = self.topic.log_end_offset(0).unwrap();
            Outcome {
                sent,
                read_all: position == end,
                gap: (position < end).then_some(position),
                lost,
            }
        });
        outcome
    }
}

impl Others {
    /// Nobody is stopped any more: everybody goes on for five laps, and no segment is lost.
    fn all_is_well(&mut self) {
        self.read();
        let outcome = self.go_on();
        assert_eq!(
            (outcome.sent, outcome.read_all, outcome.lost),
            (self.sends(), true, 0)
        );
        self.topic.assert_no_segment_is_lost();
    }
}

/// What is stopped: how the log is before, and what it does.
struct Case<V: 'static> {
    name: &'static str,
    /// How many other producers there are.
    others: usize,
    victim: fn(&Broker, &Topic) -> V,
    before: fn(&mut Others, &mut V),
    work: fn(V, &Rc<RefCell<Log>>),
}

/// The steps of a case, and for each of them how the others fared when it was stopped before it.
fn stop_at_each<V: 'static>(overflow: Overflow, case: &'static Case<V>) -> Vec<(Step, Outcome)> {
    stop_at_each_in(log(overflow), case)
}

fn log(overflow: Overflow) -> TopicConfig {
    // Two records fill it by their bytes: so the end that its sealer owes is not to be seen by
    // the count of its slots.
    small(overflow).segment_records(3)
}

fn stop_at_each_in<V: 'static>(
    config: TopicConfig,
    case: &'static Case<V>,
) -> Vec<(Step, Outcome)> {
    let set_up = move || {
        let (broker, topic) = topic(config.clone());
        let log = Rc::default();
        let mut others = Others::new(&broker, &topic, case.others, &log);
        let mut victim = (case.victim)(&broker, &topic);
        (case.before)(&mut others, &mut victim);
        (others, victim, log)
    };
    let first = set_up.clone();
    let steps = once(move || {
        let (_others, victim, log) = first();
        trace(MOST_STEPS, || (case.work)(victim, &log)).1
    });
    assert!(!steps.is_empty(), "{}: no steps", case.name);
    let outcome = |number| {
        let set_up = set_up.clone();
        once(move || {
            let (mut others, victim, log) = set_up();
            let result = Rc::new(RefCell::new(None));
            let (meanwhile, back) = (result.clone(), Rc::new(RefCell::new(None)));
            let give_back = back.clone();
            let others_go_on = move || {
                *meanwhile.borrow_mut() = Some(others.go_on());
                *give_back.borrow_mut() = Some(others);
            };
            let ((), stopped) = stop(At::Step(number), others_go_on, || (case.work)(victim, &log));
            assert!(stopped);
            let mut others: Others = back.borrow_mut().take().unwrap();
            let outcome = result.borrow_mut().take().unwrap();
            let its_own = |gap: u64| others.log.borrow().claimed.contains(&gap);
            assert!(outcome.gap.is_none_or(its_own));
            others.all_is_well();
            outcome
        })
    };
    let outcomes: Vec<_> = (0..steps.len()).map(outcome).collect();
    steps.into_iter().zip(outcomes).collect()
}

/// One execution: a single thread has only one.
fn once<R: Send + 'static>(model: impl Fn() -> R + Send + Sync + 'static) -> R {
    let result = Arc::new(Mutex::new(None));
    let out = result.clone();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.check(move || {
        let before = out.lock().unwrap().replace(model());
        assert!(before.is_none(), "one thread, and more than one execution");
    });
    report_sites();
    result.lock().unwrap().take().unwrap()
}

// ---- who is stopped ---------------------------------------------------------------------

fn fill(others: &mut Others, records: u64) {
    for turn in 0..records {
        assert!(others.send(turn));
        others.read();
    }
}

fn producer(_: &Broker, topic: &Topic) -> Producer {
    topic.producer()
}

fn send(mut producer: Producer, log: &Rc<RefCell<Log>>) {
    let n = log.borrow_mut().number();
    if let Ok(sent) = producer.try_send(Record::new(&value(n))) {
        log.borrow_mut().sent.insert(sent.offset, n);
        log.borrow_mut().claimed.insert(sent.offset);
    }
    // The handle's end is not part of the work: see `topic_inner.rs`.
    std::mem::forget(producer);
}

static APPEND: Case<Producer> = Case {
    name: "`send`, with room in the segment",
    others: 2,
    victim: producer,
    before: |others, _| fill(others, 1),
    work: send,
};

static ROLL: Case<Producer> = Case {
    name: "`send` that seals and rolls",
    others: 2,
    victim: producer,
    before: |others, _| fill(others, 2),
    work: send,
};

static REUSE: Case<Producer> = Case {
    name: "`send` that seals, retires, reuses and rolls",
    others: 2,
    victim: producer,
    before: |others, _| fill(others, 4),
    work: send,
};

static ABORT: Case<Producer> = Case {
    name: "`claim`, dropped",
    others: 2,
    victim: producer,
    before: |others, _| fill(others, 1),
    work: |mut producer, log| {
        let claim = producer.claim(Destination::Any, None, 16).unwrap();
        log.borrow_mut().claimed.insert(claim.metadata().offset);
        drop(claim);
        std::mem::forget(producer);
    },
};

static EXCLUSIVE: Case<ExclusiveProducer> = Case {
    name: "exclusive `send`s that claim, seal, retire, reuse and roll",
    others: 0,
    victim: |_, topic| topic.exclusive_producer().unwrap(),
    before: |others, producer| {
        for _ in 0..3 {
            exclusive_send(producer, &others.log);
        }
        others.read();
    },
    work: |mut producer, log| {
        for _ in 0..2 {
            exclusive_send(&mut producer, log);
        }
        std::mem::forget(producer);
    },
};

fn exclusive_send(producer: &mut ExclusiveProducer, log: &Rc<RefCell<Log>>) {
    let n = log.borrow_mut().number();
    let offset = producer.send(Record::new(&value(n))).unwrap().offset;
    log.borrow_mut().sent.insert(offset, n);
    log.borrow_mut().claimed.insert(offset);
}

/// A consumer that is there already.
fn consumer(broker: &Broker, _: &Topic) -> Consumer {
    reader(broker)
}

static JOIN: Case<Consumer> = Case {
    name: "a consumer that subscribes",
    others: 2,
    victim: |broker, _| broker.consumer(ringlog_loom::ConsumerConfig::new()),
    before: |others, _| fill(others, 3),
    work: |mut consumer, _| {
        consumer.subscribe(&["t"]).unwrap();
        drop(consumer);
    },
};

static POLL: Case<Consumer> = Case {
    name: "a consumer that polls, holds and moves to the next segment",
    others: 2,
    victim: consumer,
    before: |others, _| fill(others, 3),
    work: |mut consumer, _| {
        for _ in 0..3 {
            let batch = consumer.try_poll().unwrap();
            assert!(batch.iter().all(|record| number(record.value()) > 0));
        }
        drop(consumer);
    },
};

static SEEK: Case<Consumer> = Case {
    name: "a consumer that seeks and polls",
    others: 2,
    victim: consumer,
    before: |others, _| fill(others, 3),
    work: |mut consumer, _| {
        consumer.seek("t", 0, 2).unwrap();
        let batch = consumer.try_poll().unwrap();
        assert!(batch.iter().all(|record| record.offset() >= 2));
        drop(batch);
        drop(consumer);
    },
};

static LEAVE: Case<Consumer> = Case {
    name: "a consumer that leaves",
    others: 2,
    victim: consumer,
    before: |others, consumer| {
        fill(others, 1);
        assert!(!consumer.try_poll().unwrap().is_empty());
        fill(others, 2);
    },
    work: |consumer, _| drop(consumer),
};

static LOOKUP: Case<Topic> = Case {
    name: "a lookup by time",
    others: 2,
    victim: |_, topic| topic.clone(),
    before: |others, _| fill(others, 3),
    work: |topic, _| assert_eq!(topic.offset_for_time(0, 0), Ok(None)),
};

static RETAIN: Case<Topic> = Case {
    name: "retention that is applied",
    others: 2,
    victim: |_, topic| topic.clone(),
    before: |others, _| fill(others, 3),
    work: |topic, _| {
        topic.apply_retention();
        assert!(topic.log_start_offset(0).unwrap() > 0);
    },
};

// ---- what must be, and the table --------------------------------------------------------

/// Whether a claim is held and not published, before each of the steps.
fn claimed(steps: &[(Step, Outcome)]) -> Vec<bool> {
    let mut held = false;
    let step = |(i, (step, _)): (usize, &(Step, Outcome))| {
        let before = held;
        match step.site {
            Some("segment.claim_alone") => held = true,
            // Of several tries the last before the frame's end is the one that claims.
            Some("segment.claim") => {
                let later = steps[i + 1..].iter().filter_map(|(s, _)| s.site);
                held = later
                    .take_while(|&s| s != "segment.publish")
                    .all(|s| s != "segment.claim");
            }
            Some("segment.publish") => held = false,
            _ => {}
        }
        before
    };
    steps.iter().enumerate().map(step).collect()
}

/// The steps before which a consumer is on the readers' list.
fn listed(steps: &[(Step, Outcome)], before: bool) -> Range<usize> {
    let replaced = |(step, _): &(Step, Outcome)| step.site == Some("readers.replace");
    let joins = if before {
        Some(0)
    } else {
        steps.iter().position(replaced)
    };
    let leaves = steps.iter().rposition(replaced);
    match (joins, leaves) {
        (Some(first), Some(last)) => (if before { 0 } else { first + 1 })..last + 1,
        _ => panic!("a consumer that is never on the list"),
    }
}

fn check_producer(overflow: Overflow, name: &str, others: usize, steps: &[(Step, Outcome)]) {
    let claimed = claimed(steps);
    assert!(claimed.contains(&true));
    let sends = if others == 0 { 0 } else { SENDS };
    for (i, (step, outcome)) in steps.iter().enumerate() {
        let at = format!("{overflow:?}, {name}, step {i}: {step:?}: {outcome:?}");
        if overflow == Overflow::DropOldest && others > 0 {
            // The gap goes with its segment, and what was behind it is lost.
            assert!(outcome.sent == sends && outcome.read_all, "{at}");
            assert_eq!(outcome.lost > 0, claimed[i], "{at}");
        } else {
            assert_eq!(outcome.lost, 0, "{at}");
            assert_eq!(outcome.gap.is_some(), claimed[i], "{at}");
            // With a gap the reader stands, and the others go on until the ring is full.
            assert_eq!(outcome.sent == SENDS, !claimed[i] && others > 0, "{at}");
            assert_eq!(outcome.sent > 0, others > 0, "{at}");
        }
    }
}

fn check_consumer(overflow: Overflow, name: &str, there: bool, steps: &[(Step, Outcome)]) {
    let listed = listed(steps, there);
    for (i, (step, outcome)) in steps.iter().enumerate() {
        let at = format!("{overflow:?}, {name}, step {i}: {step:?}: {outcome:?}");
        // Other readers get everything, whatever this one does.
        assert!(outcome.read_all && outcome.lost == 0, "{at}");
        let gated = overflow == Overflow::Backpressure && listed.contains(&i);
        assert_eq!(outcome.sent < SENDS, gated, "{at}");
        assert!(outcome.sent > 0, "{at}");
    }
}

fn check_bystander(overflow: Overflow, name: &str, steps: &[(Step, Outcome)]) {
    for (i, (step, outcome)) in steps.iter().enumerate() {
        let at = format!("{overflow:?}, {name}, step {i}: {step:?}: {outcome:?}");
        let all = (outcome.sent, outcome.read_all, outcome.lost);
        assert_eq!(all, (SENDS, true, 0), "{at}");
    }
}

/// One row for each run of steps with the same outcome.
fn rows(
    table: &mut String,
    overflow: Overflow,
    name: &str,
    others: usize,
    steps: &[(Step, Outcome)],
) {
    let mut first = 0;
    while first < steps.len() {
        let fate = fate(others, &steps[first].1);
        let run = steps[first..]
            .iter()
            .take_while(|(_, o)| self::fate(others, o) == fate);
        let last = first + run.count();
        let mut sites: Vec<String> = Vec::new();
        for site in steps[first..last].iter().filter_map(|(step, _)| step.site) {
            let site = format!("`{site}`");
            if !sites.contains(&site) {
                sites.push(site);
            }
        }
        let sites = sites.join(", ");
        let (producers, readers) = fate;
        let first_step = first + 1;
        let _ = writeln!(
            table,
            "| `{overflow:?}` | {name} | {first_step} to {last}: {sites} | {producers} | {readers} |",
        );
        first = last;
    }
}

/// How others fared, in words.
fn fate(others: usize, outcome: &Outcome) -> (&'static str, &'static str) {
    let producers = match outcome.sent {
        _ if others == 0 => "there are none",
        SENDS => "go on",
        _ => "go on until the ring is full",
    };
    let readers = match (outcome.gap, outcome.lost) {
        (None, 0) => "read everything",
        (None, _) => {
            "read everything before the claim, and on from the log start when that is past it"
        }
        (Some(_), _) => "read everything before the claim",
    };
    (producers, readers)
}

/// P1 to P11: see the head of this file.
#[test]
fn who_stops_at_any_step_stops_only_whom_the_design_says() {
    let mut table = String::from(
        "| policy | who is stopped | before steps | other producers | other readers |\n\
         |---|---|---|---|---|\n",
    );
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        for case in [&APPEND, &ROLL, &REUSE, &ABORT] {
            let steps = stop_at_each(overflow, case);
            check_producer(overflow, case.name, case.others, &steps);
            rows(&mut table, overflow, case.name, case.others, &steps);
        }
        let steps = stop_at_each(overflow, &EXCLUSIVE);
        check_producer(overflow, EXCLUSIVE.name, 0, &steps);
        rows(&mut table, overflow, EXCLUSIVE.name, 0, &steps);
        for (case, there) in [(&JOIN, false), (&POLL, true), (&SEEK, true), (&LEAVE, true)] {
            let steps = stop_at_each(overflow, case);
            check_consumer(overflow, case.name, there, &steps);
            rows(&mut table, overflow, case.name, case.others, &steps);
        }
        let steps = stop_at_each(overflow, &LOOKUP);
        check_bystander(overflow, LOOKUP.name, &steps);
        rows(&mut table, overflow, LOOKUP.name, LOOKUP.others, &steps);
        let config = log(overflow).retention(Duration::ZERO);
        let steps = stop_at_each_in(config, &RETAIN);
        check_bystander(overflow, RETAIN.name, &steps);
        rows(&mut table, overflow, RETAIN.name, RETAIN.others, &steps);
    }
    if std::env::var_os("RINGLOG_WEAKEN").is_some() {
        return; // the table is of the steps as they are
    }
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verification.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    assert!(
        docs.contains(&table),
        "docs/verification.md should have this table of what was found:\n\n{table}"
    );
}

/// S1, S2, T2, T4: two producers that go on side by side behind one that stopped anywhere in a
/// roll, and it when it wakes up, each get an offset of their own.
#[test]
fn two_go_on_at_once_behind_one_that_stopped_in_a_roll() {
    let set_up = || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut stops = topic.producer();
        send_all(&mut stops, 0..2);
        (broker, topic, stops)
    };
    let steps = once(move || {
        let (_broker, _topic, stops) = set_up();
        trace(MOST_STEPS, || send(stops, &Rc::default())).1.len()
    });
    assert!(steps > 30);
    let outcomes = Outcomes::new();
    for number in 0..steps {
        let saw = outcomes.clone();
        explore_to(1, move || {
            let (broker, topic, mut stops) = set_up();
            let others = [3, 4].map(|n| (topic.producer(), n));
            let sent = Rc::new(RefCell::new(Vec::new()));
            let out = sent.clone();
            let go_on = move || {
                let others = others.map(|(mut producer, n)| {
                    loom::thread::spawn(move || {
                        let offset = producer.send(Record::new(&value(n))).unwrap().offset;
                        (offset, n)
                    })
                });
                out.borrow_mut()
                    .extend(others.map(|other| other.join().unwrap()));
            };
            let (last, stopped) = stop(At::Step(number), go_on, || {
                stops.send(Record::new(&value(2))).unwrap().offset
            });
            assert!(stopped);
            let mut sent = sent.borrow().clone();
            saw.saw(last);
            sent.push((last, 2));
            sent.sort_unstable();
            assert!(sent.iter().map(|&(offset, _)| offset).eq(2..5), "{sent:?}");
            // Two are retained, if the last one sent is not among them.
            let (seen, _) = drain(&mut reader(&broker));
            assert_eq!(seen, sent[1..]);
        });
    }
    outcomes.are([2, 4]);
}

/// Two that have stopped, each before any of its steps, are not waited for either: one spare
/// segment a handle is enough.
#[test]
fn two_that_stop_stop_nobody_else() {
    pairs(Overflow::DropOldest, &REUSE, &REUSE);
    pairs(Overflow::Backpressure, &REUSE, &REUSE);
    pairs(Overflow::DropOldest, &REUSE, &POLL);
    pairs(Overflow::DropOldest, &POLL, &REUSE);
    pairs(Overflow::Backpressure, &LOOKUP, &REUSE);
}

/// Stops the first before each of its steps, and then the second before each of its own.
fn pairs<A, B>(overflow: Overflow, first: &'static Case<A>, second: &'static Case<B>) {
    let set_up = move || {
        let (broker, topic) = topic(log(overflow));
        let log = Rc::default();
        // One more producer, so that no spare is idle that nobody can come to need.
        let mut others = Others::new(&broker, &topic, 1, &log);
        let mut a = (first.victim)(&broker, &topic);
        let mut b = (second.victim)(&broker, &topic);
        (first.before)(&mut others, &mut a);
        (second.before)(&mut others, &mut b);
        (others, a, b, log)
    };
    let steps = once(move || {
        let (_others, a, b, log) = set_up();
        let a = trace(MOST_STEPS, || (first.work)(a, &log)).1.len();
        let b = trace(MOST_STEPS, || (second.work)(b, &log)).1.len();
        (a, b)
    });
    for (i, j) in (0..steps.0).flat_map(|i| (0..steps.1).map(move |j| (i, j))) {
        once(move || {
            let (others, a, b, log) = set_up();
            let back = Rc::new(RefCell::new(None));
            let (give_back, later) = (back.clone(), log.clone());
            let second_stops = move || {
                let others = Rc::new(RefCell::new(others));
                let going = others.clone();
                let go_on = move || {
                    let outcome = going.borrow_mut().go_on();
                    let all = outcome.sent == SENDS;
                    assert!(all || overflow == Overflow::Backpressure && outcome.gap.is_some());
                };
                // With the first one stopped it may have fewer steps, and not come to stop.
                stop(At::Step(j), go_on, || (second.work)(b, &later));
                *give_back.borrow_mut() = Some(others);
            };
            let ((), stopped) = stop(At::Step(i), second_stops, || (first.work)(a, &log));
            assert!(stopped);
            let others = back.borrow_mut().take().unwrap();
            others.borrow_mut().all_is_well();
        });
    }
}
