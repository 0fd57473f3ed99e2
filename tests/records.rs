//! Records as they are sent, read and copied: their parts, where they come from, and their number.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, make, subscribed};
use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, Header, OwnedRecord, Record, Timestamps, Topic,
    TopicConfig, TopicPartition,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// All records that can be read now, copied.
fn owned(consumer: &mut Consumer) -> Vec<OwnedRecord> {
    let mut all = Vec::new();
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch.iter().map(|record| record.to_owned()));
    }
}

/// Sends one record in each of the ways that lie differently in the log: alone, in a batch of
/// different records, in a batch of equal ones, as fixed-size values, and in place.
fn send_in_every_way(topic: &Topic, partition: u32) {
    let mut producer = topic.producer();
    let to = Destination::Partition(partition);
    let record = Record::new("x").partition(partition);
    producer.send(record).unwrap();
    producer.send(record.key("k").timestamp(5)).unwrap();
    producer.send_batch(&[record, record.key("k")]).unwrap();
    producer.send_batch(&[record, record]).unwrap();
    producer.send_values(to, b"xx").unwrap();
    let mut claim = producer.claim(to, None, 1).unwrap();
    claim.copy_from_slice(b"x");
    claim.publish();
}

/// The records that [`send_in_every_way`] sends.
const EVERY_WAY: usize = 9;

#[test]
fn a_tombstone_has_no_value_and_an_empty_value_is_one() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let records = [
        Record::tombstone("k"),
        Record::new("").key("k"),
        Record::default(),
        Record::new(""),
    ];
    for record in records {
        producer.send(record).unwrap();
    }
    producer.send_batch(&records).unwrap();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.len(), 8);
    for (read, sent) in batch.iter().zip(records.iter().cycle()) {
        assert_eq!((read.key(), read.value()), (sent.key, sent.value));
        assert_eq!(read.is_tombstone(), sent.value.is_none());
        assert!(read.value_bytes().is_empty());
        let copy = read.to_owned();
        assert_eq!(copy.is_tombstone(), read.is_tombstone());
        assert_eq!(copy.value.as_deref(), sent.value);
        assert!(copy.value_bytes().is_empty());
    }
}

#[test]
fn a_record_has_a_timestamp_only_if_it_or_its_topic_gives_one() {
    let (broker, topic) = make(TopicConfig::new().timestamps(Timestamps::Given));
    send_in_every_way(&topic, 0);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let times: Vec<_> = owned(&mut consumer).iter().map(|r| r.timestamp).collect();
    let mut expected = [None; EVERY_WAY];
    expected[1] = Some(5);
    assert_eq!(times, expected);

    let stamped = broker.create_topic("stamped", TopicConfig::new()).unwrap();
    send_in_every_way(&stamped, 0);
    consumer.subscribe(["stamped"]).unwrap();
    for (i, record) in owned(&mut consumer).iter().enumerate() {
        let time = record.timestamp.unwrap();
        assert_eq!(time == 5, i == 1, "record {i} has the time {time}");
    }
}

