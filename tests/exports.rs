//! Exports of a snapshot: Prometheus's text, the `metrics` crate, and serde, each with its feature.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(any(feature = "prometheus", feature = "metrics", feature = "serde"))]

mod common;

use ringlog::{Broker, ConsumerConfig, Destination, Overflow, Record, Timestamps, TopicConfig};

/// A name with every character that has to be escaped.
const ODD: &str = "a\\b \"c\" {é}";

/// Calls `check` with a broker of two topics, a lapped consumer, a group, and two consumers of one
/// name.
fn run(check: impl FnOnce(&Broker)) {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(4)
        .timestamps(Timestamps::Given);
    let orders = broker.create_topic("orders", config.clone().partitions(2));
    let dropping = config.overflow(Overflow::DropOldest);
    let odd = broker.create_topic(ODD, dropping).unwrap();
    let named = |name| ConsumerConfig::new().client_id(name);
    let mut slow = broker.consumer(named("slow")).unwrap();
    slow.subscribe([ODD]).unwrap();
    let mut member = broker.consumer(named("member").group("billing")).unwrap();
    member.subscribe(["orders"]).unwrap();
    member.try_poll().unwrap();
    let mut twins = [
        broker.consumer(named("twin")).unwrap(),
        broker.consumer(named("twin")).unwrap(),
    ];
    for twin in &mut twins {
        twin.subscribe(["orders"]).unwrap();
    }

    let (mut orders, mut odd) = (orders.unwrap().producer(), odd.producer());
    for i in 0..8u64 {
        let value = i.to_ne_bytes();
        orders.send(Record::new(&value).partition(1)).unwrap();
        odd.send(Record::new(&value)).unwrap();
    }
    drop(odd.claim(Destination::Any, None, 8).unwrap());
    assert!(orders.try_send(Record::new("").partition(1)).is_err());
    slow.try_poll().unwrap(); // 4 to 7 are retained, and an aborted record
    while !member.try_poll().unwrap().is_empty() {}
    check(&broker);
}

/// A metric's name, its labels and its value.
#[cfg(any(feature = "prometheus", feature = "metrics"))]
type Sample = (&'static str, Vec<(&'static str, &'static str)>, u64);

/// The samples of [`run`] that both exports must have.
#[cfg(any(feature = "prometheus", feature = "metrics"))]
fn expected() -> Vec<Sample> {
    let orders = |p| vec![("topic", "orders"), ("partition", p)];
    let odd = || vec![("topic", ODD), ("partition", "0")];
    let billing = |p| {
        vec![
            ("consumergroup", "billing"),
            ("topic", "orders"),
            ("partition", p),
        ]
    };
    let slow = || vec![("client_id", "slow"), ("topic", ODD), ("partition", "0")];
    vec![
        ("kafka_topic_partitions", vec![("topic", "orders")], 2),
        ("kafka_topic_partition_current_offset", orders("0"), 0),
        ("kafka_topic_partition_current_offset", orders("1"), 8),
        ("kafka_topic_partition_oldest_offset", orders("1"), 0),
        ("kafka_topic_partition_oldest_offset", odd(), 4),
        ("ringlog_appended_records_total", odd(), 9),
        ("ringlog_appended_bytes_total", odd(), 72),
        ("ringlog_retained_bytes", odd(), 40),
        ("ringlog_rolls_total", odd(), 2),
        ("ringlog_retired_segments_total", odd(), 1),
        ("ringlog_aborted_frames_total", odd(), 1),
        ("ringlog_aborted_records_total", odd(), 1),
        ("ringlog_reader_stalls_total", orders("1"), 1),
        ("ringlog_blocked_sends_total", orders("1"), 0),
        ("ringlog_refused_sends_total", orders("1"), 1),
        (
            "kafka_consumergroup_members",
            vec![("consumergroup", "billing")],
            1,
        ),
        ("kafka_consumergroup_current_offset", billing("1"), 8),
        ("kafka_consumergroup_lag", billing("1"), 0),
        ("ringlog_consumergroup_lead", billing("1"), 8),
        ("ringlog_consumergroup_lost_total", billing("1"), 0),
        ("ringlog_consumer_lost_total", slow(), 4),
        ("ringlog_consumer_position", slow(), 4),
        ("kafka_consumer_fetch_manager_records_lag", slow(), 5),
        ("kafka_consumer_fetch_manager_records_lead", slow(), 0),
        (
            "kafka_consumer_fetch_manager_records_lag_max",
            vec![("client_id", "slow")],
            5,
        ),
        (
            "kafka_consumer_fetch_manager_records_lag_max",
            vec![("client_id", "twin"), ("consumer", "3")],
            8,
        ),
        (
            "kafka_consumer_fetch_manager_records_lag_max",
            vec![("client_id", "twin"), ("consumer", "4")],
            8,
        ),
    ]
}

#[cfg(feature = "prometheus")]
mod prometheus {
    use super::{Broker, expected, run};
    use std::collections::BTreeMap;

    type Labels = Vec<(String, String)>;

    /// Kinds of metrics, and samples, of a text in format version 0.0.4. The parser panics at
    /// anything that the format does not allow.
    #[derive(Default)]
    struct Parsed {
        kinds: BTreeMap<String, String>,
        samples: BTreeMap<(String, Labels), f64>,
    }

    fn is_name(name: &str, colon: bool) -> bool {
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
        name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
    }

    fn parse(text: &str) -> Parsed {
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "the last line has no newline"
        );
        let mut parsed = Parsed::default();
        let mut help = None;
        let mut family = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, text) = rest.split_once(' ').expect(line);
                assert!(is_name(name, true) && !text.is_empty(), "{line}");
                assert!(!text.contains('\\'), "{line}");
                help = Some(name.to_owned());
                family = None;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(help.take().as_deref(), Some(name), "{line}");
                assert!(["counter", "gauge"].contains(&kind), "{line}");
                let previous = parsed.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(previous, None, "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                family = Some(name.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                assert_eq!(family.as_ref(), Some(&name), "outside its family: {line}");
                let previous = parsed.samples.insert((name, labels), value);
                assert_eq!(previous, None, "{line}");
            }
        }
        parsed
    }

    fn sample(line: &str) -> (String, Labels, f64) {
        let (name, rest) = line.split_once('{').expect(line);
        assert!(is_name(name, true), "{line}");
        let mut labels = Labels::new();
        let mut rest = rest;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label, false), "{line}");
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().expect(line) {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().expect(line).1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        other => panic!("\\{other} in {line}"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.iter().all(|(other, _)| other != label), "{line}");
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        let value = rest.strip_prefix("} ").expect(line);
        (name.to_owned(), labels, value.parse().expect(line))
    }

    #[test]
    fn the_text_parses_and_has_the_expected_samples() {
        run(|broker| {
            let text = broker.snapshot().to_prometheus();
            let parsed = parse(&text);
            for (name, labels, value) in expected() {
                let labels = labels.iter().map(|(l, v)| (l.to_string(), v.to_string()));
                let key = (name.to_owned(), labels.collect());
                let found = parsed.samples.get(&key);
                assert_eq!(found, Some(&(value as f64)), "{key:?}\n{text}");
            }
            assert!(parsed.kinds.len() > 20, "{:?}", parsed.kinds);
        });
    }

    #[test]
    fn absent_topics_and_consumers_have_no_samples() {
        let empty = Broker::new().snapshot().to_prometheus();
        assert_eq!(empty, "");
        run(|broker| {
            broker
                .consumer(ringlog::ConsumerConfig::new().client_id("idle"))
                .unwrap();
            let text = broker.snapshot().to_prometheus();
            assert!(
                !text.contains("idle"),
                "a consumer without partitions has no samples"
            );
            broker.delete_topic("orders").unwrap();
            let parsed = parse(&broker.snapshot().to_prometheus());
            let topics = parsed.samples.keys().filter(|(name, labels)| {
                name.starts_with("kafka_topic") && labels.iter().any(|(_, v)| v == "orders")
            });
            assert_eq!(topics.count(), 0);
        });
    }

    #[test]
    fn the_parser_is_strict() {
        let bad = [
            "a{b=\"c\"} 1\n",
            "# HELP a x\n# TYPE a gauge\na{b=\"c\"} 1\na{b=\"c\"} 2\n",
            "# HELP a x\n# TYPE a gauge\nb{b=\"c\"} 1\n",
            "# HELP a x\n# TYPE a gauge\na{b=\"c\\t\"} 1\n",
            "# HELP a x\n# TYPE a gauge\na{b=\"c\"} one\n",
            "# HELP a x\n# TYPE a gauge\na{b=\"c\"} 1",
            "# HELP a x\n# TYPE a counter\na{b=\"c\"} 1\n",
        ];
        for text in bad {
            assert!(std::panic::catch_unwind(|| parse(text)).is_err(), "{text}");
        }
        parse("# HELP a x\n# TYPE a gauge\na{b=\"c\"} 1\na{b=\"d\"} 2\n");
    }
}

