//! When gathered records go into the log.

use super::*;
use ringlog::{ManualClock, Timestamps};

#[test]
fn records_go_as_soon_as_there_are_as_many_as_may_be() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    send_numbers(&mut producer, 0..3);
    assert_eq!((logged(&topic), producer.gathered()), (0, 3));
    send_numbers(&mut producer, 3..4);
    assert_eq!((logged(&topic), producer.gathered()), (4, 0));
    send_numbers(&mut producer, 4..9);
    assert_eq!((logged(&topic), producer.gathered()), (8, 1));
}

#[test]
fn records_go_before_they_are_too_many_bytes() {
    let (_broker, topic) = make(TopicConfig::new());
    // Three of these take 8 and 3 x (8 + 16) bytes.
    let config = by_four().batch_bytes(80);
    let mut producer = topic.producer().gathering(config);
    let value = [7; 16];
    for sent in 1..=7 {
        producer.send(Record::new(&value)).unwrap();
        assert_eq!(logged(&topic), (sent - 1) / 3 * 3);
    }
    // A shorter one fits in beside one, a longer one does not.
    producer.send(Record::new("")).unwrap();
    assert_eq!((logged(&topic), producer.gathered()), (6, 2));
    producer.send(Record::new(&[7; 33])).unwrap();
    assert_eq!((logged(&topic), producer.gathered()), (8, 1));
}

#[test]
fn records_of_each_partition_are_counted_apart() {
    let (_broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer().gathering(by_four());
    for sent in 0..7 {
        producer.send(Record::new("x").partition(sent % 2)).unwrap();
    }
    assert_eq!(topic.log_end_offset(0), Ok(4));
    assert_eq!((topic.log_end_offset(1), producer.gathered()), (Ok(0), 3));
}

#[test]
fn records_go_with_the_next_send_after_they_have_lingered() {
    let clock = ManualClock::new(1000);
    let (_broker, topic) = make(TopicConfig::new().partitions(2).clock(clock.clone()));
    let config = GatheringConfig::new().linger(Duration::from_millis(5));
    let mut producer = topic.producer().gathering(config);
    let zero = Record::new("x").partition(0);
    producer.send(zero).unwrap();
    clock.advance(Duration::from_millis(4));
    producer.send(zero).unwrap();
    assert_eq!(logged(&topic), 0);
    clock.advance(Duration::from_millis(1));
    producer.send(zero).unwrap();
    assert_eq!((logged(&topic), producer.gathered()), (2, 1));
    // Also with a send to another partition, and each partition by its own time.
    clock.advance(Duration::from_millis(3));
    producer.send(zero.partition(1)).unwrap();
    clock.advance(Duration::from_millis(2));
    producer.send(zero.partition(1)).unwrap();
    assert_eq!((logged(&topic), topic.log_end_offset(1)), (3, Ok(0)));
    clock.advance(Duration::from_millis(3));
    producer.send(zero).unwrap();
    assert_eq!((logged(&topic), topic.log_end_offset(1)), (3, Ok(2)));
    // What was gathered since lingers from its own time on.
    clock.advance(Duration::from_millis(4));
    producer.send(zero).unwrap();
    assert_eq!((logged(&topic), producer.gathered()), (3, 2));
}

#[test]
fn every_send_sends_what_has_lingered_whatever_becomes_of_its_own_record() {
    let clock = ManualClock::new(1000);
    let ring = tiny()
        .partitions(2)
        .segment_bytes(1024)
        .clock(clock.clone());
    let (broker, topic) = make(ring);
    let _consumer = subscribed(&broker, ConsumerConfig::new());
    let config = GatheringConfig::new().batch_records(2).batch_bytes(100);
    let mut producer = topic.producer().gathering(config);
    let (zero, one) = (Record::new("0").partition(0), Record::new("1").partition(1));
    let large = Record::new(&[0; 500]).partition(0);
    let mut sent = 0;
    let mut lingers = |producer: &mut GatheringProducer, send: &dyn Fn(&mut GatheringProducer)| {
        producer.send(one).unwrap();
        clock.advance(Duration::from_millis(5));
        send(producer);
        sent += 1;
        assert_eq!(topic.log_end_offset(1), Ok(sent));
    };
    lingers(&mut producer, &|p| p.send(large).unwrap());
    lingers(&mut producer, &|p| assert!(p.send_now(zero).is_ok()));
    // Until partition 0 is full, and its buffer too.
    while producer.try_send(zero).is_ok() {}
    lingers(&mut producer, &|p| assert!(p.try_send(zero).is_err()));
}

#[test]
fn records_go_when_the_clock_is_set_back() {
    let clock = ManualClock::new(10_000);
    let (_broker, topic) = make(TopicConfig::new().clock(clock.clone()));
    let mut producer = topic.producer().gathering(GatheringConfig::new());
    send_numbers(&mut producer, 0..2);
    // Two threads may see it a little apart.
    clock.set(9_999);
    send_numbers(&mut producer, 2..3);
    assert_eq!(logged(&topic), 0);
    clock.set(5000);
    send_numbers(&mut producer, 3..4);
    assert_eq!((logged(&topic), producer.gathered()), (3, 1));
}

#[test]
fn a_timer_sends_what_has_lingered() {
    let clock = ManualClock::new(1000);
    let (_broker, topic) = make(TopicConfig::new().partitions(2).clock(clock.clone()));
    let config = GatheringConfig::new().linger(Duration::from_micros(4500));
    let mut producer = topic.producer().gathering(config);
    assert_eq!(producer.linger_left(), None);
    producer.send(Record::new("x").partition(1)).unwrap();
    clock.advance(Duration::from_millis(2));
    producer.send(Record::new("y").partition(0)).unwrap();
    assert_eq!(producer.linger_left(), Some(Duration::from_millis(3)));
    producer.flush_due().unwrap();
    assert_eq!(producer.gathered(), 2);
    clock.advance(Duration::from_millis(4));
    assert_eq!(producer.linger_left(), Some(Duration::ZERO));
    producer.flush_due().unwrap();
    assert_eq!((topic.log_end_offset(1), logged(&topic)), (Ok(1), 0));
    assert_eq!(producer.linger_left(), Some(Duration::from_millis(1)));
    clock.advance(Duration::from_millis(1));
    producer.flush_due().unwrap();
    assert_eq!((logged(&topic), producer.linger_left()), (1, None));

    let mut endless = topic.producer().gathering(by_four());
    endless.send(Record::new("z")).unwrap();
    assert_eq!(endless.linger_left(), Some(Duration::MAX));
    clock.advance(Duration::from_secs(1 << 30));
    endless.flush_due().unwrap();
    assert_eq!(endless.gathered(), 1);
}

#[test]
fn without_linger_or_with_batches_of_one_nothing_is_gathered() {
    for config in [
        GatheringConfig::new().linger(Duration::ZERO),
        GatheringConfig::new().batch_records(0),
        GatheringConfig::new().batch_records(1),
        GatheringConfig::new().batch_bytes(0),
    ] {
        let (_broker, topic) = make(TopicConfig::new());
        let mut producer = topic.producer().gathering(config);
        send_numbers(&mut producer, 0..3);
        assert_eq!((logged(&topic), producer.gathered()), (3, 0));
        let ticket = producer.send_with_ticket(Record::new("x")).unwrap();
        assert_eq!(ticket.get().unwrap().unwrap().offset, 3);
    }
}

#[test]
fn a_segment_limits_what_is_gathered() {
    let (_broker, topic) = make(TopicConfig::new().segments(4).segment_records(3));
    let config = by_four().batch_records(1000).batch_bytes(1 << 30);
    let mut producer = topic.producer().gathering(config);
    send_numbers(&mut producer, 0..7);
    assert_eq!((logged(&topic), producer.gathered()), (6, 1));
}

#[test]
fn readers_see_a_frame_whole_with_one_timestamp() {
    let clock = ManualClock::new(1000);
    let (broker, topic) = make(TopicConfig::new().clock(clock.clone()));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let config = GatheringConfig::new().linger(Duration::from_millis(10));
    let mut producer = topic.producer().gathering(config);
    producer.send(Record::new("a").key("k")).unwrap();
    clock.advance(Duration::from_millis(3));
    producer.send(Record::new("b").timestamp(7)).unwrap();
    clock.advance(Duration::from_millis(3));
    producer.flush().unwrap();
    let batch = consumer.try_poll().unwrap();
    let times: Vec<_> = batch.iter().map(|record| record.timestamp()).collect();
    assert_eq!(times, [Some(1006), Some(7)]);

    let (broker, topic) = make(TopicConfig::new().timestamps(Timestamps::Given));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(GatheringConfig::new());
    producer.send(Record::new("a").key("k")).unwrap();
    producer.send(Record::new("b").timestamp(7)).unwrap();
    producer.flush().unwrap();
    let batch = consumer.try_poll().unwrap();
    let times: Vec<_> = batch.iter().map(|record| record.timestamp()).collect();
    assert_eq!(times, [None, Some(7)]);
}

#[test]
fn plain_values_of_one_length_can_be_viewed_in_place() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    // Also after a frame of another kind.
    producer.send(Record::new("keyed").key("k")).unwrap();
    producer.flush().unwrap();
    assert_eq!(values(&mut consumer), ["keyed"]);
    for number in 0..4u64 {
        producer.send(Record::new(&number.to_ne_bytes())).unwrap();
    }
    let batch = consumer.try_poll().unwrap();
    let mut values = batch.values::<u64>().unwrap();
    assert_eq!(values.next_slice(), Some(&[0, 1, 2, 3][..]));
}

