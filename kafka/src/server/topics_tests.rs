use super::*;

fn topics() -> Topics {
    Topics::new(Broker::new(), None, &Config::default(), 0).unwrap()
}

#[test]
fn settings_of_a_creation_that_was_cut_off_are_no_later_topics() {
    let given = [("retention.ms", Some("1"))].into_iter();
    let kept = KeptSettings::of_new_topic(TopicSettings::new(given).unwrap());
    for was_created in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (broker, _) = Broker::open(dir.path()).unwrap();
        let store = Arc::new(Store::open(&dir.path().join("kafka")).unwrap());
        let config = Config::default();
        let start = || Topics::new(broker.clone(), Some(store.clone()), &config, 0).unwrap();
        // The process has ended before the last step, or the last two.
        store.begin_topic("orders", &kept).unwrap();
        if was_created {
            broker.create_topic("orders", TopicConfig::new()).unwrap();
        }
        let topics = start();
        if was_created {
            let orders = topics.find("orders").unwrap();
            assert_eq!(*orders.settings(), kept.settings);
            topics.delete(&orders).unwrap();
        }
        let none = TopicSettings::default();
        let created = topics.create("orders", TopicConfig::new(), none.clone());
        assert_eq!(*created.unwrap().settings(), none);
        assert_eq!(*start().find("orders").unwrap().settings(), none);
    }
}

#[test]
fn a_topic_that_had_the_brokers_limit_has_not_the_programs_again() {
    let dir = tempfile::tempdir().unwrap();
    let (broker, _) = Broker::open(dir.path()).unwrap();
    let store = Arc::new(Store::open(&dir.path().join("kafka")).unwrap());
    let config = Config::default();
    let start = || Topics::new(broker.clone(), Some(store.clone()), &config, 0).unwrap();
    let topics = start();
    let limit = [("log.retention.ms", "7")].into_iter();
    let limit = AlteredSettings::new(limit).unwrap();
    let changed = topics.change_broker_settings(Level::AllBrokers, |_| Ok::<_, StoreError>(limit));
    changed.unwrap();
    // A program's, which is looked up first when the broker has its limit.
    broker.create_topic("orders", TopicConfig::new()).unwrap();
    let limit = Some(std::time::Duration::from_millis(7));
    assert_eq!(topics.find("orders").unwrap().settings().retention, limit);
    // The process has ended when the limit was taken back of the broker, and of no topic yet.
    store
        .put_broker_settings("", &AlteredSettings::default())
        .unwrap();
    let orders = start().find("orders").unwrap();
    assert_eq!(orders.settings().retention, None);
    assert!(orders.settings.kept().sets_retention);
    assert!(!orders.settings.kept().sets_retention_bytes);
}

#[test]
fn a_topic_keeps_its_id_until_it_is_deleted() {
    let topics = topics();
    let config = TopicConfig::new();
    let first = topics
        .create("orders", config.clone(), TopicSettings::default())
        .unwrap()
        .id;
    assert_eq!(topics.find("orders").unwrap().id, first);
    assert_eq!(topics.find_id(first).unwrap().name(), "orders");

    topics.broker().delete_topic("orders").unwrap();
    assert!(topics.find_id(first).is_none());
    topics.broker().create_topic("orders", config).unwrap();
    assert!(topics.find_id(first).is_none());
    assert_ne!(topics.find("orders").unwrap().id, first);
}

#[test]
fn a_closed_topic_keeps_its_id() {
    let topics = topics();
    let served = topics
        .create("orders", TopicConfig::new(), TopicSettings::default())
        .unwrap();
    served.topic.close();
    assert_eq!(topics.find("orders").unwrap().id, served.id);
}

#[test]
fn topic_names_follow_the_rule_of_kafka() {
    for name in ["orders", "a.b_c-D9", &"x".repeat(249)] {
        assert!(is_valid_name(name), "{name}");
    }
    for name in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
        assert!(!is_valid_name(name), "{name}");
    }
}
