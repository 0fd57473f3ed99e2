//! Telling the user what a member has and has not any more.

use super::Consumer;
use crate::error::ConsumeError;
use crate::topic::TopicPartition;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Is told when a member of a group gets partitions and loses them (Kafka's
/// `ConsumerRebalanceListener`).
///
/// It is called from the member's own `poll`, `unsubscribe` or `subscribe`, and never with a lock
/// held; not when the consumer is dropped. If it panics, the member leaves the group, and the panic
/// goes on to the caller.
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
///         rebalance.commit().ok(); // the last chance to
///     }
///     fn lost(&mut self, partitions: &[TopicPartition]) {
///         println!("{partitions:?} are somebody else's by now");
///     }
/// }
///
/// let broker = Broker::new();
/// broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let mut consumer = broker.consumer(ConsumerConfig::new().group("billing"));
/// consumer.subscribe_with(&["orders"], Log)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait RebalanceListener: Send {
    /// These partitions are the member's from now on. Nothing was read from them yet.
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        let _ = rebalance;
    }

    /// These partitions are to go to others, and are still the member's while this runs. What
    /// earlier polls returned is committed already, if the member does so by itself.
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        let _ = rebalance;
    }

    /// These partitions are gone: the member was fenced, or their topic was deleted. Nothing can
    /// be committed any more.
    fn lost(&mut self, partitions: &[TopicPartition]) {
        let _ = partitions;
    }
}

/// What a [`RebalanceListener`] may do with its consumer meanwhile.
pub struct Rebalance<'c> {
    pub(super) consumer: &'c mut Consumer,
    pub(super) partitions: &'c [TopicPartition],
}

impl Rebalance<'_> {
    /// The partitions that come or go.
    pub fn partitions(&self) -> &[TopicPartition] {
        self.partitions
    }

    /// As [`Consumer::commit`].
    ///
    /// # Errors
    /// As there.
    pub fn commit(&mut self) -> Result<(), ConsumeError> {
        self.consumer.commit()
    }

    /// As [`Consumer::commit_offsets`].
    ///
    /// # Errors
    /// As there.
    pub fn commit_offsets(
        &mut self,
        offsets: &[(TopicPartition, u64)],
    ) -> Result<(), ConsumeError> {
        self.consumer.commit_offsets(offsets)
    }

    /// As [`Consumer::committed`].
    ///
    /// # Errors
    /// As there.
    pub fn committed(&self, topic: &str, partition: u32) -> Result<Option<u64>, ConsumeError> {
        self.consumer.committed(topic, partition)
    }

    /// As [`Consumer::position`].
    ///
    /// # Errors
    /// As there.
    pub fn position(&self, topic: &str, partition: u32) -> Result<u64, ConsumeError> {
        self.consumer.position(topic, partition)
    }

    /// As [`Consumer::seek`].
    ///
    /// # Errors
    /// As there.
    pub fn seek(&mut self, topic: &str, partition: u32, offset: u64) -> Result<(), ConsumeError> {
        self.consumer.seek(topic, partition, offset)
    }

    /// As [`Consumer::seek_to_beginning`].
    ///
    /// # Errors
    /// As there.
    pub fn seek_to_beginning(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        self.consumer.seek_to_beginning(topic, partition)
    }

    /// As [`Consumer::seek_to_end`].
    ///
    /// # Errors
    /// As there.
    pub fn seek_to_end(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        self.consumer.seek_to_end(topic, partition)
    }

    /// As [`Consumer::pause`].
    ///
    /// # Errors
    /// As there.
    pub fn pause(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        self.consumer.pause(topic, partition)
    }

    /// As [`Consumer::resume`].
    ///
    /// # Errors
    /// As there.
    pub fn resume(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        self.consumer.resume(topic, partition)
    }
}

impl fmt::Debug for Rebalance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rebalance")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

/// What a listener is told.
pub(super) enum RebalanceEvent {
    Assigned,
    Revoked,
    Lost,
}

impl Consumer {
    pub(super) fn notify_listener(&mut self, event: RebalanceEvent, partitions: &[TopicPartition]) {
        let listener = self.member.as_mut().and_then(|m| m.listener.take());
        let Some(mut listener) = listener else { return };
        if !partitions.is_empty() {
            self.call(|consumer| {
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
            member.listener = Some(listener);
        }
    }

    /// Runs what is not ours. If it panics, the member leaves the group, so that the others go
    /// on, and the panic goes on to the caller.
    pub(super) fn call<R>(&mut self, theirs: impl FnOnce(&mut Consumer) -> R) -> R {
        match catch_unwind(AssertUnwindSafe(|| theirs(self))) {
            Ok(result) => result,
            Err(panic) => {
                self.leave_group(false, false);
                self.unsubscribe();
                resume_unwind(panic)
            }
        }
    }
}
