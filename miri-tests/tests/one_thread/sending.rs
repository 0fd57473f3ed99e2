//! Every way to send.

use miri_tests::{POLICIES, bytes, drain, make, reader, small};
use ringlog::{
    Destination, Header, Murmur2, Overflow, Record, RoundRobin, SendError, Timestamps, TopicConfig,
};

/// Sends records of all forms and lengths, and compares what is read.
fn check_forms(config: TopicConfig, exclusive: bool) {
    let (broker, topic) = make(config);
    let mut consumer = reader(&broker);
    let mut shared = (!exclusive).then(|| topic.producer());
    let mut alone = exclusive.then(|| topic.exclusive_producer().unwrap());
    let data: Vec<u8> = (0..40).collect();
    let headers = [
        Header::new("trace", &[1, 2, 3]),
        Header {
            name: "empty",
            value: None,
        },
    ];
    for n in 0..10 {
        let (value, key) = (&data[..(7 * n) % 18], &data[20..20 + n % 5]);
        let mut record = Record::new(value);
        if n % 2 == 0 {
            record = record.key(key);
        }
        if n % 3 == 0 {
            record = record.headers(&headers);
        }
        if n % 4 == 0 {
            record = record.timestamp(n as i64);
        }
        let sent = match (&mut shared, &mut alone) {
            (Some(producer), _) if n % 2 == 0 => producer.try_send(record),
            (Some(producer), _) => producer.send(record),
            (_, Some(producer)) if n % 2 == 0 => producer.try_send(record),
            (_, Some(producer)) => producer.send(record),
            _ => unreachable!(),
        };
        assert_eq!(sent.unwrap().offset, n as u64);
        let batch = consumer.try_poll().unwrap();
        let read = batch.iter().next().unwrap();
        assert_eq!((read.offset(), bytes(&read)), (n as u64, value));
        assert_eq!(read.key(), (n % 2 == 0).then_some(key));
        assert_eq!(read.headers().count(), if n % 3 == 0 { 2 } else { 0 });
    }
}

#[test]
fn records_of_all_forms_are_read_as_they_were_sent() {
    for (policy, times) in POLICIES
        .into_iter()
        .zip([Timestamps::Append, Timestamps::Given])
    {
        check_forms(small().overflow(policy).timestamps(times), false);
        check_forms(small().overflow(policy).timestamps(times), true);
    }
}

#[test]
fn batches_are_split_by_partition() {
    let (broker, topic) = make(small().partitions(2));
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    for n in 0..5u8 {
        let value = [n; 3];
        let records = [0, 1, 0, 1].map(|p| Record::new(&value).key("k").partition(p));
        let sent = if n % 2 == 0 {
            producer.send_batch(&records).unwrap()
        } else {
            producer.try_send_batch(&records).unwrap()
        };
        let offsets: Vec<_> = sent.iter().map(|m| m.offset).collect();
        let first = 2 * u64::from(n);
        assert_eq!(offsets, [first, first, first + 1, first + 1]);
        assert!(drain(&mut consumer).iter().all(|(_, read)| *read == value));
    }
    let too_many = [Record::new("x").partition(0); 5];
    assert!(producer.send_batch(&too_many).is_err());
}

#[test]
fn values_are_viewed_in_place() {
    for policy in POLICIES {
        let (broker, topic) = make(small().overflow(policy));
        let mut consumer = reader(&broker);
        let mut producer = topic.producer();
        for n in 0..6u64 {
            producer.send_values(Destination::Any, &[n, n + 1]).unwrap();
            let batch = consumer.try_poll().unwrap();
            let values: Vec<u64> = batch.values().unwrap().copied().collect();
            assert_eq!(values, [n, n + 1]);
            assert!(batch.iter().all(|record| bytes(&record).len() == 8));
        }
        let odd = [[1u16, 2, 3], [4, 5, 6]];
        producer.try_send_values(Destination::Any, &odd).unwrap();
        let batch = consumer.try_poll().unwrap();
        assert!(batch.values::<[u16; 3]>().unwrap().copied().eq(odd));
        assert!(batch.values::<u64>().is_err(), "of another size");
    }
}

