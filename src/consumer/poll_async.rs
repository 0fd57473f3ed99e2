//! Polling from a task: the future of the next batch.

use super::Consumer;
use super::batch::Batch;
use super::poll::QuickRound;
use crate::error::ConsumeError;
use crate::wait::{Patience, Waited, wait};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

impl Consumer {
    /// Reads the next records of one partition as soon as there are some: [`poll`](Self::poll) for
    /// a task, without a timeout. The batch is never empty.
    ///
    /// Cancel safe: a future that is dropped before it is ready has read nothing, and the position
    /// has not moved. The future does not yield while there are records, so a task that reads a
    /// long log in a loop should yield to others now and then. It takes what there is, whatever
    /// [`fetch_min_records`](crate::ConsumerConfig::fetch_min_records) says.
    ///
    /// A member of a group that waits here counts as alive: its
    /// [`max_poll_interval`](crate::ConsumerConfig::max_poll_interval) begins when the future is
    /// ready or dropped. A future that is leaked counts as waiting until the consumer polls again or
    /// is dropped. A waiting task is woken by changes of its group, but does not find out by itself
    /// that *another* member is dead: a future has no timer. If members may die, let the task poll
    /// now and then (`tokio::time::timeout`), or have a member that polls from a thread.
    ///
    /// ```
    /// use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// consumer.subscribe(["orders"])?;
    ///
    /// tokio::spawn(async move { topic.producer().send_async(Record::new("login")).await });
    /// let batch = consumer.poll_async().await?;
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`poll`](Self::poll).
    pub fn poll_async(&mut self) -> PollAsync<'_> {
        PollAsync {
            consumer: Some(self),
        }
    }
}

impl Consumer {
    /// Polls for a task. If that is pending, the task is woken when another poll may find records.
    pub(super) fn poll_for_task(&mut self, waker: &Waker) -> Poll<Result<usize, ConsumeError>> {
        self.waiter.withdraw();
        if let QuickRound::Records(i) = self.quick_round(true) {
            return Poll::Ready(Ok(i));
        }
        if self.mode.is_none() {
            return Poll::Ready(Err(ConsumeError::NotSubscribed));
        }
        match wait(self, Patience::Task(waker)) {
            Waited::Ready(found) => Poll::Ready(found),
            Waited::TimedOut(_) | Waited::Pending => Poll::Pending,
        }
    }
}

/// The future of [`Consumer::poll_async`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct PollAsync<'c> {
    /// `None` when the future has completed. Polled again, it stays pending.
    consumer: Option<&'c mut Consumer>,
}

impl<'c> Future for PollAsync<'c> {
    type Output = Result<Batch<'c>, ConsumeError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(consumer) = self.consumer.as_deref_mut() else {
            return Poll::Pending;
        };
        let Poll::Ready(found) = consumer.poll_for_task(context.waker()) else {
            return Poll::Pending;
        };
        match (self.consumer.take(), found) {
            (Some(consumer), Ok(i)) => Poll::Ready(Ok(consumer.batch(i))),
            (_, Err(error)) => Poll::Ready(Err(error)),
            (None, Ok(_)) => Poll::Pending,
        }
    }
}

impl Drop for PollAsync<'_> {
    fn drop(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            consumer.waiter.withdraw();
            consumer.end_wait();
        }
    }
}

impl fmt::Debug for PollAsync<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollAsync")
            .field("consumer", &self.consumer)
            .finish()
    }
}
