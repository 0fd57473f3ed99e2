//! Open claims, which have an offset and are not published yet, and the readers around them.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod common;

use common::{TOPIC, make, subscribed};
use ringlog::{
    Consumer, ConsumerConfig, Destination, OffsetReset, Overflow, Producer, Record, TopicConfig,
};

fn config() -> TopicConfig {
    TopicConfig::new().segments(2).segment_records(8)
}

fn send(producer: &mut Producer, n: u8) -> u64 {
    producer.send(Record::new(&[n])).unwrap().offset
}

/// The offsets and values that one poll returns.
fn read(consumer: &mut Consumer) -> Vec<(u64, Vec<u8>)> {
    let batch = consumer.try_poll().unwrap();
    let records = batch.iter();
    records
        .map(|r| (r.offset(), r.value_bytes().to_vec()))
        .collect()
}

fn seek(consumer: &mut Consumer, offset: u64) -> Vec<(u64, Vec<u8>)> {
    consumer.seek((TOPIC, 0), offset).unwrap();
    read(consumer)
}

#[test]
fn a_reader_stops_at_an_open_claim_and_reads_on_once_it_is_published() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, topic) = make(config().overflow(overflow));
        let (mut slow, mut fast) = (topic.producer(), topic.producer());
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        send(&mut fast, 0);
        let mut claim = slow.claim(Destination::Any, None, 1).unwrap();
        send(&mut fast, 2);
        assert_eq!(read(&mut consumer), [(0, vec![0])]);
        assert_eq!(read(&mut consumer), []);
        assert_eq!(consumer.position((TOPIC, 0)).unwrap(), 1);
        assert_eq!(topic.log_end_offset(0).unwrap(), 3);
        claim[0] = 1;
        claim.publish();
        assert_eq!(read(&mut consumer), [(1, vec![1]), (2, vec![2])]);
    }
}

#[test]
fn a_seek_to_an_open_claim_waits_and_one_past_it_does_not() {
    let (broker, topic) = make(config());
    let (mut slow, mut fast) = (topic.producer(), topic.producer());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    send(&mut fast, 0);
    let mut claim = slow.claim(Destination::Any, None, 1).unwrap();
    for n in 2..5 {
        send(&mut fast, n);
    }
    assert_eq!(seek(&mut consumer, 0), [(0, vec![0])]);
    // To the claim: the frame before it shows that a frame begins there.
    assert_eq!(seek(&mut consumer, 1), []);
    // Past the claim, to a published frame.
    assert_eq!(seek(&mut consumer, 2)[0], (2, vec![2]));
    assert_eq!(seek(&mut consumer, 1), []);
    claim[0] = 1;
    claim.publish();
    assert_eq!(read(&mut consumer)[0], (1, vec![1]));
    assert_eq!(seek(&mut consumer, 1).len(), 4);
}

#[test]
fn a_seek_between_two_claims_waits_until_the_frame_boundary_is_known() {
    let (broker, topic) = make(config());
    let [mut a, mut b, mut c] = [(); 3].map(|()| topic.producer());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    send(&mut c, 0);
    let first = a.claim(Destination::Any, None, 1).unwrap();
    let mut second = b.claim(Destination::Any, None, 1).unwrap();
    second[0] = 2;
    send(&mut c, 3);
    // Offset 2 could be the second record of a frame that begins at 1.
    assert_eq!(seek(&mut consumer, 2), []);
    assert_eq!(consumer.position((TOPIC, 0)).unwrap(), 2);
    second.publish();
    assert_eq!(read(&mut consumer), [(2, vec![2]), (3, vec![3])]);
    // The first claim is aborted, and skipped.
    drop(first);
    assert_eq!(seek(&mut consumer, 1), [(2, vec![2]), (3, vec![3])]);
}

#[test]
fn a_consumer_at_latest_begins_after_the_open_claims() {
    let (broker, topic) = make(config());
    let (mut slow, mut fast) = (topic.producer(), topic.producer());
    let claim = slow.claim(Destination::Any, None, 1).unwrap();
    let latest = ConsumerConfig::new().offset_reset(OffsetReset::Latest);
    let mut consumer = subscribed(&broker, latest);
    assert_eq!(consumer.position((TOPIC, 0)).unwrap(), 1);
    claim.publish();
    assert_eq!(read(&mut consumer), []);
    assert_eq!(send(&mut fast, 1), 1);
    assert_eq!(read(&mut consumer), [(1, vec![1])]);
}

/// Recycling a segment stops at an unpublished frame and continues from there once it is published:
/// no segment is lost, however often this happens.
#[test]
fn a_claim_held_for_many_laps_costs_no_segment() {
    let config = TopicConfig::new().segments(2).segment_records(3);
    let (broker, topic) = make(config.overflow(Overflow::DropOldest));
    let (mut slow, mut fast) = (topic.producer(), topic.producer());
    for _ in 0..50 {
        fast.try_send(Record::new(b"x")).unwrap();
        let claim = slow.claim(Destination::Any, None, 1).unwrap();
        for _ in 0..28 {
            fast.try_send(Record::new(b"y")).unwrap();
        }
        claim.publish();
    }
    assert_eq!(topic.log_end_offset(0).unwrap(), 50 * 30);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    assert!(!read(&mut consumer).is_empty());
}

#[test]
fn a_seek_behind_open_claims_at_the_start_of_a_segment_waits() {
    let (broker, topic) = make(config());
    let (mut a, mut b, mut c) = (topic.producer(), topic.producer(), topic.producer());
    let first = a.claim(Destination::Any, None, 1).unwrap();
    let second = b.claim(Destination::Any, None, 1).unwrap();
    send(&mut c, 2);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    assert_eq!(seek(&mut consumer, 1), []);
    first.publish();
    second.publish();
    assert_eq!(read(&mut consumer), [(1, vec![0]), (2, vec![2])]);
}
