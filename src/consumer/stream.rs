//! A consumer as a stream of records that are its reader's own.

use super::Consumer;
use super::batch::Batch;
use crate::error::ConsumeError;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::{FusedStream, Stream};
use std::collections::VecDeque;
use std::sync::Arc;

/// A record that was copied out of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The offset there.
    pub offset: u64,
    /// Milliseconds since 1970 UTC; [`NO_TIMESTAMP`](crate::NO_TIMESTAMP) without one.
    pub timestamp: i64,
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in their order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Offsets that the reader missed just before this record.
    pub lost: u64,
}

/// A consumer's records, one by one: [`Consumer::into_stream`].
///
/// It reads a batch at a time, copies it, and hands it out. A stream ends when all of the consumer's
/// topics are closed and read; every other error is an item, after which the stream goes on (a
/// wake-up, a fenced member) or ends (nothing is subscribed, all topics are deleted).
///
/// What it has read and not handed out yet counts as returned by the consumer's poll; an automatic
/// commit follows with the poll after that, when all of it has been handed out.
#[derive(Debug)]
pub struct RecordStream {
    consumer: Consumer,
    read: VecDeque<OwnedRecord>,
    ended: bool,
}

impl Consumer {
    /// Its records as a stream, from its positions on.
    ///
    /// ```
    /// use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// use std::future::poll_fn;
    /// use std::pin::Pin;
    /// use futures_core::Stream; // or `futures::StreamExt`, and `stream.next()`
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new());
    /// consumer.subscribe(&["orders"])?;
    /// topic.producer().send(Record::new("login").key("user-001"))?;
    /// topic.close();
    ///
    /// let mut stream = consumer.into_stream();
    /// while let Some(record) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
    ///     assert_eq!(record?.value.as_deref(), Some(&b"login"[..]));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_stream(self) -> RecordStream {
        RecordStream {
            consumer: self,
            read: VecDeque::new(),
            ended: false,
        }
    }
}

impl RecordStream {
    /// The consumer, to commit, seek or pause with. What was read already is still handed out.
    pub fn consumer(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// The consumer again, at the first record that was not handed out.
    ///
    /// # Errors
    /// As [`Consumer::seek`], and the consumer is dropped then: its partition is another member's by
    /// now, or its topic is gone. Who wants to go on all the same seeks by [`consumer`](Self::consumer)
    /// and drains the stream.
    pub fn into_consumer(mut self) -> Result<Consumer, ConsumeError> {
        if let Some(next) = self.read.front() {
            let (topic, partition, offset) = (next.topic.clone(), next.partition, next.offset);
            self.consumer.seek(&topic, partition, offset)?;
        }
        Ok(self.consumer)
    }
}

impl Stream for RecordStream {
    type Item = Result<OwnedRecord, ConsumeError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(record) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(record)));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        match this.consumer.poll_for_task(context.waker()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(i)) => {
                copy(&this.consumer.batch(i), &mut this.read);
                Poll::Ready(this.read.pop_front().map(Ok))
            }
            Poll::Ready(Err(error)) => {
                let closed = matches!(error, ConsumeError::Closed { .. });
                let all_closed = closed && this.consumer.is_over();
                this.ended = all_closed || matches!(error, ConsumeError::NotSubscribed);
                if all_closed && !this.consumer.assigned.iter().any(|a| a.topic.is_deleted()) {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let all = self.ended.then_some(self.read.len());
        (self.read.len(), all)
    }
}

impl FusedStream for RecordStream {
    fn is_terminated(&self) -> bool {
        self.ended && self.read.is_empty()
    }
}

fn copy(batch: &Batch<'_>, read: &mut VecDeque<OwnedRecord>) {
    let topic: Arc<str> = batch.topic().into();
    let mut lost = batch.lost();
    for record in batch {
        read.push_back(OwnedRecord {
            topic: topic.clone(),
            partition: batch.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key().map(<[u8]>::to_vec),
            value: (!record.is_tombstone()).then(|| record.value().to_vec()),
            headers: record
                .headers()
                .map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
            lost: core::mem::take(&mut lost),
        });
    }
}
