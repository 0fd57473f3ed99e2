//! Long rows of records: readers of a backlog, and producers that take a segment anew, look at many
//! slots at once, and must not look past what lies among them, wherever it does.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{Consumer, ConsumerConfig, Overflow, Producer, Record, Route, TopicConfig};

/// More than a reader reads one by one.
const MANY: u32 = 400;

/// Where something else lies among the records: at every place of some lines of the index, in the
/// part that is read one by one, about its end, behind it, and at the end.
fn places() -> impl Iterator<Item = u32> {
    (0..10).chain(250..290).chain(MANY - 12..MANY)
}

fn send(producer: &mut Producer, range: impl IntoIterator<Item = u32>) {
    for n in range {
        producer.try_send(Record::new(&n.to_ne_bytes())).unwrap();
    }
}

/// Offsets and numbers that come in one poll.
fn poll(consumer: &mut Consumer) -> Vec<(u64, u32)> {
    let batch = consumer.try_poll().unwrap();
    let number = |value: &[u8]| u32::from_ne_bytes(value.try_into().unwrap());
    batch
        .iter()
        .map(|r| (r.offset(), number(r.value())))
        .collect()
}

fn numbered(range: impl IntoIterator<Item = u32>) -> Vec<(u64, u32)> {
    range.into_iter().map(|n| (u64::from(n), n)).collect()
}

fn all_at_once() -> ConsumerConfig {
    ConsumerConfig::new().max_poll_records(10 * MANY)
}

#[test]
fn a_backlog_is_read_up_to_a_claim_wherever_it_lies_and_on_when_it_is_published() {
    let (broker, topic) = make(TopicConfig::new().segment_records(MANY));
    let (mut slow, mut fast) = (topic.producer(), topic.producer());
    let mut consumer = subscribed(&broker, all_at_once());
    for (turn, place) in places().enumerate() {
        let begin = turn as u32 * MANY;
        let place = begin + place;
        send(&mut fast, begin..place);
        let mut claim = slow.claim(Route::Any, None, 4).unwrap();
        send(&mut fast, place + 1..begin + MANY);
        if place > begin {
            assert_eq!(poll(&mut consumer), numbered(begin..place));
        }
        assert_eq!(poll(&mut consumer), []);
        claim.copy_from_slice(&place.to_ne_bytes());
        claim.publish();
        assert_eq!(poll(&mut consumer), numbered(place..begin + MANY));
    }
}

#[test]
fn a_backlog_is_read_past_what_was_given_up_and_through_batches_wherever_they_lie() {
    let (broker, topic) = make(TopicConfig::new().segment_records(MANY));
    let mut producer = topic.producer();
    let mut consumer = subscribed(&broker, all_at_once());
    let mut begin = 0;
    for place in places() {
        let given_up = begin + place;
        send(&mut producer, begin..given_up);
        drop(producer.claim(Route::Any, None, 4).unwrap());
        send(&mut producer, given_up + 1..begin + MANY);
        let rest = (begin..begin + MANY).filter(|&n| n != given_up);
        assert_eq!(poll(&mut consumer), numbered(rest));

        begin += MANY;
        let batch = begin + place..begin + MANY.min(place + 11);
        send(&mut producer, begin..batch.start);
        let values: Vec<_> = batch.clone().collect();
        producer.send_values(Route::Any, &values).unwrap();
        send(&mut producer, batch.end..begin + MANY);
        assert_eq!(poll(&mut consumer), numbered(begin..begin + MANY));
        begin += MANY;
    }
}

#[test]
fn a_backlog_is_read_no_further_than_a_poll_may() {
    let (broker, topic) = make(TopicConfig::new().segment_records(MANY));
    let mut producer = topic.producer();
    for most in (255..275).chain(MANY - 9..MANY + 2) {
        let config = ConsumerConfig::new().max_poll_records(most);
        let mut consumer = subscribed(&broker, config);
        consumer.seek_to_end(TOPIC, 0).unwrap();
        let begin = consumer.position(TOPIC, 0).unwrap() as u32;
        send(&mut producer, begin..begin + MANY);
        assert_eq!(
            poll(&mut consumer),
            numbered(begin..begin + MANY.min(most)),
            "at most {most}"
        );
        assert_eq!(drain(&mut consumer).len() as u32, MANY.saturating_sub(most));
    }
}

/// A segment whose claim is held is not taken, wherever in it the claim lies, and is when it is
/// published. Otherwise its bytes would be written into another life's.
#[test]
fn a_segment_is_not_taken_anew_before_a_claim_wherever_it_lies() {
    const RECORDS: u32 = 27;
    for place in 0..RECORDS {
        let config = TopicConfig::new().segments(2).segment_records(RECORDS);
        // A record or a claim takes a unit for its time as well, and so many fill a segment.
        let config = config.segment_bytes(RECORDS as usize * 16);
        let (broker, topic) = make(config.overflow(Overflow::DropOldest));
        let (mut slow, mut fast) = (topic.producer(), topic.producer());
        send(&mut fast, 0..place);
        let mut claim = slow.claim(Route::Any, None, 4).unwrap();
        let end = 20 * RECORDS + 5;
        send(&mut fast, place + 1..end);
        claim.copy_from_slice(&[0xff; 4]);
        claim.publish();
        // All that is retained, now and whenever the segment has been taken since: every slot of it
        // was emptied, and what lies behind the last record is not read.
        for end in end..end + 4 * RECORDS {
            let mut consumer = subscribed(&broker, all_at_once());
            let first = consumer.position(TOPIC, 0).unwrap() as u32;
            assert!(first > place && end - first > RECORDS, "{first} to {end}");
            let read = drain(&mut consumer);
            let read: Vec<_> = read.iter().map(|(_, o, v)| (*o, &v[..])).collect();
            let sent: Vec<_> = (first..end).map(u32::to_ne_bytes).collect();
            let sent: Vec<_> = (u64::from(first)..)
                .zip(sent.iter().map(|v| &v[..]))
                .collect();
            assert_eq!(read, sent, "a claim at {place}");
            send(&mut fast, [end]);
        }
    }
}