#[test]
fn keys_and_values_are_taken_from_the_usual_types() {
    struct Bytes([u8; 3]);
    impl AsRef<[u8]> for Bytes {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let (string, vec, boxed) = (
        String::from("abc"),
        b"abc".to_vec(),
        Box::<[u8]>::from(*b"abc"),
    );
    let (bytes, array, slice) = (Bytes(*b"abc"), *b"abc", &b"abcd"[..3]);
    let values = [
        Record::new("abc"),
        Record::new(&string),
        Record::new(&vec),
        Record::new(&boxed),
        Record::new(&bytes),
        Record::new(&array),
        Record::new(slice),
        Record::new(b"abc"),
    ];
    let keys = [
        Record::default().key("abc"),
        Record::default().key(&string),
        Record::default().key(&vec),
        Record::tombstone(&boxed),
        Record::tombstone(&bytes),
        Record::tombstone(&array),
        Record::tombstone(slice),
        Record::tombstone(b"abc"),
    ];
    for record in values {
        assert_eq!((record.key, record.value), (None, Some(&b"abc"[..])));
    }
    for record in keys {
        assert_eq!((record.key, record.value), (Some(&b"abc"[..]), None));
    }
    assert_eq!(
        (Record::default().key, Record::default().value),
        (None, None)
    );
}

#[test]
fn a_panic_of_a_records_bytes_loses_nothing() {
    struct Panics;
    impl AsRef<[u8]> for Panics {
        fn as_ref(&self) -> &[u8] {
            panic!("no bytes")
        }
    }
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    producer.send(Record::new("a")).unwrap();
    let panics: [fn(&mut ringlog::Producer); 4] = [
        |producer| _ = producer.send(Record::new(&Panics)),
        |producer| _ = producer.send(Record::new("x").key(&Panics)),
        |producer| _ = producer.send_batch(&[Record::new("x"), Record::new(&Panics)]),
        |producer| {
            let mut claim = producer.claim(Destination::Any, None, 1).unwrap();
            claim.copy_from_slice(Panics.as_ref()); // its offset stays without a record
        },
    ];
    for panic in panics {
        catch_unwind(AssertUnwindSafe(|| panic(&mut producer))).unwrap_err();
    }
    producer.send(Record::new("b")).unwrap();
    drop(producer);
    topic.exclusive_producer().unwrap(); // the producer is counted out
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let read: Vec<_> = owned(&mut consumer)
        .into_iter()
        .map(|record| (record.offset, record.value.unwrap()))
        .collect();
    assert_eq!(read, [(0, b"a".to_vec()), (2, b"b".to_vec())]);
}

#[test]
fn a_record_knows_its_topic_and_partition() {
    let broker = Broker::new();
    let names = ["a", "b"];
    for name in names {
        let topic = broker
            .create_topic(name, TopicConfig::new().partitions(2))
            .unwrap();
        topic.add_partitions(3).unwrap();
        for partition in 0..3 {
            send_in_every_way(&topic, partition);
        }
    }
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(names).unwrap();
    let mut seen = Vec::new();
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            break;
        }
        let from = batch.topic_partition().unwrap().clone();
        for record in &batch {
            assert_eq!(record.topic_partition(), &from);
            assert_eq!(
                (record.topic(), record.partition()),
                (&*from.topic, from.partition)
            );
            assert_eq!(record.to_owned().topic_partition(), from);
        }
        assert!(batch.iter().all(|record| record.topic_partition() == &from));
        seen.extend(batch.iter().map(|_| from.clone()));
    }
    seen.sort();
    let expected: Vec<_> = names
        .iter()
        .flat_map(|name| (0..3).map(|partition| TopicPartition::new(*name, partition)))
        .flat_map(|from| vec![from; EVERY_WAY])
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_copy_outlives_the_log_and_is_sent_to_another_thread() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let headers = [
        Header::new("h", b"1"),
        Header::new("h", b""),
        Header {
            name: "none",
            value: None,
        },
    ];
    let record = Record::new("v").key("k").headers(&headers).timestamp(7);
    let sent = record.partition(1);
    topic.producer().send(sent).unwrap();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let copies = owned(&mut consumer);
    drop((broker, topic, consumer));
    let expected = OwnedRecord::new((TOPIC, 1), 0, &sent);
    let copies = thread::spawn(move || {
        assert_eq!(copies, [expected]);
        copies
    });
    let [copy] = &copies.join().unwrap()[..] else {
        panic!("one record was sent")
    };
    assert_eq!((&*copy.topic, copy.partition, copy.offset), (TOPIC, 1, 0));
    assert_eq!((copy.timestamp, copy.lost), (Some(7), 0));
    assert_eq!(
        (copy.key.as_deref(), copy.value.as_deref()),
        (sent.key, sent.value)
    );
    let h = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let same = [h("h", Some(b"1")), h("h", Some(b"")), h("none", None)];
    assert_eq!(copy.headers, same);
}

