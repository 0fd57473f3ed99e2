//! Topics that cannot be found or created.

use super::common::{TOPIC, make};
use super::{tiny, unchanged};
use ringlog::{Broker, ConsumeError, ConsumerConfig, Record, TopicConfig, TopicError};

#[test]
fn every_call_names_an_unknown_topic() {
    let (broker, _topic) = make(TopicConfig::new());
    let name = "nope".to_owned();
    let unknown = TopicError::UnknownTopic { name: name.clone() };
    assert_eq!(broker.topic("nope").unwrap_err(), unknown);
    assert_eq!(broker.delete_topic("nope").unwrap_err(), unknown);
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    let unknown = ConsumeError::UnknownTopic { name };
    assert_eq!(consumer.subscribe([TOPIC, "nope"]), Err(unknown.clone()));
    let partition = ringlog::TopicPartition::new("nope", 0);
    assert_eq!(consumer.assign([partition]), Err(unknown));
    assert!(consumer.assignment().is_empty());
}

#[test]
fn an_existing_topic_is_not_created_again() {
    let (broker, topic) = make(TopicConfig::new());
    topic.producer().send(Record::new("kept")).unwrap();
    let again = broker.create_topic(TOPIC, TopicConfig::new().partitions(9));
    let name = TOPIC.to_owned();
    assert_eq!(again.unwrap_err(), TopicError::TopicExists { name });
    assert_eq!(broker.topic(TOPIC).unwrap().partitions(), 1);
    unchanged(&broker.topic(TOPIC).unwrap(), 1);
}

#[test]
fn empty_long_and_unprintable_names_are_refused() {
    let broker = Broker::new();
    let long = "x".repeat(250);
    for name in [
        "",
        &long,
        "a\nb",
        "a\0",
        "\u{feff}a",
        "a\u{200b}",
        "\u{e000}",
    ] {
        match broker.create_topic(name, TopicConfig::new()).unwrap_err() {
            TopicError::InvalidName {
                name: refused,
                reason,
            } => {
                assert_eq!(refused, name);
                assert!(!reason.is_empty());
            }
            other => panic!("{other}"),
        }
    }
    assert!(broker.topic_names().is_empty());
    for name in [&long[1..], " ", "Bestellungen für Köln 🚲", "a/b\\c:*?"] {
        broker.create_topic(name, tiny()).unwrap();
    }
}

#[test]
fn settings_outside_their_limits_are_refused_with_the_limits() {
    let broker = Broker::new();
    let new = TopicConfig::new;
    let cases = [
        (new().partitions(0), "partitions", 0, 1, 16_384),
        (new().partitions(16_385), "partitions", 16_385, 1, 16_384),
        (new().segments(0), "segments", 0, 2, 65_534),
        (new().segments(1), "segments", 1, 2, 65_534),
        (new().segments(65_535), "segments", 65_535, 2, 65_534),
        (new().segment_records(0), "segment_records", 0, 1, 2_097_151),
        (
            new().segment_records(1 << 21),
            "segment_records",
            1 << 21,
            1,
            2_097_151,
        ),
        (new().segment_bytes(0), "segment_bytes", 0, 8, 268_435_448),
        (new().segment_bytes(7), "segment_bytes", 7, 8, 268_435_448),
        (
            new().segment_bytes(268_435_449),
            "segment_bytes",
            268_435_449,
            8,
            268_435_448,
        ),
        (
            new().segment_bytes(usize::MAX),
            "segment_bytes",
            u64::MAX,
            8,
            268_435_448,
        ),
    ];
    for (config, setting, value, min, max) in cases {
        let invalid = TopicError::InvalidConfig {
            setting,
            value,
            min,
            max,
        };
        assert_eq!(broker.create_topic(TOPIC, config).unwrap_err(), invalid);
    }
    assert!(broker.topic_names().is_empty());
}

#[test]
fn more_segments_than_a_topic_can_number_are_refused() {
    let config = TopicConfig::new().partitions(16_384).segments(3);
    let refused = Broker::new().create_topic(TOPIC, config).unwrap_err();
    let segments = 16_384 * 4;
    assert_eq!(
        refused,
        TopicError::TooManySegments {
            segments,
            max: 65_535
        }
    );
}

#[test]
fn memory_that_cannot_be_allocated_is_an_error_and_not_an_abort() {
    let broker = Broker::new();
    // 15 TiB, which even an overcommitting system refuses; and the largest possible topic.
    for (partitions, segments) in [(1, 60_000), (16_000, 3)] {
        let config = TopicConfig::new()
            .partitions(partitions)
            .segments(segments)
            .segment_bytes(256 * 1024 * 1024 - 64)
            .segment_records(2_097_151);
        match broker.create_topic(TOPIC, config) {
            Err(TopicError::OutOfMemory { bytes }) => {
                let least = u64::from(partitions * (segments + 1)) << 28;
                assert!(bytes > least - (64 << 16), "{bytes}");
            }
            // This system grants any amount of address space, so nothing can be checked.
            Ok(_) => eprintln!("note: this system grants memory that it does not have"),
            Err(other) => panic!("{other}"),
        }
        let _ = broker.delete_topic(TOPIC);
    }
    make(tiny());
}
