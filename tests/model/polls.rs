//! Polls for a task.
//!
//! The future of a poll has no state of its own, but borrows the consumer. So a kept future is
//! leaked here, and to resume it or drop it, another one is made.

use super::ops::{CONSUMERS, Op};
use super::reads::compare;
use super::run::{Run, TOPIC};
use ringlog::ConsumeError;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Counts how often its task is woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Run {
    pub(crate) fn poll_task(&mut self, i: usize, kept: bool) {
        let (Some(consumer), Some(reader)) = (&mut self.consumers[i], &mut self.readers[i]) else {
            return;
        };
        let expected = reader.poll(&self.log, self.setup.max_poll as usize);
        let unwoken = self.waits[i].take();
        let unwoken = unwoken.is_some_and(|wakes| wakes.0.load(Ordering::Relaxed) == 0);
        assert!(
            !unwoken || !matches!(expected, Ok(Some(_))),
            "not woken for {expected:?}"
        );
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut future = consumer.poll_async();
        let answer = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
        match (answer, expected) {
            (Poll::Ready(Ok(batch)), Ok(Some(expected))) => compare(&batch, &expected),
            (Poll::Ready(Err(answer)), Err(expected)) => assert_eq!(answer, expected),
            (Poll::Pending, Ok(None)) if kept => {
                mem::forget(future);
                self.waits[i] = Some(wakes);
            }
            (Poll::Pending, Ok(None)) => {}
            (answer, expected) => panic!("{answer:?}, but the reference has {expected:?}"),
        }
    }

    /// Reads all of a closed topic. Its end is reported after the last record, and not while a
    /// paused partition has more.
    pub(crate) fn read_to_the_end(&mut self, i: usize) {
        let (Some(consumer), Some(reader)) = (&mut self.consumers[i], &mut self.readers[i]) else {
            return;
        };
        let closed = ConsumeError::Closed {
            topic: TOPIC.into(),
        };
        loop {
            let expected = reader.poll(&self.log, self.setup.max_poll as usize);
            match (consumer.try_poll(), expected) {
                (Ok(batch), Ok(Some(expected))) => compare(&batch, &expected),
                (Err(answer), Err(ConsumeError::Wakeup)) => {
                    assert_eq!(answer, ConsumeError::Wakeup);
                }
                (Err(answer), Err(expected)) => return assert_eq!(answer, expected),
                (Err(answer), Ok(None)) => {
                    assert_eq!(answer, closed);
                    assert!(!reader.is_behind(&self.log) && consumer.is_finished());
                    // It has no more than one end.
                    return assert_eq!(consumer.try_poll().unwrap_err(), closed);
                }
                (Ok(batch), Ok(None)) => {
                    assert!(batch.is_empty() && reader.is_behind(&self.log));
                    return assert!(!consumer.is_finished());
                }
                (answer, expected) => panic!("{answer:?}, but the reference has {expected:?}"),
            }
        }
    }

    /// Before an operation that uses the consumer of a kept future: drops that.
    pub(crate) fn stop_waiting(&mut self, op: &Op) {
        for i in 0..CONSUMERS {
            let is_used = match op {
                Op::Poll(consumer, ..)
                | Op::Seek(consumer, ..)
                | Op::SetPaused(consumer, ..)
                | Op::Join(consumer, _)
                | Op::Leave(consumer)
                | Op::Subscribe(consumer)
                | Op::Assign(consumer, _)
                | Op::Unsubscribe(consumer) => *consumer == i,
                Op::Recreate(_) => true,
                _ => false,
            };
            let waited = is_used && self.waits[i].take().is_some();
            if let (true, Some(consumer)) = (waited, &mut self.consumers[i]) {
                drop(consumer.poll_async());
            }
        }
    }
}
