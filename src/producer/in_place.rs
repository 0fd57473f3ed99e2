//! `claim`: a record whose value the caller writes in place.
//!
//! The public [`Claim`] is a claimed frame together with the metadata that its record will have. A
//! claim that is dropped unpublished becomes an aborted frame.

use super::appender::{FrameSize, WhenFull};
use super::{Producer, ProducerMode};
use crate::error::SendError;
use crate::log::segment::{RecordClaim, in_place_size};
use crate::record::{Destination, RecordMetadata};
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Room for one record in the log. It dereferences to the bytes of the record's value, for the
/// caller to fill.
///
/// At first the bytes are whatever the memory held before. A claim that is dropped without
/// [`publish`](Self::publish), also by a panic, becomes an aborted frame: there is no record at its
/// offset, and readers step over it.
///
/// The value cannot be written to after the claim is published:
///
/// ```compile_fail
/// # use ringlog::{Broker, Destination, TopicConfig};
/// # let topic = Broker::new().create_topic("orders", TopicConfig::new())?;
/// # let mut producer = topic.producer();
/// let mut claim = producer.claim(Destination::Any, None, 5)?;
/// let bytes: &mut [u8] = &mut claim;
/// claim.publish(); // moves `claim`, which is borrowed
/// bytes[0] = 1;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Claim<'p> {
    record: RecordClaim<'p>,
    metadata: RecordMetadata,
}

impl<M: ProducerMode> Producer<M> {
    /// Claims room for a record with a value of `len` bytes, which the caller writes in place.
    ///
    /// `key` is stored with the record. With [`Destination::Any`] it also chooses the partition, as
    /// the key of a [`Record`](crate::Record) does; any other destination takes precedence over it.
    /// Waits for room up to [`max_block`](Self::max_block).
    ///
    /// The claim has its offset already, so readers of the partition stop before it until it is
    /// published or dropped. Fill it at once. A claim that is leaked (`mem::forget`) stops them
    /// forever.
    ///
    /// ```
    /// # use ringlog::{Broker, Destination, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// # let mut producer = topic.producer();
    /// let mut claim = producer.claim(Destination::Any, Some(b"user-001"), 5)?;
    /// claim.copy_from_slice(b"login");
    /// let metadata = claim.publish();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Producer`].
    pub fn claim(
        &mut self,
        destination: Destination<'_>,
        key: Option<&[u8]>,
        len: usize,
    ) -> Result<Claim<'_>, SendError> {
        self.check_topic()?;
        let destination = match (destination, key) {
            (Destination::Any, Some(key)) => Destination::Key(key),
            _ => destination,
        };
        let partition = self.router.choose(destination, len)?;
        let timestamp = self.appenders.topic.config().stamp();
        let bytes = in_place_size(len, key.map(<[u8]>::len), timestamp.is_some());
        let size = FrameSize::of_record(&self.appenders.topic, bytes)?;
        let frame = self
            .appenders
            .claim::<M>(partition, size, WhenFull::Block)?;
        let record = frame.begin_record(len, key, timestamp);
        Ok(Claim {
            metadata: RecordMetadata::new(partition, record.offset(), timestamp),
            record,
        })
    }
}

impl Claim<'_> {
    /// Makes the record visible to readers, and returns its metadata.
    #[inline]
    pub fn publish(self) -> RecordMetadata {
        self.record.publish();
        self.metadata
    }

    /// The partition, offset and timestamp that the record will have.
    #[inline]
    pub fn metadata(&self) -> RecordMetadata {
        self.metadata
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.record.value()
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.record.value_mut()
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("metadata", &self.metadata)
            .field("len", &self.len())
            .finish()
    }
}
