//! A record written in place.

use crate::frame::Descriptor;
use crate::record::RecordMetadata;
use crate::segment;
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
    pub(crate) frame: segment::Claim<'p>,
    pub(crate) descriptor: Descriptor,
    pub(crate) metadata: RecordMetadata,
}

impl Claim<'_> {
    /// Makes the record visible to readers.
    #[inline]
    pub fn publish(self) -> RecordMetadata {
        self.frame.publish(self.descriptor);
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
        &self.frame.bytes_ref()[..self.descriptor.length()]
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.frame.bytes()[..self.descriptor.length()]
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
