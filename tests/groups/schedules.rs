//! Random schedules of a group's members, in one thread and with a clock of its own.
//!
//! Members join, leave, stall, come back early and late, wait as tasks, seek, pause and commit, and
//! are dropped. Topics grow, lose records and are closed. After every step, all guarantees of a
//! group are checked, and each assignment against what its assignor promises.

mod simulation;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use ringlog::{
    CooperativeStickyAssignor, HoldBack, Overflow, RangeAssignor, RoundRobinAssignor,
    StickyAssignor,
};
use simulation::{
    BatchCommit, Evenness, INTERVAL, Joining, Leave, Op, Promise, Seek, Setup, Simulation,
};

fn setup() -> impl Strategy<Value = Setup> {
    (
        proptest::collection::vec(1..6u32, 1..3),
        select(vec![Overflow::Backpressure, Overflow::DropOldest]),
        any::<bool>(),
        select(vec![HoldBack::Committed, HoldBack::Read]),
    )
        .prop_map(|(partitions, overflow, auto_commit, hold_back)| Setup {
            partitions,
            overflow,
            auto_commit,
            hold_back,
        })
}

fn joining() -> impl Strategy<Value = Joining> {
    let name = prop_oneof![2 => Just(None), 1 => (0..2u8).prop_map(Some)];
    let patient = prop_oneof![3 => Just(false), 1 => Just(true)];
    (name, topic(), patient).prop_map(|(name, topic, patient)| Joining {
        name,
        topic,
        patient,
    })
}

/// Most read everything; a few only one of the topics.
fn topic() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![3 => Just(None), 1 => (0..2usize).prop_map(Some)]
}

fn seek() -> impl Strategy<Value = Seek> {
    prop_oneof![
        3 => any::<u8>().prop_map(Seek::To),
        1 => any::<u8>().prop_map(Seek::PastEnd),
        1 => Just(Seek::Beginning),
        1 => Just(Seek::End),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(to, before)| Seek::Time(to, before)),
    ]
}

fn poll() -> impl Strategy<Value = Op> {
    let member = 0..6usize;
    let commit = prop_oneof![
        3 => Just(BatchCommit::Nothing),
        1 => Just(BatchCommit::All),
        1 => any::<u8>().prop_map(BatchCommit::Through),
    ];
    prop_oneof![
        2 => (member.clone(), commit).prop_map(|(member, commit)| Op::Poll(member, commit)),
        1 => (member, any::<bool>()).prop_map(|(member, kept)| Op::PollTask(member, kept)),
    ]
}

fn topic_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        24 => (any::<u8>(), 1..9u8).prop_map(|(at, n)| Op::Send(at, n)),
        5 => (any::<u8>(), any::<u8>()).prop_map(|(at, to)| Op::DeleteRecords(at, to)),
        2 => (0..2usize).prop_map(Op::AddPartition),
        1 => (0..2usize).prop_map(Op::Close),
    ]
}

fn position_op() -> impl Strategy<Value = Op> {
    let member = 0..6usize;
    prop_oneof![
        5 => member.clone().prop_map(Op::Commit),
        5 => (member.clone(), any::<u8>(), any::<u8>())
            .prop_map(|(member, at, to)| Op::CommitOffset(member, at, to)),
        8 => (member.clone(), any::<u8>(), seek())
            .prop_map(|(member, at, to)| Op::Seek(member, at, to)),
        4 => (member, any::<u8>(), any::<bool>())
            .prop_map(|(member, at, on)| Op::SetPaused(member, at, on)),
    ]
}

fn member_op() -> impl Strategy<Value = Op> {
    let member = 0..6usize;
    let leave = || select(vec![Leave::Drop, Leave::Close, Leave::Unsubscribe]);
    prop_oneof![
        8 => joining().prop_map(Op::Join),
        6 => (member.clone(), leave()).prop_map(|(member, leave)| Op::Leave(member, leave)),
        2 => (member.clone(), leave(), any::<bool>())
            .prop_map(|(member, leave, late)| Op::Restart(member, leave, late)),
        4 => (member, topic()).prop_map(|(member, topic)| Op::Subscribe(member, topic)),
        8 => (1..INTERVAL).prop_map(Op::PassTime),
        1 => any::<u8>().prop_map(Op::Outlive),
        4 => Just(Op::Settle),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![30 => poll(), 15 => topic_op(), 17 => position_op(), 14 => member_op()]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 1..80)
}

macro_rules! schedules {
    ($name:ident, $assignor:expr, $evenness:expr, $sticky:expr) => {
        proptest! {
            #![proptest_config(ProptestConfig {
                cases: 384,
                failure_persistence: None,
                rng_seed: RngSeed::Fixed(1), // others: .ci/random-schedules
                ..ProptestConfig::default()
            })]

            #[test]
            fn $name(setup in setup(), ops in ops()) {
                let promise = Promise { evenness: $evenness, sticky: $sticky };
                Simulation::new(setup, || $assignor, promise).run(&ops);
            }
        }
    };
}

schedules!(
    nothing_is_read_twice_or_skipped_with_range,
    RangeAssignor,
    Evenness::InEachTopic,
    false
);
schedules!(
    nothing_is_read_twice_or_skipped_with_round_robin,
    RoundRobinAssignor,
    Evenness::Overall,
    false
);
schedules!(
    nothing_is_read_twice_or_skipped_with_sticky,
    StickyAssignor,
    Evenness::Overall,
    true
);
schedules!(
    nothing_is_read_twice_or_skipped_with_cooperative_sticky,
    CooperativeStickyAssignor,
    Evenness::Overall,
    true
);
