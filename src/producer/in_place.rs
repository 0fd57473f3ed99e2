//! A record written in place.

use super::Producer;
use super::appender::{FrameSize, WhenFull};
use crate::error::SendError;
use crate::log::segment::{ClaimMode, RecordClaim, in_place_size};
use crate::record::{Destination, NO_TIMESTAMP, RecordMetadata};
use core::fmt;
use core::ops::{Deref, DerefMut};

/// Room for one record, to be written in place: the bytes of its value.
///
/// They hold whatever lay there before. Dropped without [`publish`](Self::publish), also by
/// a panic, the claim becomes an aborted frame: its offset holds nothing, and readers step
/// over it.
///
/// Nothing that was borrowed from a claim can be written to after it is published:
///
/// ```compile_fail
/// # use ringlog::{Broker, Route, TopicConfig};
/// # let topic = Broker::new().create_topic("orders", TopicConfig::new())?;
/// # let mut producer = topic.producer();
/// let mut claim = producer.claim(Route::Any, None, 5)?;
/// let bytes: &mut [u8] = &mut claim;
/// claim.publish(); // moves `claim`, which is borrowed
/// bytes[0] = 1;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Claim<'p> {
    record: RecordClaim<'p>,
    metadata: RecordMetadata,
}

#[allow(private_bounds)]
impl<S: ClaimMode> Producer<S> {
    /// Claims room for a record with a value of `len` bytes, to be written in place.
    ///
    /// The claim has its offset already, so readers stop before it until it is published or
    /// dropped: fill it at once. A claim that is leaked (`mem::forget`) stops them for ever.
    ///
    /// ```
    /// # use ringlog::{Broker, Route, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// # let mut producer = topic.producer();
    /// let mut claim = producer.claim(Route::Any, Some(b"user-001"), 5)?;
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
        self.check()?;
        let partition = self.router.choose(destination, len)?;
        let time = self.appenders.topic.config().timestamps.stamp();
        let bytes = in_place_size(len, key.map(<[u8]>::len), time.is_some());
        let size = FrameSize::of_record(&self.appenders.topic, bytes)?;
        let frame = self
            .appenders
            .claim::<S>(partition, size, WhenFull::Block)?;
        let record = frame.begin_record(len, key, time);
        Ok(Claim {
            metadata: RecordMetadata {
                partition,
                offset: record.offset(),
                timestamp: time.unwrap_or(NO_TIMESTAMP),
            },
            record,
        })
    }
}

impl Claim<'_> {
    /// Makes the record visible to readers.
    #[inline]
    pub fn publish(self) -> RecordMetadata {
        self.record.publish();
        self.metadata
    }

    /// Where the record will be.
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
