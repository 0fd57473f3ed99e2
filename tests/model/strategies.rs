//! Proptest strategies for setups and operations.

use super::model::ops::*;
use super::model::reference::SentRecord;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ringlog::{OffsetReset, Overflow, Timestamps};

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        vec(any::<u8>(), 1..4),
        vec(any::<u8>(), KEY)
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    // Mostly small; sometimes as large as a segment, or larger.
    prop_oneof![4 => vec(any::<u8>(), SMALL_VALUE), 1 => vec(any::<u8>(), LARGE_VALUE)]
}

fn sent() -> impl Strategy<Value = SentRecord> {
    let name = select(&HEADER_NAMES).prop_map(str::to_owned);
    let headers = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((name, option::of(vec(any::<u8>(), HEADER_VALUE))), HEADERS),
    ];
    // Seldom an invalid one.
    let time = prop_oneof![
        60 => Just(None),
        30 => (0..i64::MAX).prop_map(Some),
        1 => (i64::MIN..0).prop_map(Some),
    ];
    let full = (
        option::weighted(0.8, value()),
        option::of(key()),
        headers,
        time,
    );
    let full = full.prop_map(|(value, key, headers, time)| SentRecord {
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
    prop_oneof![full, value().prop_map(SentRecord::plain)]
}

/// Seldom out of range.
fn partition() -> impl Strategy<Value = u32> {
    prop_oneof![40 => 0..NO_PARTITION, 1 => NO_PARTITION..=u32::MAX]
}

fn to() -> impl Strategy<Value = Target> {
    prop_oneof![
        key().prop_map(Target::Key),
        partition().prop_map(Target::Partition),
        Just(Target::Any)
    ]
}

fn time() -> impl Strategy<Value = NearbyTime> {
    (any::<u8>(), -1..2i8).prop_map(|(share, by)| NearbyTime(share, by))
}

fn seek() -> impl Strategy<Value = Seek> {
    prop_oneof![
        4 => any::<u8>().prop_map(Seek::Retained),
        1 => Just(Seek::Below),
        1 => any::<u8>().prop_map(Seek::Above),
        1 => any::<u64>().prop_map(Seek::Offset),
        1 => Just(Seek::Beginning),
        1 => Just(Seek::End),
        1 => time().prop_map(Seek::NearbyTime),
    ]
}

fn batch() -> impl Strategy<Value = Vec<(SentRecord, Option<u32>)>> {
    let partition = || option::weighted(0.4, partition());
    let uniform = (UNIFORM_VALUE, UNIFORM, partition()).prop_map(|(length, count, partition)| {
        (0..count)
            .map(|i| (SentRecord::plain(vec![i as u8; length]), partition))
            .collect()
    });
    prop_oneof![vec((sent(), partition()), BATCH), uniform]
}

fn append() -> impl Strategy<Value = Op> {
    let partition = || option::weighted(0.4, partition());
    let length = prop_oneof![40 => CLAIM, 1 => HUGE_CLAIM];
    prop_oneof![
        8 => (sent(), partition(), any::<bool>()).prop_map(|(s, p, w)| Op::Send(s, p, w)),
        4 => (batch(), any::<bool>()).prop_map(|(b, w)| Op::Batch(b, w)),
        3 => (to(), prop_oneof![8 => 0..9usize, 1 => VALUES], any::<bool>())
            .prop_map(|(t, n, w)| Op::Values(t, n, w)),
        3 => (to(), option::of(key()), length, any::<bool>())
            .prop_map(|(t, k, n, p)| Op::Claim(t, k, n, p)),
    ]
}

fn group_op() -> impl Strategy<Value = GroupOp> {
    let member = || 0..MEMBERS;
    let reset = select(vec![OffsetReset::Earliest, OffsetReset::Latest]);
    let leave = select(vec![Leave::Drop, Leave::Close, Leave::Unsubscribe]);
    // Mostly one assignor, so that members share a group.
    let eager = prop_oneof![5 => Just(false), 2 => Just(true)];
    prop_oneof![
        6 => (member(), reset, eager).prop_map(|(m, r, e)| GroupOp::Join(m, r, e)),
        12 => member().prop_map(GroupOp::Poll),
        6 => Just(GroupOp::Round),
        2 => member().prop_map(GroupOp::Commit),
        3 => (member(), partition(), any::<u8>()).prop_map(|(m, p, s)| GroupOp::Seek(m, p, s)),
        2 => (member(), leave).prop_map(|(m, l)| GroupOp::Leave(m, l)),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let consumer = || 0..CONSUMERS;
    let held = prop_oneof![6 => Just(0), 1 => HELD];
    let reset = prop_oneof![
        2 => Just(OffsetReset::Earliest),
        2 => Just(OffsetReset::Latest),
        1 => Just(OffsetReset::None),
    ];
    prop_oneof![
        72 => append(),
        48 => (consumer(), any::<bool>(), held).prop_map(|(c, t, h)| Op::Poll(c, t, h)),
        16 => (consumer(), any::<bool>()).prop_map(|(c, kept)| Op::PollTask(c, kept)),
        8 => (consumer(), partition(), seek()).prop_map(|(c, p, s)| Op::Seek(c, p, s)),
        4 => (consumer(), partition(), any::<bool>())
            .prop_map(|(c, p, on)| Op::SetPaused(c, p, on)),
        4 => (consumer(), reset).prop_map(|(c, r)| Op::Join(c, r)),
        3 => consumer().prop_map(Op::Leave),
        2 => consumer().prop_map(Op::Subscribe),
        2 => (consumer(), vec(partition(), ASSIGNED)).prop_map(|(c, p)| Op::Assign(c, p)),
        2 => consumer().prop_map(Op::Unsubscribe),
        2 => consumer().prop_map(Op::Wakeup),
        6 => (partition(), time()).prop_map(|(p, t)| Op::LookUpTime(p, t)),
        1 => any::<bool>().prop_map(Op::ReplaceProducer),
        4 => Just(Op::ApplyRetention),
        3 => (partition(), seek()).prop_map(|(p, s)| Op::Delete(p, s)),
        1 => TOTAL.prop_map(Op::AddPartitions),
        1 => any::<bool>().prop_map(Op::Recreate),
        30 => group_op().prop_map(Op::Group),
    ]
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let overflow = prop_oneof![Just(Overflow::Backpressure), Just(Overflow::DropOldest)];
    let timestamps = prop_oneof![Just(Timestamps::Append), Just(Timestamps::Given)];
    let measures = (PARTITIONS, SEGMENTS, SEGMENT_RECORDS, SEGMENT_BYTES);
    // Mostly a partition begins at segment and offset 0.
    let left = (
        option::weighted(0.1, SEGMENTS_LEFT),
        option::weighted(0.1, OFFSETS_LEFT),
    );
    let retention = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Retention::ForNoTime)),
        1 => Just(Some(Retention::ForAnHour)),
        2 => RETENTION_BYTES.prop_map(|bytes| Some(Retention::Bytes(bytes))),
    ];
    (overflow, timestamps, measures, MAX_POLL, left, retention).prop_map(
        |(overflow, timestamps, measures, max_poll, left, retention)| Setup {
            overflow,
            retention,
            timestamps,
            partitions: measures.0,
            segments: measures.1,
            segment_records: measures.2,
            segment_bytes: measures.3,
            max_poll,
            segments_left: left.0,
            offsets_left: left.1,
        },
    )
}
