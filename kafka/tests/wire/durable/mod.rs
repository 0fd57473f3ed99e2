//! Durable topics over the wire: what is acknowledged, and what a restart finds.
//!
//! There are three kinds of restart. A server that is **stopped** has stored everything. A copy of the
//! directory of one that goes on is what a **crash** would have left: what it has only in memory is
//! not there. And the program itself is **killed** (`killed.rs`).

mod acknowledged;
mod epochs;
mod groups;
mod killed;
mod producers;
mod reading;
mod restart;
mod under_load;

use crate::client::{Client, Served};
use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::protocol::StrBytes;
use ringlog::{Broker, Storage, StorageConfig, TopicConfig};
use ringlog_kafka::{Server, ServerBuilder};
use std::path::Path;
use tempfile::TempDir;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A new directory.
fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A storage of small files.
fn storage(dir: &Path) -> StorageConfig {
    Storage::dir(dir).file_bytes(256 << 10)
}

/// A ring of a few records, so that most are behind it.
fn small_ring() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(32)
        .segment_bytes(64 << 10)
}

/// Serves what is in this directory.
async fn serve(dir: &Path) -> Served {
    serve_with(storage(dir), Server::builder()).await
}

async fn serve_with(storage: StorageConfig, builder: ServerBuilder) -> Served {
    let (broker, report) = Broker::open(storage).unwrap();
    assert!(!report.has_damage(), "{report:?}");
    let builder = builder.default_partitions(1);
    let server = builder.bind(&broker).await.unwrap();
    Served { broker, server }
}

/// Stops in order.
async fn stop(served: Served) {
    served.server.shutdown().await;
    served.broker.storage().unwrap().close().unwrap();
}

/// What a crash would leave of this directory now.
fn crashed(dir: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to),
                false => drop(std::fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
    let copied = self::dir();
    copy(dir, copied.path());
    copied
}

impl Client {
    async fn producer_id(&mut self) -> i64 {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let response = self.ask(4, &request).await;
        assert_eq!(response.error_code, 0);
        response.producer_id.0
    }
}
