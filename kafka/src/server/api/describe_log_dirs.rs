//! DescribeLogDirs: how many bytes each partition has. There is one directory, which stands for the
//! memory of this process.

use super::topic_name;
use crate::server::connection::Client;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use std::collections::{HashMap, HashSet};

const DIRECTORY: &str = "memory";

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
    // Topics and partitions that do not exist are left out, as in Kafka.
    let mut topics = Vec::new();
    for topic in client.shared.topics.broker().snapshot().topics {
        let partitions = topic.partitions.iter();
        let partitions = partitions.filter(|stats| is_wanted(&topic.name, stats.partition));
        let partitions = partitions.map(|stats| {
            DescribeLogDirsPartition::default()
                .with_partition_index(stats.partition as i32)
                .with_partition_size(stats.retained_bytes as i64)
        });
        let partitions: Vec<_> = partitions.collect();
        if !partitions.is_empty() {
            let described = DescribeLogDirsTopic::default().with_name(topic_name(&topic.name));
            topics.push(described.with_partitions(partitions));
        }
    }
    let result = DescribeLogDirsResult::default()
        .with_log_dir(super::text(DIRECTORY))
        .with_topics(topics);
    DescribeLogDirsResponse::default().with_results(vec![result])
}
