//! A consumer as a `Stream` of owned records.

use super::Consumer;
use super::batch::Batch;
use crate::error::ConsumeError;
use crate::owned_record::OwnedRecord;
use crate::topic::TopicPartition;
use core::pin::Pin;
use core::task::{Context, Poll};
use futures_core::{FusedStream, Stream};
use std::collections::VecDeque;

/// A stream of a consumer's records, one at a time: see [`Consumer::into_stream`].
///
/// The stream reads a batch, copies it, and returns its records. It ends without an error when all
/// the consumer's topics are closed and read. Every other error is an item. After an error the
/// stream continues (a wake-up, a fenced member) or ends (no subscription, all topics deleted).
///
/// A member of a group counts as alive while its stream is pending, until the stream is polled
/// again, its [`consumer`](Self::consumer) is used, or it is dropped.
///
/// Records that are copied and not returned yet are not committed, neither automatically nor by
/// [`consumer`](Self::consumer)`().commit()`. The consumer's position is behind them.
#[derive(Debug)]
pub struct RecordStream {
    consumer: Consumer,
    /// Records that were copied and are not returned yet.
    buffered: VecDeque<OwnedRecord>,
    /// The consumer was lent out, and knows which records are not returned.
    lent_consumer: bool,
    ended: bool,
}

impl Consumer {
    /// Turns the consumer into a stream of its records, from its positions on.
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
    /// let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// consumer.subscribe(["orders"])?;
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
            buffered: VecDeque::new(),
            lent_consumer: false,
            ended: false,
        }
    }
}

impl RecordStream {
    /// The consumer, to commit, seek or pause with. Records copied before are still returned, and
    /// are not committed before they are. After a seek in their partition, commits follow the seek.
    pub fn consumer(&mut self) -> &mut Consumer {
        self.consumer.end_wait();
        let was_lent = core::mem::replace(&mut self.lent_consumer, true);
        let next = self.buffered.front();
        let next = next.map(|record| (record.topic_partition(), record.offset));
        self.consumer.set_unreturned(next, was_lent);
        &mut self.consumer
    }

    /// Turns the stream back into the consumer, at the first record that was not returned.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer no longer reads that record's partition: it
    /// has moved to another member, or its topic was deleted. The consumer is dropped then. To
    /// continue nevertheless, seek with [`consumer`](Self::consumer) and drain the stream instead.
    pub fn into_consumer(mut self) -> Result<Consumer, ConsumeError> {
        self.consumer.end_wait();
        if let Some(next) = self.buffered.front() {
            let partition = (next.topic.clone(), next.partition);
            self.consumer.seek(partition, next.offset)?;
        }
        Ok(self.consumer)
    }
}

impl Consumer {
    /// Says up to where a stream has returned this consumer's records: all of them, or those before
    /// an offset of a partition. If that `was_set` before and is not any more, the partition was
    /// sought since, and commits follow the seek.
    fn set_unreturned(&mut self, next: Option<(TopicPartition, u64)>, was_set: bool) {
        for assigned in &mut self.assigned {
            let is_sought = was_set && assigned.unreturned.is_none();
            let here = next
                .as_ref()
                .filter(|(partition, _)| !is_sought && assigned.is_of(partition));
            assigned.unreturned = here.map(|&(_, offset)| offset);
        }
        if let Some(member) = &mut self.member {
            member.positions_changed();
        }
    }
}

impl Stream for RecordStream {
    type Item = Result<OwnedRecord, ConsumeError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(record) = this.buffered.pop_front() {
            return Poll::Ready(Some(Ok(record)));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        if core::mem::take(&mut this.lent_consumer) {
            this.consumer.set_unreturned(None, true);
        }
        match this.consumer.poll_for_task(context.waker()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(i)) => {
                copy_records(&this.consumer.batch(i), &mut this.buffered);
                Poll::Ready(this.buffered.pop_front().map(Ok))
            }
            Poll::Ready(Err(error)) => {
                let closed = matches!(error, ConsumeError::Closed { .. });
                let all_closed = closed && this.consumer.is_finished();
                this.ended = all_closed || matches!(error, ConsumeError::NotSubscribed);
                if all_closed && !this.consumer.assigned.iter().any(|a| a.topic.is_deleted()) {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let buffered = self.buffered.len();
        (buffered, self.ended.then_some(buffered))
    }
}

impl FusedStream for RecordStream {
    fn is_terminated(&self) -> bool {
        self.ended && self.buffered.is_empty()
    }
}

fn copy_records(batch: &Batch<'_>, buffered: &mut VecDeque<OwnedRecord>) {
    let mut lost = batch.lost();
    for record in batch {
        buffered.push_back(OwnedRecord {
            lost: core::mem::take(&mut lost),
            ..record.to_owned()
        });
    }
}
