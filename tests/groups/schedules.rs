//! Random schedules of a group's members, in one thread and with a clock of its own.
//!
//! Members join, leave, stall, come back, seek and commit, and are dropped. After every step, all
//! guarantees of a group are checked.

mod simulation;

use proptest::prelude::*;
use proptest::sample::select;
use ringlog::{
    CooperativeStickyAssignor, HoldBack, Overflow, RangeAssignor, RoundRobinAssignor,
    StickyAssignor,
};
use simulation::{Evenness, INTERVAL, Op, Setup, Simulation};

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

fn op() -> impl Strategy<Value = Op> {
    let member = 0..6usize;
    let name = prop_oneof![3 => Just(None), 1 => (0..2u8).prop_map(Some)];
    // Most read everything; a few only one of the topics.
    let topics = prop_oneof![3 => Just(None), 1 => (0..2usize).prop_map(Some)];
    prop_oneof![
        30 => member.clone().prop_map(Op::Poll),
        12 => (any::<u8>(), 1..9u8).prop_map(|(at, n)| Op::Send(at, n)),
        4 => (name, topics.clone()).prop_map(|(name, topics)| Op::Join(name, topics)),
        2 => member.clone().prop_map(Op::Drop),
        1 => member.clone().prop_map(Op::Unsubscribe),
        2 => (member.clone(), topics).prop_map(|(member, topics)| Op::Subscribe(member, topics)),
        5 => member.clone().prop_map(Op::Commit),
        5 => (member.clone(), any::<u8>(), any::<u8>())
            .prop_map(|(member, at, to)| Op::CommitOffset(member, at, to)),
        6 => (member.clone(), any::<u8>(), any::<u8>())
            .prop_map(|(member, at, to)| Op::Seek(member, at, to)),
        1 => (member, any::<u8>()).prop_map(|(member, at)| Op::Pause(member, at)),
        4 => (1..INTERVAL).prop_map(Op::PassTime),
        2 => Just(Op::Settle),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 1..80)
}

macro_rules! schedules {
    ($name:ident, $assignor:expr, $evenness:expr) => {
        proptest! {
            #![proptest_config(ProptestConfig {
                cases: 384,
                failure_persistence: None,
                ..ProptestConfig::default()
            })]

            #[test]
            fn $name(setup in setup(), ops in ops()) {
                Simulation::new(setup, || $assignor, $evenness).run(&ops);
            }
        }
    };
}

schedules!(
    nothing_is_read_twice_or_skipped_with_range,
    RangeAssignor,
    Evenness::InEachTopic
);
schedules!(
    nothing_is_read_twice_or_skipped_with_round_robin,
    RoundRobinAssignor,
    Evenness::Overall
);
schedules!(
    nothing_is_read_twice_or_skipped_with_sticky,
    StickyAssignor,
    Evenness::Overall
);
schedules!(
    nothing_is_read_twice_or_skipped_with_cooperative_sticky,
    CooperativeStickyAssignor,
    Evenness::Overall
);
