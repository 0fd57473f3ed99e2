//! The producers of a [`SharedProducer`](super::SharedProducer): one for each call that runs, and
//! a free list of idle ones.
//!
//! A call takes an idle producer, or makes one if there is none, and puts it back when it ends:
//!
//! ```text
//! take      idle != 0: clear the lowest bit, take the producer out of that slot
//!           idle == 0: make a producer; it is given an unassigned slot, if there is one
//! put back  slot assigned: put it into its slot, set its bit in idle
//!           no slot: drop it
//! ```
//!
//! - A bit of `idle` is set while its slot holds a producer that no call uses. The call that clears
//!   the bit is the only one that may use that slot until it sets the bit again.
//! - A producer is made only by a call that has read `idle == 0`. At that moment every other
//!   producer was in the hands of another call. So there are never more producers, and spare
//!   segments, than calls that ran at the same time.
//! - A slot is assigned for good. A producer without one lives for one call. So no more idle ones
//!   are kept than there are slots.
//! - The lowest bit is taken first. So calls that follow one another use one producer, whose
//!   segment and sticky partition are known, and whose memory is in the caches.
//!
//! **A thread that stops** in a call keeps the producer of that call from the others, which take or
//! make another one. The two words are read and changed by single atomic operations; a failed one
//! means that another call was successful. A slot's lock is only locked by the call that owns the
//! slot: its predecessor has unlocked it before it set the bit. So no call waits for it. It takes
//! the place of an unsafe cell, and makes the slot's content visible, so the words need no ordering.
//!
//! The user's partitioner runs with the producer taken out of its slot, so it may use the same
//! handle: it takes another producer. If it panics, the producer is put back as it is, which is
//! complete (nothing was claimed).

use super::Producer;
use crate::sync::{AtomicU64, Mutex, MutexGuard, lock, ord};
use crate::topic::TopicShared;
use core::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The most slots: one bit of a word each.
const MAX_SLOTS: usize = u64::BITS as usize;

/// Idle producers that are kept at most: as many as there are threads that can run at once.
fn slot_count() -> usize {
    #[cfg(not(loom))]
    let count = std::thread::available_parallelism().map_or(16, usize::from);
    #[cfg(loom)]
    let count = 1;
    count.min(MAX_SLOTS)
}

pub(super) struct ProducerPool {
    topic: Arc<TopicShared>,
    /// One bit for each slot: set while its producer is idle.
    idle: AtomicU64,
    /// One bit for each slot: set while it is assigned to no producer.
    unassigned: AtomicU64,
    /// Boxed, so that a call moves a pointer. (A producer fills several cache lines.)
    slots: Box<[Mutex<Option<Box<Producer>>>]>,
}

/// Takes the lowest bit that is set in `word`. `None` if at some moment none was.
fn take_lowest_bit(word: &AtomicU64) -> Option<u32> {
    let mut bits = word.load(ord!(Relaxed));
    while bits != 0 {
        let bit = bits & bits.wrapping_neg();
        let before = word.fetch_and(!bit, ord!(Relaxed));
        if before & bit != 0 {
            return Some(bit.trailing_zeros());
        }
        bits = before; // another call was first
    }
    None
}

impl ProducerPool {
    /// A pool with one producer, idle. While the pool lives it always has one, so the topic counts
    /// a producer, and no exclusive one can enter between two calls.
    pub(super) fn new(topic: Arc<TopicShared>) -> ProducerPool {
        let count = slot_count();
        let all = u64::MAX >> (MAX_SLOTS - count);
        let mut first = Some(Box::new(Producer::shared(topic.clone())));
        ProducerPool {
            topic,
            idle: AtomicU64::new(1),
            unassigned: AtomicU64::new(all & !1),
            slots: (0..count).map(|_| Mutex::new(first.take())).collect(),
        }
    }

    pub(super) fn topic(&self) -> &Arc<TopicShared> {
        &self.topic
    }

    /// The content of a slot, for the call that owns it.
    fn slot(&self, slot: u32) -> MutexGuard<'_, Option<Box<Producer>>> {
        let slot = &self.slots[slot as usize];
        #[cfg(loom)]
        assert!(slot.try_lock().is_ok(), "a call waits for a slot");
        lock(slot)
    }

    /// A producer for one call.
    pub(super) fn take(&self) -> PooledProducer<'_> {
        if let Some(slot) = take_lowest_bit(&self.idle) {
            let producer = self.slot(slot).take();
            if let Some(producer) = producer {
                return PooledProducer {
                    pool: self,
                    slot: Some(slot),
                    producer: Some(producer),
                };
            }
            debug_assert!(false, "an idle bit without its producer");
        }
        self.make()
    }

    #[cold]
    fn make(&self) -> PooledProducer<'_> {
        let producer = Box::new(Producer::shared(self.topic.clone()));
        PooledProducer {
            pool: self,
            slot: take_lowest_bit(&self.unassigned),
            producer: Some(producer),
        }
    }
}

/// A producer that one call uses. Dropping it puts the producer back.
pub(super) struct PooledProducer<'p> {
    pool: &'p ProducerPool,
    /// `None` if all slots are assigned to others.
    slot: Option<u32>,
    /// `None` only while it is dropped.
    producer: Option<Box<Producer>>,
}

impl Deref for PooledProducer<'_> {
    type Target = Producer;

    fn deref(&self) -> &Producer {
        match &self.producer {
            Some(producer) => producer,
            None => unreachable!("used while it is dropped"),
        }
    }
}

impl DerefMut for PooledProducer<'_> {
    fn deref_mut(&mut self) -> &mut Producer {
        match &mut self.producer {
            Some(producer) => producer,
            None => unreachable!("used while it is dropped"),
        }
    }
}

impl Drop for PooledProducer<'_> {
    fn drop(&mut self) {
        let (Some(mut producer), Some(slot)) = (self.producer.take(), self.slot) else {
            return; // without a slot, it was made for this call alone
        };
        // A panic of the user's code, in the middle of a wait, leaves the call enrolled.
        producer.appenders.waiter.withdraw();
        *self.pool.slot(slot) = Some(producer);
        self.pool.idle.fetch_or(1 << slot, ord!(Relaxed));
    }
}
