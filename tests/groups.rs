//! Random schedules of a group's members, in one thread and a clock of its own: they join, leave,
//! stall, die, come back, seek and commit, and after every step everything that a group promises
//! is looked at.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "groups/world.rs"]
mod world;

use proptest::prelude::*;
use proptest::sample::select;
use ringlog::{
    CooperativeStickyAssignor, HoldBack, Overflow, RangeAssignor, RoundRobinAssignor,
    StickyAssignor,
};
use world::{INTERVAL, Op, Rules, Setup, World};

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
    let who = 0..6usize;
    let name = prop_oneof![3 => Just(None), 1 => (0..2u8).prop_map(Some)];
    // Most read everything; a few only one of the topics.
    let topics = prop_oneof![3 => Just(None), 1 => (0..2usize).prop_map(Some)];
    prop_oneof![
        30 => who.clone().prop_map(Op::Poll),
        12 => (any::<u8>(), 1..9u8).prop_map(|(at, n)| Op::Send(at, n)),
        4 => (name, topics.clone()).prop_map(|(name, topics)| Op::Join(name, topics)),
        2 => who.clone().prop_map(Op::Drop),
        1 => who.clone().prop_map(Op::Unsubscribe),
        2 => (who.clone(), topics).prop_map(|(who, topics)| Op::Subscribe(who, topics)),
        5 => who.clone().prop_map(Op::Commit),
        5 => (who.clone(), any::<u8>(), any::<u8>())
            .prop_map(|(who, at, to)| Op::CommitOffset(who, at, to)),
        6 => (who.clone(), any::<u8>(), any::<u8>())
            .prop_map(|(who, at, to)| Op::Seek(who, at, to)),
        1 => (who, any::<u8>()).prop_map(|(who, at)| Op::Pause(who, at)),
        4 => (1..INTERVAL).prop_map(Op::Pass),
        2 => Just(Op::Settle),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 1..80)
}

macro_rules! schedules {
    ($name:ident, $assignor:expr, $rules:expr) => {
        proptest! {
            #![proptest_config(ProptestConfig {
                cases: 384,
                failure_persistence: None,
                ..ProptestConfig::default()
            })]

            #[test]
            fn $name(setup in setup(), ops in ops()) {
                World::new(setup, || $assignor, $rules).run(&ops);
            }
        }
    };
}

schedules!(
    nothing_is_read_twice_or_skipped_with_range,
    RangeAssignor,
    Rules::EvenInEachTopic
);
schedules!(
    nothing_is_read_twice_or_skipped_with_round_robin,
    RoundRobinAssignor,
    Rules::Even
);
schedules!(
    nothing_is_read_twice_or_skipped_with_sticky,
    StickyAssignor,
    Rules::Even
);
schedules!(
    nothing_is_read_twice_or_skipped_with_cooperative_sticky,
    CooperativeStickyAssignor,
    Rules::Even
);
