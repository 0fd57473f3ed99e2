//! The events of the feature `tracing`: a test for each kind.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(feature = "tracing")]

mod common;

use common::{TOPIC, make, subscribed};
use ringlog::{
    Broker, ConsumerConfig, GatheringConfig, Overflow, Record, SharedGatheringProducer, Timestamps,
    TopicConfig,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// An event: its level and message, and its fields as text.
type Event = (tracing::Level, String, BTreeMap<String, String>);

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<Event>>>);

impl<S: tracing::Subscriber> Layer<S> for Captured {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        assert_eq!(event.metadata().target(), "ringlog");
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let event = (*event.metadata().level(), message, fields.0);
        self.0.lock().unwrap().push(event);
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// The events of one kind that this thread emits during `work`.
fn captured(message: &str, work: impl FnOnce()) -> Vec<(tracing::Level, Vec<String>)> {
    let events = Captured::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    tracing::subscriber::with_default(subscriber, work);
    let all = events.0.lock().unwrap();
    let of_kind = all.iter().filter(|(_, text, _)| text == message);
    of_kind
        .map(|(level, _, fields)| {
            let fields = fields.iter().map(|(name, value)| format!("{name}={value}"));
            (*level, fields.collect())
        })
        .collect()
}

fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(4)
        .timestamps(Timestamps::Given)
}

#[test]
fn creating_growing_and_deleting_a_topic_are_events() {
    let run = || {
        let broker = Broker::new();
        let topic = broker.create_topic("orders", small()).unwrap();
        assert!(broker.create_topic("orders", small()).is_err());
        topic.add_partitions(3).unwrap();
        assert!(topic.add_partitions(2).is_err());
        broker.delete_topic("orders").unwrap();
        assert!(broker.delete_topic("orders").is_err());
    };
    let created = captured("topic created", run);
    assert_eq!((created.len(), created[0].0), (1, tracing::Level::INFO));
    assert_eq!(created[0].1[1..], ["partitions=1", "topic=\"orders\""]);
    let added = captured("partitions added", run);
    let fields = ["partitions=3", "topic=\"orders\""].map(str::to_owned);
    assert_eq!(added, [(tracing::Level::INFO, fields.to_vec())]);
    let deleted = captured("topic deleted", run);
    assert_eq!(
        deleted,
        [(tracing::Level::INFO, vec!["topic=\"orders\"".to_owned()])]
    );
}

#[test]
fn a_lapped_consumer_is_an_event() {
    let lapped = captured("consumer lapped", || {
        let (broker, topic) = make(small().overflow(Overflow::DropOldest));
        let mut consumer = subscribed(&broker, ConsumerConfig::new().client_id("slow"));
        let mut producer = topic.producer();
        for _ in 0..20 {
            producer.send(Record::new("")).unwrap();
        }
        consumer.try_poll().unwrap();
        consumer.try_poll().unwrap();
    });
    let fields = [
        "client_id=\"slow\"",
        "from=0",
        "lost=12",
        "partition=0",
        "to=12",
        "topic=\"t\"",
    ];
    let fields: Vec<_> = fields.map(str::to_owned).into();
    assert_eq!(lapped, [(tracing::Level::WARN, fields)]);
}

#[test]
fn a_rebalance_is_an_event() {
    let rebalances = captured("group rebalanced", || {
        let (broker, _topic) = make(small().partitions(2));
        let config = || ConsumerConfig::new().group("billing");
        let mut first = subscribed(&broker, config());
        first.try_poll().unwrap();
        let mut second = subscribed(&broker, config());
        for _ in 0..3 {
            first.try_poll().unwrap();
            second.try_poll().unwrap();
        }
    });
    let event = |generation, members| {
        let fields = [
            format!("generation={generation}"),
            "group=\"billing\"".to_owned(),
            format!("members={members}"),
        ];
        (tracing::Level::INFO, fields.to_vec())
    };
    assert_eq!(rebalances, [event(1, 1), event(2, 2)]);
}