#[test]
fn a_record_is_sent_again_with_its_key_value_and_headers() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let dead = TopicConfig::new().timestamps(Timestamps::Given);
    let dead_letters = broker.create_topic("dead", dead).unwrap();
    let headers = [
        Header::new("h", b"1"),
        Header {
            name: "none",
            value: None,
        },
    ];
    let mut producer = topic.producer();
    let sent = [
        Record::new("v").key("k").headers(&headers),
        Record::tombstone("k"),
        Record::new("").headers(&headers[1..]),
        Record::default(),
    ]
    .map(|record| record.partition(1).timestamp(7));
    producer.send_batch(&sent).unwrap();

    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    let (mut lent, mut dead_letters) = (Vec::new(), dead_letters.producer());
    // What the vector holds before is none of the record's.
    lent.push(Header::new("old", b""));
    for record in &batch {
        dead_letters.send(record.as_record(&mut lent)).unwrap();
    }
    consumer.seek((TOPIC, 1), 0).unwrap();
    let copies = owned(&mut consumer);
    for copy in &copies {
        // One statement, or one vector for all.
        dead_letters.send(copy.as_record(&mut Vec::new())).unwrap();
    }
    let mut lent = Vec::new();
    for copy in &copies {
        dead_letters.send(copy.as_record(&mut lent)).unwrap();
    }

    consumer.subscribe(["dead"]).unwrap();
    let again = owned(&mut consumer);
    assert_eq!(again.len(), 12);
    for (i, (again, sent)) in again.iter().zip(sent.iter().cycle()).enumerate() {
        let mut kept = *sent;
        kept.timestamp = None;
        let expected = OwnedRecord::new(("dead", 0), i as u64, &kept);
        assert_eq!(again, &expected);
    }
}

#[test]
fn the_number_of_records_left_is_exact() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    send_in_every_way(&topic, 0);
    drop(producer.claim(Destination::Any, None, 1).unwrap()); // an offset without a record
    send_in_every_way(&topic, 0);
    producer.send(Record::new("x")).unwrap();
    let all = 2 * EVERY_WAY + 1;
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    // From each offset, also within a frame.
    for from in 0..=EVERY_WAY {
        consumer.seek((TOPIC, 0), from as u64).unwrap();
        let batch = consumer.try_poll().unwrap();
        let mut left = all - from;
        assert_eq!(batch.len(), left);
        let mut records = batch.iter();
        let mut values = batch.values::<u8>().unwrap();
        loop {
            assert_eq!(records.len(), left);
            assert_eq!(records.size_hint(), (left, Some(left)));
            assert_eq!(
                (values.len(), values.size_hint()),
                (left, (left, Some(left)))
            );
            let (record, value) = (records.next(), values.next());
            assert_eq!(record.is_some(), value.is_some());
            if record.is_none() {
                break;
            }
            left -= 1;
        }
        assert_eq!(left, 0);
        assert!(records.next().is_none() && values.next().is_none());
    }
}

#[test]
fn the_number_of_values_left_is_exact_between_slices() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    for values in [&[1u64, 2, 3][..], &[4], &[5, 6, 7, 8]] {
        producer.send_values(Destination::Any, values).unwrap();
    }
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    let mut values = batch.values::<u64>().unwrap();
    assert_eq!((values.next(), values.len()), (Some(&1), 7));
    assert_eq!(values.next_slice(), Some(&[2, 3][..])); // the rest of the first frame
    assert_eq!((values.len(), values.next()), (5, Some(&4)));
    assert_eq!(values.len(), 4);
    assert_eq!(values.next_slice(), Some(&[5, 6, 7, 8][..]));
    assert_eq!((values.len(), values.next_slice()), (0, None));
}

#[test]
fn a_batchs_metadata_has_one_entry_for_each_record() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    assert_eq!(producer.topic(), TOPIC);
    let empty = producer.send_batch(&[]).unwrap();
    assert!(empty.is_empty() && empty.iter().next().is_none());
    let batch = [Record::new("x"); 3];
    let metadata = producer.send_batch(&batch).unwrap();
    assert!(!metadata.is_empty());
    let mut left = metadata.iter();
    for (offset, n) in (0..3).zip((1..=3).rev()) {
        assert_eq!(left.size_hint(), (n, Some(n)));
        assert_eq!(left.next().unwrap().offset, offset);
    }
    assert_eq!(left.size_hint(), (0, Some(0)));
}

#[test]
fn a_claim_shows_what_was_written_to_it() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    let mut claim = producer.claim(Destination::Any, None, 3).unwrap();
    claim.copy_from_slice(b"abc");
    assert_eq!(&*claim, b"abc");
}

#[test]
fn what_an_iterator_has_left_within_a_frame_is_folded_too() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    for values in [["a", "b", "c"], ["d", "e", "f"]] {
        producer.send_batch(&values.map(Record::new)).unwrap();
    }
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    let mut records = batch.iter();
    assert_eq!(records.next().unwrap().value_bytes(), b"a");
    let rest = records.fold(Vec::new(), |mut all, record| {
        all.extend_from_slice(record.value_bytes());
        all
    });
    assert_eq!(rest, b"bcdef");
}
