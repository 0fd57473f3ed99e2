//! The application's callbacks when a member gets and loses partitions.

use super::Consumer;
use super::rebalance::LeaveReason;
use crate::error::ConsumeError;
use crate::topic::TopicPartition;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Callbacks for when a member of a group gets and loses partitions (Kafka's
/// `ConsumerRebalanceListener`).
///
/// They are called from the member's own `poll`, `subscribe`, `unsubscribe` or `close`, never with
/// a lock held, and not when the consumer is dropped. If one panics, the member leaves the group,
/// and the panic continues in the caller.
///
/// ```
/// use ringlog::{
///     Broker, ConsumerConfig, Rebalance, RebalanceListener, TopicConfig, TopicPartition,
/// };
///
/// struct Log;
///
/// impl RebalanceListener for Log {
///     fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
///         println!("got {:?}", rebalance.partitions());
///     }
///     fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
///         rebalance.commit().ok(); // the last chance
///     }
///     fn lost(&mut self, partitions: &[TopicPartition]) {
///         println!("{partitions:?} may have other owners by now");
///     }
/// }
///
/// let broker = Broker::new();
/// broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let mut consumer = broker.consumer(ConsumerConfig::new().group("billing"))?;
/// consumer.subscribe_with(["orders"], Log)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait RebalanceListener: Send {
    /// The member owns these partitions from now on. Nothing was read from them yet.
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        let _ = rebalance;
    }

    /// The member gives up these partitions, and still owns them during this call. With
    /// [`auto_commit`](crate::ConsumerConfig::auto_commit), what earlier polls returned is
    /// committed already.
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        let _ = rebalance;
    }

    /// The member no longer owns these partitions: it was fenced, or their topic was deleted.
    /// Nothing can be committed there any more.
    fn lost(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }
}

/// The partitions of one rebalance, and what a [`RebalanceListener`] may do with its consumer.
pub struct Rebalance<'c> {
    consumer: &'c mut Consumer,
    partitions: &'c [TopicPartition],
}

impl Rebalance<'_> {
    /// The partitions that the member gets or gives up.
    pub fn partitions(&self) -> &[TopicPartition] {
        self.partitions
    }

    /// Calls [`Consumer::commit`].
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub fn commit(&mut self) -> Result<(), ConsumeError> {
        self.consumer.commit()
    }

    /// Calls [`Consumer::commit_offsets`].
    ///
    /// # Errors
    /// As [`Consumer::commit_offsets`].
    pub fn commit_offsets<P: Into<TopicPartition>>(
        &mut self,
        offsets: impl IntoIterator<Item = (P, u64)>,
    ) -> Result<(), ConsumeError> {
        self.consumer.commit_offsets(offsets)
    }

    /// Calls [`Consumer::committed`].
    ///
    /// # Errors
    /// As [`Consumer::committed`].
    pub fn committed(
        &self,
        partition: impl Into<TopicPartition>,
    ) -> Result<Option<u64>, ConsumeError> {
        self.consumer.committed(partition)
    }

    /// Calls [`Consumer::position`].
    ///
    /// # Errors
    /// As [`Consumer::position`].
    pub fn position(&self, partition: impl Into<TopicPartition>) -> Result<u64, ConsumeError> {
        self.consumer.position(partition)
    }

    /// Calls [`Consumer::seek`].
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub fn seek(
        &mut self,
        partition: impl Into<TopicPartition>,
        offset: u64,
    ) -> Result<(), ConsumeError> {
        self.consumer.seek(partition, offset)
    }

    /// Calls [`Consumer::seek_to_beginning`].
    ///
    /// # Errors
    /// As [`Consumer::seek_to_beginning`].
    pub fn seek_to_beginning(
        &mut self,
        partition: impl Into<TopicPartition>,
    ) -> Result<(), ConsumeError> {
        self.consumer.seek_to_beginning(partition)
    }

    /// Calls [`Consumer::seek_to_end`].
    ///
    /// # Errors
    /// As [`Consumer::seek_to_end`].
    pub fn seek_to_end(
        &mut self,
        partition: impl Into<TopicPartition>,
    ) -> Result<(), ConsumeError> {
        self.consumer.seek_to_end(partition)
    }

    /// Calls [`Consumer::pause`].
    ///
    /// # Errors
    /// As [`Consumer::pause`].
    pub fn pause(&mut self, partition: impl Into<TopicPartition>) -> Result<(), ConsumeError> {
        self.consumer.pause(partition)
    }

    /// Calls [`Consumer::resume`].
    ///
    /// # Errors
    /// As [`Consumer::resume`].
    pub fn resume(&mut self, partition: impl Into<TopicPartition>) -> Result<(), ConsumeError> {
        self.consumer.resume(partition)
    }
}

impl fmt::Debug for Rebalance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebalance")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

/// Which of the listener's callbacks is called.
pub(super) enum RebalanceEvent {
    Assigned,
    Revoked,
    Lost,
}

impl Consumer {
    /// Calls the listener, if there is one and there are partitions.
    pub(super) fn notify_listener(&mut self, event: RebalanceEvent, partitions: &[TopicPartition]) {
        let listener = self.member.as_mut().and_then(|m| m.take_listener());
        let Some(mut listener) = listener else { return };
        if !partitions.is_empty() {
            self.call_user_code(|consumer| {
                let mut rebalance = Rebalance {
                    consumer,
                    partitions,
                };
                match event {
                    RebalanceEvent::Assigned => listener.assigned(&mut rebalance),
                    RebalanceEvent::Revoked => listener.revoked(&mut rebalance),
                    RebalanceEvent::Lost => listener.lost(partitions),
                }
            });
        }
        if let Some(member) = &mut self.member {
            member.set_listener(Some(listener));
        }
    }

    /// Runs a listener or an assignor. If it panics, the member leaves the group, so that the other
    /// members get its partitions, and the panic continues in the caller.
    pub(super) fn call_user_code<R>(&mut self, user_code: impl FnOnce(&mut Consumer) -> R) -> R {
        match catch_unwind(AssertUnwindSafe(|| user_code(self))) {
            Ok(result) => result,
            Err(panic) => {
                self.leave_group(LeaveReason::Panicked);
                self.unsubscribe();
                resume_unwind(panic)
            }
        }
    }
}
