//! A client that has read records which a power cut has taken.

use super::*;
use crate::durable::groups::{commit, offsets};
use ringlog::{Flush, ReadUpTo};
use std::collections::BTreeMap;

/// A consumer that goes the way of Kafka's: it asks for the end of the epoch of its last record when
/// the leader's epoch has changed, and goes back to there.
struct Consumer {
    /// The next offset, and the epoch of the record before it.
    position: (i64, i32),
    /// The current epoch.
    known: i32,
    read: BTreeMap<i64, String>,
    /// Where it went back to.
    truncations: Vec<i64>,
}

impl Consumer {
    async fn new(client: &mut Client) -> Consumer {
        Consumer {
            position: (0, -1),
            known: current(client, "orders", 0).await,
            read: BTreeMap::new(),
            truncations: Vec::new(),
        }
    }

    async fn validate(&mut self, client: &mut Client) {
        self.known = current(client, "orders", 0).await;
        let (offset, epoch) = self.position;
        let (error, _, end) = end_of(client, self.known, epoch).await;
        assert_eq!(error, 0);
        assert!(end >= 0);
        if end < offset {
            self.truncations.push(end);
            self.position.0 = end;
            self.read.split_off(&end);
        }
    }

    /// Reads up to the log's end.
    async fn read(&mut self, client: &mut Client) {
        loop {
            let data = fetched(client, self.known, self.position.0).await;
            if data.error_code == FENCED {
                self.validate(client).await;
                continue;
            }
            assert_eq!(data.error_code, 0);
            let Some((epoch, _, last)) = spans(&data).pop() else {
                return;
            };
            self.read.extend(records(&data));
            self.position = (last + 1, epoch);
        }
    }
}

/// The log as another reader finds it.
async fn all(client: &mut Client) -> BTreeMap<i64, String> {
    let mut consumer = Consumer::new(client).await;
    consumer.read(client).await;
    consumer.read
}

/// `readers[i]` has read in epoch `i`, and a power cut has taken some of it each time; then more, as
/// many or fewer records were appended.
#[tokio::test]
async fn a_client_finds_out_that_a_power_cut_has_taken_what_it_had_read() {
    for (kept, appended) in [(6, 8), (6, 4), (6, 1), (6, 0), (0, 9), (9, 3)] {
        let builder = || Server::builder().read_up_to(ReadUpTo::Sent);
        let mut dir = dir();
        let mut readers: Vec<Consumer> = Vec::new();
        let mut end = 0;
        for epoch in 0..4 {
            let served = serve_with(storage(dir.path()).flush(Flush::Manual), builder()).await;
            let mut client = served.client();
            assert!(current(&mut client, "orders", 0).await >= epoch);
            let topic = served.broker.topic("orders").unwrap();
            let send = |value: String| {
                let mut producer = topic.producer();
                producer.send(Record::new(value.as_bytes())).unwrap();
            };
            assert_eq!(topic.log_end_offset(0), Ok(end));
            if epoch > 0 {
                (0..appended).for_each(|n| send(format!("again {n} in {epoch}")));
            }
            for (number, reader) in readers.iter_mut().enumerate() {
                let expected = all(&mut client).await;
                reader.read(&mut client).await;
                assert_eq!(
                    reader.read, expected,
                    "{kept} {appended}: {number} in {epoch}"
                );
            }
            // These stay, and the rest does not.
            (0..kept).for_each(|n| send(format!("{n} of {epoch}")));
            topic.flush(std::time::Duration::from_secs(60)).unwrap();
            end = topic.log_end_offset(0).unwrap();
            let cut = crashed(dir.path());
            (0..5).for_each(|n| send(format!("lost {n} of {epoch}")));
            for reader in &mut readers {
                reader.read(&mut client).await;
            }
            let mut reader = Consumer::new(&mut client).await;
            reader.read(&mut client).await;
            assert_eq!(reader.read.len() as u64, end + 5);
            readers.push(reader);
            stop(served).await;
            dir = cut;
        }
        // Each has gone back at each start but its first.
        for (number, reader) in readers.iter().enumerate() {
            assert_eq!(reader.truncations.len(), 3 - number, "{kept} {appended}");
        }
    }
}

#[tokio::test]
async fn a_commit_of_records_that_are_gone_is_where_its_epoch_ended() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    append(&mut client, 0, 6).await;
    let before = crashed(dir.path());
    append(&mut client, 6, 10).await;
    let committed = commit("billing", &[("orders", 0, 10, 0, "")]);
    let response = client.ask(8, &committed).await;
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
    stop(served).await;
    // The commit is there, and the records are not.
    std::fs::remove_dir_all(before.path().join("kafka")).unwrap();
    std::fs::rename(dir.path().join("kafka"), before.path().join("kafka")).unwrap();
    let served = serve(before.path()).await;
    let mut client = served.client();
    append(&mut client, 6, 12).await;
    let found = offsets(&mut client, "billing").await;
    let expected = ("orders".to_owned(), 0, 6, 0, String::new());
    assert_eq!(found, [expected]);
    assert_eq!(end_of(&mut client, 1, 0).await, (0, 0, 6));
    stop(served).await;
}
