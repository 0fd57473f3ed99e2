//! The random operations.

use super::reference::Sent;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use ringlog::{Overflow, Timestamps};

#[derive(Clone, Debug)]
pub(crate) enum To {
    Key(Vec<u8>),
    Partition(u32),
    Any,
}

#[derive(Clone, Debug)]
pub(crate) enum Seek {
    /// To this share, in 1/256, of what is retained.
    Retained(u8),
    Below,
    Above(u8),
    Beginning,
    End,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Send(Sent, Option<u32>, bool),
    Batch(Vec<(Sent, Option<u32>)>, bool),
    Values(To, usize, bool),
    Claim(To, Option<Vec<u8>>, usize, bool),
    Poll(usize, bool),
    Seek(usize, usize, Seek),
    Join(usize, bool),
    Leave(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) overflow: Overflow,
    pub(crate) timestamps: Timestamps,
    pub(crate) partitions: u32,
    pub(crate) segments: u32,
    pub(crate) segment_records: u32,
    pub(crate) segment_bytes: usize,
    pub(crate) max_poll: u32,
}

pub(crate) const CONSUMERS: usize = 2;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        vec(any::<u8>(), 1..4),
        vec(any::<u8>(), 1..20)
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    // Mostly small; sometimes as large as a segment, or larger.
    prop_oneof![4 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 0..280)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let name = prop_oneof![Just("a"), Just("b"), Just("")].prop_map(str::to_owned);
    let headers = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((name, option::of(vec(any::<u8>(), 0..9))), 1..4),
    ];
    let time = option::weighted(0.3, 0..i64::MAX);
    let full = (
        option::weighted(0.8, value()),
        option::of(key()),
        headers,
        time,
    );
    let full = full.prop_map(|(value, key, headers, time)| Sent {
        // Only a record with a key can be a tombstone.
        key: if value.is_none() {
            Some(key.unwrap_or_default())
        } else {
            key
        },
        value,
        headers,
        time,
    });
    prop_oneof![full, value().prop_map(Sent::plain)]
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![
        key().prop_map(To::Key),
        (0..3u32).prop_map(To::Partition),
        Just(To::Any)
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let partition = || option::weighted(0.4, 0..3u32);
    let consumer = || 0..CONSUMERS;
    let uniform = (0..12usize, 0..10usize, partition()).prop_map(|(length, count, partition)| {
        (0..count)
            .map(|i| (Sent::plain(vec![i as u8; length]), partition))
            .collect()
    });
    let batch = prop_oneof![vec((sent(), partition()), 0..7), uniform];
    let seek = prop_oneof![
        4 => any::<u8>().prop_map(Seek::Retained),
        1 => Just(Seek::Below),
        1 => any::<u8>().prop_map(Seek::Above),
        1 => Just(Seek::Beginning),
        1 => Just(Seek::End),
    ];
    prop_oneof![
        8 => (sent(), partition(), any::<bool>()).prop_map(|(s, p, w)| Op::Send(s, p, w)),
        4 => (batch, any::<bool>()).prop_map(|(b, w)| Op::Batch(b, w)),
        3 => (to(), 0..9usize, any::<bool>()).prop_map(|(t, n, w)| Op::Values(t, n, w)),
        3 => (to(), option::of(key()), 0..40usize, any::<bool>())
            .prop_map(|(t, k, n, p)| Op::Claim(t, k, n, p)),
        12 => (consumer(), any::<bool>()).prop_map(|(c, t)| Op::Poll(c, t)),
        2 => (consumer(), 0..3usize, seek).prop_map(|(c, p, s)| Op::Seek(c, p, s)),
        1 => (consumer(), any::<bool>()).prop_map(|(c, e)| Op::Join(c, e)),
        1 => consumer().prop_map(Op::Leave),
    ]
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let overflow = prop_oneof![Just(Overflow::Backpressure), Just(Overflow::DropOldest)];
    let timestamps = prop_oneof![Just(Timestamps::Append), Just(Timestamps::Given)];
    (
        overflow,
        timestamps,
        1..4u32,
        2..5u32,
        1..9u32,
        64..280usize,
        1..10u32,
    )
        .prop_map(
            |(
                overflow,
                timestamps,
                partitions,
                segments,
                segment_records,
                segment_bytes,
                max_poll,
            )| {
                Setup {
                    overflow,
                    timestamps,
                    partitions,
                    segments,
                    segment_records,
                    segment_bytes,
                    max_poll,
                }
            },
        )
}