#[test]
fn records_without_a_value_take_bytes_too() {
    let (_broker, topic) = make(TopicConfig::new());
    // Nine of these take 8 and 9 x 8 bytes.
    let config = by_four().batch_records(1000).batch_bytes(80);
    let mut producer = topic.producer().gathering(config);
    for sent in 1..=30 {
        producer.send(Record::new("")).unwrap();
        assert_eq!(logged(&topic), (sent - 1) / 9 * 9);
    }
}

#[test]
fn a_segment_limits_how_many_records_without_a_value_are_gathered() {
    let (_broker, topic) = make(TopicConfig::new().segment_bytes(1024));
    let config = by_four().batch_records(1000).batch_bytes(1 << 30);
    let mut producer = topic.producer().gathering(config);
    producer.send(Record::new("x")).unwrap();
    for _ in 1..300 {
        producer.send(Record::new("")).unwrap();
    }
    producer.flush().unwrap();
    assert_eq!(logged(&topic), 300);
}

#[test]
fn a_record_that_fills_a_segment_is_sent() {
    let config = TopicConfig::new().timestamps(Timestamps::Given);
    let (_broker, topic) = make(config.segment_bytes(1024));
    let mut producer = topic.producer().gathering(by_four());
    producer.send(Record::new(&[7; 1024])).unwrap();
    assert_eq!(logged(&topic), 1);
    assert!(producer.send(Record::new(&[7; 1025])).is_err());
}
