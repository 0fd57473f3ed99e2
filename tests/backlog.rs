//! Long runs of records. A reader of a backlog, and a producer that recycles a segment, look at
//! many index slots at a time, and must not look past an open claim, wherever it lies.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{Consumer, ConsumerConfig, Destination, Overflow, Producer, Record, TopicConfig};

/// More records than a reader looks at one by one.
const MANY: u32 = 400;

/// Slots at which something else lies among the records: every slot of some lines of the index, in
/// the part that is read one by one, around its end, after it, and at the end of the segment.
fn slots() -> impl Iterator<Item = u32> {
    (0..10).chain(250..290).chain(MANY - 12..MANY)
}

fn send(producer: &mut Producer, range: impl IntoIterator<Item = u32>) {
    for n in range {
        producer.try_send(Record::new(&n.to_ne_bytes())).unwrap();
    }
}

/// The offsets and numbers that one poll returns.
fn poll(consumer: &mut Consumer) -> Vec<(u64, u32)> {
    let batch = consumer.try_poll().unwrap();
    let number = |value: &[u8]| u32::from_ne_bytes(value.try_into().unwrap());
    batch
        .iter()
        .map(|r| (r.offset(), number(r.value_bytes())))
        .collect()
}

fn numbered(range: impl IntoIterator<Item = u32>) -> Vec<(u64, u32)> {
    range.into_iter().map(|n| (u64::from(n), n)).collect()
}

fn all_at_once() -> ConsumerConfig {
    ConsumerConfig::new().max_poll_records(10 * MANY)
}

#[test]
fn a_backlog_is_read_up_to_an_open_claim_and_past_it_once_published() {
    let (broker, topic) = make(TopicConfig::new().segment_records(MANY));
    let (mut slow, mut fast) = (topic.producer(), topic.producer());
    let mut consumer = subscribed(&broker, all_at_once());
    for (round, slot) in slots().enumerate() {
        let begin = round as u32 * MANY;
        let open = begin + slot;
        send(&mut fast, begin..open);
        let mut claim = slow.claim(Destination::Any, None, 4).unwrap();
        send(&mut fast, open + 1..begin + MANY);
        if open > begin {
            assert_eq!(poll(&mut consumer), numbered(begin..open));
        }
        assert_eq!(poll(&mut consumer), []);
        claim.copy_from_slice(&open.to_ne_bytes());
        claim.publish();
        assert_eq!(poll(&mut consumer), numbered(open..begin + MANY));
    }
}

#[test]
fn a_backlog_is_read_past_aborted_claims_and_through_batches() {
    let (broker, topic) = make(TopicConfig::new().segment_records(MANY));
    let mut producer = topic.producer();
    let mut consumer = subscribed(&broker, all_at_once());
    let mut begin = 0;
    for slot in slots() {
        let aborted = begin + slot;
        send(&mut producer, begin..aborted);
        drop(producer.claim(Destination::Any, None, 4).unwrap());
        send(&mut producer, aborted + 1..begin + MANY);
        let rest = (begin..begin + MANY).filter(|&n| n != aborted);
        assert_eq!(poll(&mut consumer), numbered(rest));

        begin += MANY;
        let batch = begin + slot..begin + MANY.min(slot + 11);
        send(&mut producer, begin..batch.start);
        let values: Vec<_> = batch.clone().collect();
        producer.send_values(Destination::Any, &values).unwrap();
        send(&mut producer, batch.end..begin + MANY);
        assert_eq!(poll(&mut consumer), numbered(begin..begin + MANY));
        begin += MANY;
    }
}

#[test]
fn a_poll_of_a_backlog_returns_at_most_max_poll_records() {
    let (broker, topic) = make(TopicConfig::new().segment_records(MANY));
    let mut producer = topic.producer();
    for most in (255..275).chain(MANY - 9..MANY + 2) {
        let config = ConsumerConfig::new().max_poll_records(most);
        let mut consumer = subscribed(&broker, config);
        consumer.seek_to_end((TOPIC, 0)).unwrap();
        let begin = consumer.position((TOPIC, 0)).unwrap() as u32;
        send(&mut producer, begin..begin + MANY);
        assert_eq!(
            poll(&mut consumer),
            numbered(begin..begin + MANY.min(most)),
            "at most {most}"
        );
        assert_eq!(drain(&mut consumer).len() as u32, MANY.saturating_sub(most));
    }
}

/// A segment with an open claim is not recycled, wherever the claim lies, until it is published.
/// Otherwise its bytes would be written into a later life of the segment.
#[test]
fn a_segment_is_not_recycled_while_it_has_an_open_claim() {
    const RECORDS: u32 = 27;
    for slot in 0..RECORDS {
        let config = TopicConfig::new().segments(2).segment_records(RECORDS);
        // A record or a claim takes one more unit for its time: exactly `RECORDS` fill a segment.
        let config = config.segment_bytes(RECORDS as usize * 16);
        let (broker, topic) = make(config.overflow(Overflow::DropOldest));
        let (mut slow, mut fast) = (topic.producer(), topic.producer());
        send(&mut fast, 0..slot);
        let mut claim = slow.claim(Destination::Any, None, 4).unwrap();
        let end = 20 * RECORDS + 5;
        send(&mut fast, slot + 1..end);
        claim.copy_from_slice(&[0xff; 4]);
        claim.publish();
        // Everything retained is read, now and whenever the segment has been recycled again: each
        // of its slots was cleared, and nothing after the last record is read.
        for end in end..end + 4 * RECORDS {
            let mut consumer = subscribed(&broker, all_at_once());
            let first = consumer.position((TOPIC, 0)).unwrap() as u32;
            assert!(first > slot && end - first > RECORDS, "{first} to {end}");
            let read = drain(&mut consumer);
            let read: Vec<_> = read.iter().map(|(_, o, v)| (*o, &v[..])).collect();
            let sent: Vec<_> = (first..end).map(u32::to_ne_bytes).collect();
            let sent: Vec<_> = (u64::from(first)..)
                .zip(sent.iter().map(|v| &v[..]))
                .collect();
            assert_eq!(read, sent, "a claim at {slot}");
            send(&mut fast, [end]);
        }
    }
}