#[test]
fn claims_are_filled_in_place_or_given_up() {
    for policy in POLICIES {
        let (broker, topic) = make(small().overflow(policy));
        let mut consumer = reader(&broker);
        let (mut one, mut two) = (topic.producer(), topic.exclusive_producer());
        assert!(two.is_err(), "there is a shared producer");
        for n in 0..6u8 {
            let mut claim = one.claim(Destination::Key(b"k"), Some(b"k"), 5).unwrap();
            claim.copy_from_slice(&[n; 5]);
            claim[4] = 9;
            if n % 3 == 0 {
                drop(claim);
            } else {
                claim.publish();
                assert_eq!(drain(&mut consumer)[0].1, [n, n, n, n, 9]);
            }
        }
        assert!(drain(&mut consumer).is_empty());
        drop(one);
        two = topic.exclusive_producer();
        let mut two = two.unwrap();
        two.claim(Destination::Any, None, 0).unwrap().publish();
        assert_eq!(drain(&mut consumer), [(6, vec![])]);
    }
}

#[test]
fn an_open_claim_holds_its_segment_while_others_wrap() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let (mut slow, mut fast) = (topic.producer(), topic.producer());
    let mut claim = slow.claim(Destination::Any, None, 8).unwrap();
    for n in 0..20u8 {
        claim[usize::from(n % 8)] = n;
        fast.send(Record::new(&[n; 8])).unwrap();
    }
    claim.publish();
    let mut consumer = reader(&broker);
    assert!(!drain(&mut consumer).is_empty());
}

#[test]
fn a_full_topic_refuses_or_overwrites() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    for _ in 0..3 {
        while producer.try_send(Record::new("x")).is_ok() {}
        let refused = producer.try_send(Record::new("x")).unwrap_err();
        assert!(matches!(refused, SendError::Full { .. }));
        assert!(producer.try_send_batch(&[Record::new("x")]).is_err());
        assert!(producer.try_send_values(Destination::Any, &[1u8]).is_err());
        drain(&mut consumer);
    }
    let large = [0; 300];
    let refused = producer.try_send(Record::new(&large)).unwrap_err();
    assert!(matches!(refused, SendError::RecordTooLarge { .. }));

    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    for n in 0..30u8 {
        producer.try_send(Record::new(&[n; 8])).unwrap();
    }
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.lost(), batch.iter().next().unwrap().offset());
}

#[test]
fn keys_find_their_partition() {
    for config in [
        small(),
        small().partitioner(Murmur2),
        small().partitioner(RoundRobin),
    ] {
        let (_broker, topic) = make(config.partitions(3));
        let mut producer = topic.producer();
        let sent = [0, 1, 2].map(|n| producer.send(Record::new(&[n]).key("user-1")).unwrap());
        assert!(sent.iter().all(|sent| sent.partition < 3));
        topic.add_partitions(5).unwrap();
        for n in 0..3 {
            producer.send(Record::new(&[n]).partition(4)).unwrap();
        }
        assert_eq!(topic.log_end_offset(4), Ok(3));
    }
}

#[test]
fn a_shared_producer_sends_in_every_way() {
    for policy in POLICIES {
        let (broker, topic) = make(small().overflow(policy));
        let mut consumer = reader(&broker);
        let shared = topic.shared_producer();
        let other = shared.clone();
        for n in 0..3u8 {
            shared.send(Record::new(&[n; 5]).key("k")).unwrap();
            other.try_send(Record::new(&[n; 9])).unwrap();
            assert_eq!(drain(&mut consumer).len(), 2);
            let batch = [Record::new("a"), Record::new("b")];
            assert_eq!(shared.send_batch(&batch).unwrap().len(), 2);
            other.send_values(Destination::Any, &[n; 2]).unwrap();
            assert_eq!(drain(&mut consumer).len(), 4);
        }
        drop(shared);
        other.send(Record::new("last")).unwrap();
        drop(other);
        assert_eq!(drain(&mut consumer).len(), 1);
    }
}
