//! Consumers that would wait for themselves, and other upstreams that cannot be.

use super::common::{TOPIC, make, subscribed};
use ringlog::{Broker, ConsumeError, ConsumerConfig, TopicConfig, UpstreamError};

fn named(name: &str) -> ConsumerConfig {
    ConsumerConfig::new().client_id(name)
}

fn circle(broker: &Broker, config: ConsumerConfig) -> String {
    match broker.consumer(config) {
        Err(ConsumeError::Upstream(UpstreamError::Circle { circle })) => circle,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_does_not_read_after_its_own_group() {
    let broker = Broker::new();
    let config = named("a").group("g").read_after_group("g");
    assert_eq!(
        circle(&broker, config.clone()),
        "\"a\" of group \"g\" reads after group \"g\""
    );
    let mut member = broker.consumer(named("b").group("g")).unwrap();
    let config = named("a").group("g").read_after(&member.progress());
    let error = broker.consumer(config).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the consumer would wait for itself: \"a\" of group \"g\" reads after group \"g\""
    );
}

#[test]
fn circles_through_groups_and_consumers_are_refused() {
    let broker = Broker::new();
    let mut alone = broker
        .consumer(named("alone").read_after_group("g"))
        .unwrap();
    let mut further = broker
        .consumer(named("further").read_after(&alone.progress()))
        .unwrap();
    let member = named("member").group("g").read_after(&further.progress());
    assert_eq!(
        circle(&broker, member.clone()),
        "\"member\" of group \"g\" reads after consumer \"further\"; \
         \"further\" reads after consumer \"alone\"; \
         \"alone\" reads after group \"g\""
    );
    // Two groups after each other.
    let _a = broker.consumer(named("a").group("x").read_after_group("y"));
    assert_eq!(
        circle(&broker, named("b").group("y").read_after_group("x")),
        "\"b\" of group \"y\" reads after group \"x\"; \"a\" of group \"x\" reads after group \"y\""
    );
    // What is refused leaves nothing behind, and what is gone makes no circle.
    let member_of_y = broker.consumer(named("b").group("y")).unwrap();
    drop((alone, member_of_y));
    broker.consumer(member).unwrap();
}

#[test]
fn several_ways_to_one_upstream_are_no_circle() {
    let (broker, _topic) = make(TopicConfig::new());
    let mut journal = subscribed(&broker, named("journal"));
    let mut a = subscribed(&broker, named("a").read_after(&journal.progress()));
    let mut b = subscribed(&broker, named("b").read_after(&journal.progress()));
    let config = named("c")
        .read_after(&a.progress())
        .read_after(&b.progress())
        .read_after(&journal.progress())
        .read_after(&journal.progress())
        .read_after_group("g")
        .group("h");
    subscribed(&broker, config);
    assert_eq!(broker.group_names(), ["g", "h"]);
}

#[test]
fn upstreams_of_other_brokers_and_invalid_names_are_refused() {
    let (broker, other) = (Broker::new(), Broker::new());
    let mut foreign = other.consumer(named("foreign")).unwrap();
    let error = broker
        .consumer(named("a").read_after(&foreign.progress()))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "consumer \"foreign\" is of another broker"
    );
    let mut foreign = other.consumer(named("foreign").group("g")).unwrap();
    let error = broker.consumer(named("a").read_after(&foreign.progress()));
    assert!(matches!(
        error,
        Err(ConsumeError::Upstream(UpstreamError::OtherBroker { upstream })) if upstream == "group \"g\""
    ));
    let error = broker
        .consumer(named("a").read_after_group(""))
        .unwrap_err();
    assert!(matches!(
        error,
        ConsumeError::InvalidName {
            setting: "read_after_group",
            ..
        }
    ));
    assert!(other.topic(TOPIC).is_err());
    assert!(broker.group_names().is_empty());
}
