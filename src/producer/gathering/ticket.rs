//! What a gathered record's sender learns when the record is in the log: a [`Ticket`], or a call of
//! its callback.
//!
//! All tickets of one frame share a [`FrameOutcome`], which is made for the first of them. It is
//! set once: by the call that has appended the frame, or has taken its records back, and while that
//! call still has the buffer for itself. So a call that finds the buffer empty finds the tickets
//! set. The user's code (callbacks, wakers) runs when the call has released the buffer
//! ([`Completion::notify`]).

use crate::error::SendError;
use crate::record::{FrameMetadata, RecordMetadata};
use crate::sync::{Mutex, lock};
use crate::wait::contain_panic;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

/// Says where a gathered record went, once it is in the log: from
/// [`send_with_ticket`](crate::GatheringProducer::send_with_ticket).
///
/// [`get`](Self::get) answers at any time. As a future, it is ready when the record is in the log.
/// A ticket sends nothing: something has to, by filling the batch, by a later send or `flush_due`
/// when the record has lingered, or by a `flush`. A task that awaits a ticket of its own producer
/// before it flushes waits forever.
///
/// ```
/// # use ringlog::{Broker, GatheringConfig, Record, TopicConfig};
/// # let topic = Broker::new().create_topic("orders", TopicConfig::new())?;
/// let mut producer = topic.producer().gathering(GatheringConfig::new());
/// let ticket = producer.send_with_ticket(Record::new("login"))?;
/// assert_eq!(ticket.get(), None);
/// producer.flush()?;
/// let metadata = ticket.get().ok_or("not sent yet")??;
/// assert_eq!((metadata.partition, metadata.offset), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// A record that could not be sent for now stays gathered, and its ticket open. The ticket has an
/// error if the record will never be in the log:
///
/// - why the last attempt failed ([`SendError`]), if the producer was closed or dropped with the
///   record in its hands;
/// - [`SendError::Withdrawn`], if the record was taken back by `take_unsent`.
pub struct Ticket {
    state: TicketState,
    /// The record's own timestamp, if it has one.
    timestamp: Option<i64>,
}

enum TicketState {
    Appended(RecordMetadata),
    Gathered {
        outcome: Arc<FrameOutcome>,
        /// The record's position in its frame.
        rank: u32,
    },
}

impl Ticket {
    /// The ticket of a record that was not gathered, but appended at once.
    pub(super) fn appended(metadata: RecordMetadata) -> Ticket {
        Ticket {
            timestamp: metadata.timestamp(),
            state: TicketState::Appended(metadata),
        }
    }

    /// The record's partition, offset and timestamp, or why it will never be in the log. `None`
    /// while it is gathered.
    pub fn get(&self) -> Option<Result<RecordMetadata, SendError>> {
        match &self.state {
            TicketState::Appended(metadata) => Some(Ok(*metadata)),
            TicketState::Gathered { outcome, rank } => {
                let outcome = lock(&outcome.0);
                let result = outcome.result.as_ref()?;
                Some(record_result(result, *rank, self.timestamp))
            }
        }
    }
}

impl Future for Ticket {
    type Output = Result<RecordMetadata, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.get() {
            return Poll::Ready(result);
        }
        if let TicketState::Gathered { outcome, rank } = &self.state {
            // Cloned, and the old one dropped, outside of the lock: a waker is the user's code.
            let waker = context.waker().clone();
            let _old = outcome.enrol(*rank, waker);
        }
        // Again, if the outcome was set in between.
        self.get().map_or(Poll::Pending, Poll::Ready)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.get()).finish()
    }
}

/// A callback: called once, with what became of its record.
pub(super) type Callback = Box<dyn FnOnce(Result<RecordMetadata, SendError>) + Send>;

/// What the sender of a record wants to learn.
pub(super) enum Follower {
    Nothing,
    Ticket,
    Callback(Callback),
}

/// What became of a frame, for its tickets.
#[derive(Default)]
pub(super) struct FrameOutcome(Mutex<OutcomeState>);

#[derive(Default)]
struct OutcomeState {
    result: Option<Result<FrameMetadata, SendError>>,
    /// The tasks that wait, each by its record's position in the frame.
    wakers: Vec<(u32, Waker)>,
}

impl FrameOutcome {
    /// Enrols a task. Returns the waker that it replaces; or itself, if the outcome is set.
    fn enrol(&self, rank: u32, waker: Waker) -> Option<Waker> {
        let mut state = lock(&self.0);
        if state.result.is_some() {
            return Some(waker);
        }
        let enrolled = state.wakers.iter_mut().find(|(other, _)| *other == rank);
        match enrolled {
            Some((_, old)) => Some(core::mem::replace(old, waker)),
            None => {
                state.wakers.push((rank, waker));
                None
            }
        }
    }

    /// Sets the outcome. Returns the tasks to wake.
    fn set(&self, result: Result<FrameMetadata, SendError>) -> Vec<(u32, Waker)> {
        let mut state = lock(&self.0);
        state.result = Some(result);
        core::mem::take(&mut state.wakers)
    }
}

/// What became of the record at position `rank` of a frame.
fn record_result(
    frame: &Result<FrameMetadata, SendError>,
    rank: u32,
    timestamp: Option<i64>,
) -> Result<RecordMetadata, SendError> {
    let frame = frame.as_ref().map_err(SendError::clone)?;
    let offset = frame.base_offset + u64::from(rank);
    let timestamp = timestamp.or(frame.timestamp());
    Ok(RecordMetadata::new(frame.partition, offset, timestamp))
}

/// The tickets and callbacks of a frame.
#[derive(Default)]
pub(super) struct Followers {
    outcome: Option<Arc<FrameOutcome>>,
    callbacks: Vec<WaitingCallback>,
}

struct WaitingCallback {
    rank: u32,
    timestamp: Option<i64>,
    callback: Callback,
}

impl Followers {
    pub(super) fn ticket(&mut self, rank: u32, timestamp: Option<i64>) -> Ticket {
        let outcome = self.outcome.get_or_insert_default().clone();
        Ticket {
            state: TicketState::Gathered { outcome, rank },
            timestamp,
        }
    }

    pub(super) fn call_back(&mut self, rank: u32, timestamp: Option<i64>, callback: Callback) {
        self.callbacks.push(WaitingCallback {
            rank,
            timestamp,
            callback,
        });
    }

    /// Sets what became of the frame, for its tickets.
    pub(super) fn complete(self, result: Result<FrameMetadata, SendError>) -> Completion {
        let set = |outcome: Arc<FrameOutcome>| outcome.set(result.clone());
        Completion {
            wakers: self.outcome.map(set).unwrap_or_default(),
            callbacks: self.callbacks,
            result,
        }
    }
}

/// What is left to do for the followers of a frame: it runs the user's code.
pub(super) struct Completion {
    result: Result<FrameMetadata, SendError>,
    callbacks: Vec<WaitingCallback>,
    wakers: Vec<(u32, Waker)>,
}

impl Completion {
    /// Calls the callbacks, in the order of the records, and wakes the tasks. The caller holds no
    /// lock.
    pub(super) fn notify(self) {
        for waiting in self.callbacks {
            let result = record_result(&self.result, waiting.rank, waiting.timestamp);
            contain_panic(|| (waiting.callback)(result));
        }
        for (_, waker) in self.wakers {
            contain_panic(|| waker.wake());
        }
    }
}