/// Fills a topic that a reader holds back, and sends one more record.
fn overfill(wait: bool) {
    let (broker, topic) = make(small().max_block(Duration::from_millis(2)));
    let _reader = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    for _ in 0..8 {
        producer.send(Record::new("")).unwrap();
    }
    let more = Record::new("");
    let refused = if wait {
        producer.send(more)
    } else {
        producer.try_send(more)
    };
    assert!(refused.is_err());
}

#[test]
fn a_blocked_and_a_refused_producer_are_events() {
    let fields: Vec<_> = ["partition=0", "topic=\"t\""].map(str::to_owned).into();
    let blocked = captured("producer blocked", || overfill(true));
    assert_eq!(blocked, [(tracing::Level::DEBUG, fields)]);
    assert_eq!(captured("producer blocked", || overfill(false)), []);
    for wait in [true, false] {
        let refused = captured("producer refused", || overfill(wait));
        assert_eq!((refused.len(), refused[0].0), (1, tracing::Level::WARN));
        assert_eq!(refused[0].1[..2], ["partition=0", "topic=\"t\""]);
        let waited = refused[0].1[2].strip_prefix("waited_ms=").unwrap();
        assert_eq!(waited.parse::<u64>().unwrap() >= 2, wait);
    }
}

#[test]
fn a_subscriber_may_call_the_library() {
    /// Queries the broker, and the group, from inside their events.
    struct Querying(Broker);
    impl<S: tracing::Subscriber> Layer<S> for Querying {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.snapshot();
            for group in self.0.group_names() {
                self.0.describe_group(&group).unwrap();
            }
        }
    }
    let broker = Broker::new();
    let subscriber = tracing_subscriber::registry().with(Querying(broker.clone()));
    tracing::subscriber::with_default(subscriber, || {
        let config = small().overflow(Overflow::DropOldest);
        let topic = broker.create_topic(TOPIC, config).unwrap();
        let mut member = subscribed(&broker, ConsumerConfig::new().group("g"));
        member.try_poll().unwrap();
        topic.add_partitions(2).unwrap();
        let mut producer = topic.producer();
        for _ in 0..40 {
            producer.send(Record::new("")).unwrap();
        }
        member.try_poll().unwrap();
        broker.delete_topic(TOPIC).unwrap();
    });
}

#[test]
fn a_subscriber_may_send_by_the_gathering_handle_whose_events_it_gets() {
    /// Keeps a record of each event, by the handle that emits it.
    struct Keeping(SharedGatheringProducer);
    impl<S: tracing::Subscriber> Layer<S> for Keeping {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            let level = event.metadata().level().as_str();
            let _ = self.0.try_send(Record::new(level).partition(1));
        }
    }
    let kept = thread::spawn(|| {
        let (broker, topic) = make(small().partitions(2).max_block(Duration::from_millis(2)));
        let mut reader = broker.consumer(ConsumerConfig::new()).unwrap();
        reader.assign([(TOPIC, 0)]).unwrap();
        let config = GatheringConfig::new()
            .linger(Duration::from_millis(1))
            .batch_records(2);
        let handle = topic.shared_producer().gathering(config);
        while handle.try_send(Record::new("x").partition(0)).is_ok() {}
        let subscriber = tracing_subscriber::registry().with(Keeping(handle.clone()));
        tracing::subscriber::with_default(subscriber, || {
            // What has lingered, what waits, and what does not, is refused.
            thread::sleep(Duration::from_millis(20));
            assert!(handle.flush_due().is_err() || handle.gathered() > 0);
            assert!(handle.flush().is_err() && handle.try_flush().is_err());
            assert!(handle.send(Record::new("x").partition(0)).is_err());
        });
        handle.take_unsent().len() as u64 + topic.log_end_offset(1).unwrap()
    });
    common::conditions::wait_until("the subscriber's sends end", || kept.is_finished());
    assert!(kept.join().unwrap() > 3);
}