#[cfg(feature = "metrics")]
mod metrics {
    use super::{expected, run};
    use metrics_util::MetricKind;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    #[test]
    fn the_recorder_gets_the_expected_samples() {
        run(|broker| {
            let recorder = DebuggingRecorder::new();
            let record = || broker.snapshot().record_metrics();
            for _ in 0..2 {
                // Recording twice adds nothing up.
                ::metrics::with_local_recorder(&recorder, record);
            }
            let all = recorder.snapshotter().snapshot().into_vec();
            for (name, labels, value) in expected() {
                let found = all.iter().find(|(key, ..)| {
                    let of = key.key().labels().map(|l| (l.key(), l.value()));
                    key.key().name() == name && of.eq(labels.iter().copied())
                });
                let (key, _, help, found) = found.unwrap_or_else(|| panic!("{name} {labels:?}"));
                assert!(help.is_some(), "{name}");
                let (kind, expected) = if name.ends_with("_total") {
                    (MetricKind::Counter, DebugValue::Counter(value))
                } else {
                    (MetricKind::Gauge, DebugValue::Gauge((value as f64).into()))
                };
                assert_eq!((key.kind(), found), (kind, &expected), "{name}");
            }
        });
    }
}

#[cfg(feature = "serde")]
#[test]
fn a_snapshot_is_serialized_by_field_name() {
    run(|broker| {
        let snapshot = serde_json::to_value(broker.snapshot()).unwrap();
        let topics = &snapshot["topics"];
        assert_eq!(topics[1]["name"], "orders");
        assert_eq!(topics[0]["overflow"], "DropOldest");
        assert_eq!(topics[1]["partitions"][1]["log_end"], 8);
        assert_eq!(snapshot["groups"][0]["partitions"][1]["committed"], 8);
        assert_eq!(snapshot["consumers"][0]["client_id"], "slow");
        assert_eq!(snapshot["consumers"][0]["partitions"][0]["lost"], 4);
        assert!(snapshot["consumers"][0]["group"].is_null());
    });
}
