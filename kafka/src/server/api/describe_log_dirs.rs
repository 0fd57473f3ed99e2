//! DescribeLogDirs: how many bytes each partition has, by directory. One stands for the memory of this
//! process, which has the topics that are not durable.

use super::{text, topic_name};
use crate::server::connection::Client;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use ringlog::Broker;
use std::collections::{BTreeMap, HashMap, HashSet};

const MEMORY: &str = "memory";

pub(super) fn handle(client: &Client, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted = request.topics.map(|topics| {
        let mut wanted: HashMap<String, HashSet<i32>> = HashMap::new();
        for topic in topics {
            let partitions = wanted.entry(topic.topic.as_str().to_owned()).or_default();
            partitions.extend(topic.partitions);
        }
        wanted
    });
    let is_wanted = |topic: &str, partition: u32| match &wanted {
        None => true,
        Some(wanted) => {
            let partitions = wanted.get(topic);
            partitions.is_some_and(|partitions| partitions.contains(&(partition as i32)))
        }
    };
    let broker = client.shared.topics.broker();
    let mut dirs: BTreeMap<String, Vec<DescribeLogDirsTopic>> = BTreeMap::new();
    dirs.entry(broker.storage().map_or(MEMORY.to_owned(), |storage| {
        storage.path().display().to_string()
    }))
    .or_default();
    // Topics and partitions that do not exist are left out, as in Kafka.
    for topic in broker.snapshot().topics {
        let (dir, file_bytes) = stored(broker, &topic.name);
        let partitions = topic.partitions.iter();
        let partitions = partitions.filter(|stats| is_wanted(&topic.name, stats.partition));
        let partitions = partitions.map(|stats| {
            let bytes = file_bytes.get(stats.partition as usize);
            let bytes = bytes.copied().unwrap_or(stats.retained_bytes);
            DescribeLogDirsPartition::default()
                .with_partition_index(stats.partition as i32)
                .with_partition_size(bytes as i64)
        });
        let partitions: Vec<_> = partitions.collect();
        if !partitions.is_empty() {
            let described = DescribeLogDirsTopic::default().with_name(topic_name(&topic.name));
            let topics = dirs.entry(dir).or_default();
            topics.push(described.with_partitions(partitions));
        }
    }
    let results = dirs.into_iter().map(|(dir, topics)| {
        DescribeLogDirsResult::default()
            .with_log_dir(text(dir))
            .with_topics(topics)
    });
    DescribeLogDirsResponse::default().with_results(results.collect())
}

/// The directory of a topic, and the bytes of each partition's files; none for a topic in memory.
fn stored(broker: &Broker, name: &str) -> (String, Vec<u64>) {
    let topic = broker.topic(name).ok();
    let dir = topic
        .as_ref()
        .and_then(|topic| Some(topic.storage()?.path()));
    match (&topic, dir) {
        (Some(topic), Some(dir)) => {
            let bytes = (0..topic.partitions()).map_while(|number| topic.file_bytes(number).ok());
            (dir.display().to_string(), bytes.collect())
        }
        _ => (MEMORY.to_owned(), Vec::new()),
    }
}
