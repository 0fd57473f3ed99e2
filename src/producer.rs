//! Sending: from a record to a published frame.
//!
//! Shared and exclusive producers are one type with one step different
//! ([`ClaimStep`]). A send takes no lock, allocates nothing, and
//! looks at nothing that consumers write, except when a segment is full.

use crate::clock;
use crate::config::Timestamps;
use crate::encode::{self, Share};
use crate::error::{BatchError, SendError};
use crate::frame::{self, Descriptor, Flags, Kind, UNIFORM_HEAD, UNIT};
use crate::partition::Blocked;
use crate::partitioner::Router;
use crate::record::{FrameMetadata, NO_TIMESTAMP, Record, RecordMetadata, Route};
use crate::segment::{self, ClaimStep, Exclusive, Shared};
use crate::topic::TopicInner;
use crate::wait::Waiter;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use zerocopy::{Immutable, IntoBytes};

/// A producer that has its topic for itself: see
/// [`Topic::exclusive_producer`](crate::Topic::exclusive_producer).
pub type ExclusiveProducer = Producer<Exclusive>;

/// Sends records to one topic.
///
/// Each thread has its own: clone it. A clone is a producer of its own, with a place of its
/// own in the topic.
///
/// ```
/// # use ringlog::{Broker, Record, TopicConfig};
/// # let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let mut producer = topic.producer();
/// let first = producer.send(Record::new(b"login").key(b"user-001"))?;
/// let second = producer.send(Record::new(b"purchase").key(b"user-001"))?;
/// assert_eq!(first.partition, second.partition);
/// assert_eq!(first.offset + 1, second.offset);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// All sending calls refuse with [`SendError`]: `RecordTooLarge` or `BatchTooLarge` when the
/// frame could never fit; `PartitionOutOfRange`; `InvalidTimestamp`; `Full` when there was
/// no room within [`max_block`](crate::TopicConfig::max_block), or at once for the `try_`
/// calls; `Closed` after the topic was deleted; `ExclusiveProducer` while another producer
/// has the topic for itself; `Exhausted` at the end of all offsets. A refused record was
/// not appended, and is still the caller's.
#[allow(private_bounds)]
pub struct Producer<S: ClaimStep = Shared> {
    topic: Arc<TopicInner>,
    router: Router,
    /// For each partition, the segment of the last claim.
    cached: Box<[u16]>,
    /// No exclusive producer can be there (always so once it was so).
    admitted: bool,
    scratch: Scratch,
    step: PhantomData<fn() -> S>,
}

/// What `send_batch` works out, kept from call to call so that it need not allocate.
#[derive(Default)]
struct Scratch {
    /// For each partition: its share, where its records begin in `order`, and the base
    /// offset of its frame.
    shares: Vec<Share>,
    starts: Vec<u32>,
    bases: Vec<u64>,
    /// For each record: its partition, and its place in the partition's share.
    partitions: Vec<u32>,
    ranks: Vec<u32>,
    /// The records, partition by partition.
    order: Vec<u32>,
}

impl Producer<Shared> {
    pub(crate) fn shared(topic: Arc<TopicInner>) -> Self {
        let admitted = topic.enter_shared();
        Self::new(topic, admitted)
    }
}

impl Producer<Exclusive> {
    /// The topic has let its caller in as the only producer.
    pub(crate) fn exclusive(topic: Arc<TopicInner>) -> Self {
        Self::new(topic, true)
    }
}

#[allow(private_bounds)]
impl<S: ClaimStep> Producer<S> {
    fn new(topic: Arc<TopicInner>, admitted: bool) -> Self {
        let config = topic.config();
        let partitions = config.partitions;
        // Producers begin at partitions spread by where their handles lie.
        let start = (Arc::strong_count(&topic) as u32).wrapping_sub(2);
        Producer {
            router: Router::new(config.partitioner.clone(), partitions, start % partitions),
            cached: (0..partitions).map(|_| 0).collect(),
            admitted,
            scratch: Scratch::default(),
            step: PhantomData,
            topic,
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.topic.name()
    }

    /// Sends a record, waiting up to [`max_block`](crate::TopicConfig::max_block) for room.
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline]
    pub fn send(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.append(&record, true)
    }

    /// Sends a record if there is room at once.
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline]
    pub fn try_send(&mut self, record: Record<'_>) -> Result<RecordMetadata, SendError> {
        self.append(&record, false)
    }

    #[inline(always)]
    fn append(&mut self, record: &Record<'_>, wait: bool) -> Result<RecordMetadata, SendError> {
        self.check()?;
        let time = match record.given_timestamp() {
            Some(time) => Some(check_time(time)?),
            None => match self.topic.config().timestamps {
                Timestamps::Append => Some(clock::now()),
                Timestamps::Given => None,
            },
        };
        let partition = self.router.record(record);
        let partition = partition.map_err(|wrong| self.out_of_range(wrong))?;
        let units = self.units(encode::record_bytes(record, time.is_some()))?;
        let mut claim =
            Self::claim_frame(&self.topic, &mut self.cached, partition, 1, units, wait)?;
        let (unit, offset) = (claim.unit(), claim.offset());
        let descriptor = encode::write_record(claim.bytes(), unit, record, time);
        claim.publish(descriptor);
        Ok(RecordMetadata {
            partition,
            offset,
            timestamp: time.unwrap_or(NO_TIMESTAMP),
        })
    }

    /// Sends a batch: each partition's share as one frame, which readers see all of or
    /// nothing. Waits for room up to `max_block` for each share.
    ///
    /// Within a partition the records keep their order.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new().partitions(3))?;
    /// # let mut producer = topic.producer();
    /// let batch = [Record::new(b"a").key("k1"), Record::new(b"b").key("k2")];
    /// let sent = producer.send_batch(&batch)?;
    /// assert_eq!(sent.len(), 2);
    /// for metadata in &sent {
    ///     println!("partition {} offset {}", metadata.partition, metadata.offset);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Producer`]. Records that could never be appended refuse the whole batch
    /// beforehand; a share that finds no room leaves earlier shares appended, and
    /// [`BatchError`] says which records are not.
    pub fn send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.append_batch(records, true)
    }

    /// Sends a batch, without waiting for room.
    ///
    /// # Errors
    /// As [`send_batch`](Self::send_batch).
    pub fn try_send_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> Result<BatchMetadata<'a>, BatchError> {
        self.append_batch(records, false)
    }

    fn append_batch<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
        wait: bool,
    ) -> Result<BatchMetadata<'a>, BatchError> {
        if let Err(cause) = self.plan(records) {
            return Err(BatchError {
                cause,
                appended: 0,
                refused: (0..records.len()).collect(),
            });
        }
        let time = self.time();
        for partition in 0..self.scratch.shares.len() {
            let share = self.scratch.shares[partition];
            if share.records == 0 {
                continue;
            }
            // `plan` has checked that both fit.
            let units = share.bytes().unwrap_or_default() / UNIT;
            let claim = Self::claim_frame(
                &self.topic,
                &mut self.cached,
                partition as u32,
                share.records as u32,
                units as u32,
                wait,
            );
            let mut claim = match claim {
                Ok(claim) => claim,
                Err(cause) => return Err(self.refused(cause, partition)),
            };
            let (unit, base) = (claim.unit(), claim.offset());
            let scratch = &self.scratch;
            let order = &scratch.order[scratch.starts[partition] as usize..][..share.records];
            let records = order.iter().map(|&i| &records[i as usize]);
            let descriptor = share.write(claim.bytes(), unit, records, time);
            claim.publish(descriptor);
            self.scratch.bases[partition] = base;
        }
        Ok(BatchMetadata {
            scratch: &self.scratch,
            records,
            time,
        })
    }

    /// Works out each partition's share of a batch, and refuses what could never go in.
    fn plan(&mut self, records: &[Record<'_>]) -> Result<(), SendError> {
        self.check()?;
        let partitions = self.topic.config().partitions as usize;
        let scratch = &mut self.scratch;
        scratch.shares.clear();
        scratch.shares.resize(partitions, Share::default());
        scratch.bases.resize(partitions, 0);
        scratch.partitions.clear();
        scratch.ranks.clear();
        for record in records {
            if let Some(time) = record.given_timestamp() {
                check_time(time)?;
            }
            let partition = match self.router.record(record) {
                Ok(partition) => partition,
                Err(wrong) => return Err(self.out_of_range(wrong)),
            };
            let share = &mut scratch.shares[partition as usize];
            scratch.partitions.push(partition);
            scratch.ranks.push(share.records as u32);
            share.add(record);
        }
        let mut start = 0;
        scratch.starts.clear();
        for (partition, share) in scratch.shares.iter().enumerate() {
            scratch.starts.push(start);
            start += share.records as u32;
            let shape = self.topic.pool().shape();
            let bytes = share.bytes();
            if bytes.is_none_or(|bytes| bytes > shape.data_bytes())
                || share.records > shape.records as usize
            {
                return Err(SendError::BatchTooLarge {
                    partition: partition as u32,
                    records: share.records as u64,
                    size: bytes.map_or(u64::MAX, |bytes| bytes as u64),
                    max_records: shape.records.into(),
                    max: shape.data_bytes() as u64,
                });
            }
        }
        scratch.order.resize(records.len(), 0);
        let places = scratch.partitions.iter().zip(&scratch.ranks);
        for (i, (&partition, &rank)) in places.enumerate() {
            scratch.order[(scratch.starts[partition as usize] + rank) as usize] = i as u32;
        }
        Ok(())
    }

    /// The shares from `partition` on were not appended.
    #[cold]
    fn refused(&self, cause: SendError, partition: usize) -> BatchError {
        let appended = self.scratch.starts[partition] as usize;
        let mut refused: Vec<usize> = self.scratch.order[appended..]
            .iter()
            .map(|&i| i as usize)
            .collect();
        refused.sort_unstable();
        BatchError {
            cause,
            appended,
            refused,
        }
    }

    /// Sends fixed-size values as one frame, which readers see all of or nothing: the
    /// fastest way in. They are records without keys, readable one by one, or in place as
    /// `T` through [`Batch::values`](crate::Batch::values). With `Route::Key` the key only
    /// chooses the partition.
    ///
    /// ```
    /// # use ringlog::{Broker, Route, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("ticks", TopicConfig::new())?;
    /// let sent = topic.producer().send_values(Route::Any, &[1.5f64, 2.5])?;
    /// assert_eq!((sent.base_offset, sent.records), (0, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline]
    pub fn send_values<T: IntoBytes + Immutable>(
        &mut self,
        route: Route<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        self.append_values(route, values.as_bytes(), values.len(), size_of::<T>(), true)
    }

    /// Sends fixed-size values, without waiting for room.
    ///
    /// # Errors
    /// See [`Producer`].
    #[inline]
    pub fn try_send_values<T: IntoBytes + Immutable>(
        &mut self,
        route: Route<'_>,
        values: &[T],
    ) -> Result<FrameMetadata, SendError> {
        self.append_values(
            route,
            values.as_bytes(),
            values.len(),
            size_of::<T>(),
            false,
        )
    }

    fn append_values(
        &mut self,
        route: Route<'_>,
        values: &[u8],
        records: usize,
        value: usize,
        wait: bool,
    ) -> Result<FrameMetadata, SendError> {
        self.check()?;
        let partition = self.router.route(route, values.len());
        let partition = partition.map_err(|wrong| self.out_of_range(wrong))?;
        let shape = self.topic.pool().shape();
        let bytes = frame::uniform_bytes(records, value);
        let units = match bytes {
            Some(bytes) if bytes <= shape.data_bytes() && records <= shape.records as usize => {
                (bytes / UNIT) as u32
            }
            _ => {
                return Err(SendError::BatchTooLarge {
                    partition,
                    records: records as u64,
                    size: bytes.map_or(u64::MAX, |bytes| bytes as u64),
                    max_records: shape.records.into(),
                    max: shape.data_bytes() as u64,
                });
            }
        };
        let timestamp = self.time();
        if records == 0 {
            return Ok(FrameMetadata {
                partition,
                base_offset: self
                    .topic
                    .partition(partition)
                    .log_end_offset(self.topic.pool()),
                records: 0,
                timestamp,
            });
        }
        let mut claim = Self::claim_frame(
            &self.topic,
            &mut self.cached,
            partition,
            records as u32,
            units,
            wait,
        )?;
        let (unit, base_offset) = (claim.unit(), claim.offset());
        let out = claim.bytes();
        encode::write_uniform_head(out, value, timestamp);
        out[UNIFORM_HEAD..][..values.len()].copy_from_slice(values);
        claim.publish(Descriptor::new(Kind::Uniform, unit, records as u64));
        Ok(FrameMetadata {
            partition,
            base_offset,
            records: records as u64,
            timestamp,
        })
    }

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
        route: Route<'_>,
        key: Option<&[u8]>,
        len: usize,
    ) -> Result<Claim<'_>, SendError> {
        self.check()?;
        let partition = self.router.route(route, len);
        let partition = partition.map_err(|wrong| self.out_of_range(wrong))?;
        let time = match self.topic.config().timestamps {
            Timestamps::Append => Some(clock::now()),
            Timestamps::Given => None,
        };
        let bytes = frame::record_bytes(len, time.is_some(), key.map(<[u8]>::len), 0);
        let units = self.units(bytes)?;
        let mut frame =
            Self::claim_frame(&self.topic, &mut self.cached, partition, 1, units, true)?;
        encode::write_behind(frame.bytes(), frame::padded(len), key, &[], time);
        let flags = Flags {
            key: key.is_some(),
            ..Flags::default()
        };
        Ok(Claim {
            metadata: RecordMetadata {
                partition,
                offset: frame.offset(),
                timestamp: time.unwrap_or(NO_TIMESTAMP),
            },
            descriptor: Descriptor::record(frame.unit(), len, time.is_some(), flags),
            frame,
        })
    }

    // ---- the parts of a send ------------------------------------------------------------

    /// May this producer send at all?
    #[inline]
    fn check(&mut self) -> Result<(), SendError> {
        if self.admitted && !self.topic.is_closed() {
            return Ok(());
        }
        self.check_slowly()
    }

    #[cold]
    fn check_slowly(&mut self) -> Result<(), SendError> {
        let topic = self.topic.name();
        if self.topic.is_closed() {
            return Err(SendError::Closed {
                topic: topic.clone(),
            });
        }
        if !self.admitted && !self.topic.is_shared() {
            return Err(SendError::ExclusiveProducer {
                topic: topic.clone(),
            });
        }
        self.admitted = true;
        Ok(())
    }

    /// The time of records that were given none.
    fn time(&self) -> i64 {
        match self.topic.config().timestamps {
            Timestamps::Append => clock::now(),
            Timestamps::Given => NO_TIMESTAMP,
        }
    }

    /// A record's bytes as units, if a segment can hold it.
    #[inline]
    fn units(&self, bytes: Option<usize>) -> Result<u32, SendError> {
        let max = self.topic.pool().shape().data_bytes();
        match bytes {
            Some(bytes) if bytes <= max => Ok((bytes / UNIT) as u32),
            _ => Err(SendError::RecordTooLarge {
                size: bytes.map_or(u64::MAX, |bytes| bytes as u64),
                max: max as u64,
            }),
        }
    }

    /// Claims a frame that fits a segment. Apart from `self`, so that what else a producer
    /// has stays free to use while the claim lives.
    #[inline(always)]
    fn claim_frame<'p>(
        topic: &'p TopicInner,
        cached: &mut [u16],
        partition: u32,
        records: u32,
        units: u32,
        wait: bool,
    ) -> Result<segment::Claim<'p>, SendError> {
        let cached = &mut cached[partition as usize];
        let claim = topic
            .partition(partition)
            .claim::<S>(topic.pool(), cached, records, units);
        match claim {
            Ok(claim) => Ok(claim),
            Err(blocked) => {
                Self::claim_when_room(topic, partition, cached, records, units, wait, blocked)
            }
        }
    }

    #[cold]
    fn claim_when_room<'p>(
        topic: &'p TopicInner,
        partition: u32,
        cached: &mut u16,
        records: u32,
        units: u32,
        wait: bool,
        mut blocked: Blocked,
    ) -> Result<segment::Claim<'p>, SendError> {
        let config = topic.config();
        let limit = if wait {
            config.max_block
        } else {
            Duration::ZERO
        };
        let mut waiter = Waiter::new(config.wait, limit);
        loop {
            if blocked == Blocked::Exhausted {
                return Err(SendError::Exhausted {
                    topic: topic.name().clone(),
                    partition,
                });
            }
            if !waiter.wait() {
                return Err(SendError::Full {
                    topic: topic.name().clone(),
                    partition,
                    waited: waiter.waited(),
                });
            }
            if topic.is_closed() {
                return Err(SendError::Closed {
                    topic: topic.name().clone(),
                });
            }
            let claim = topic
                .partition(partition)
                .claim::<S>(topic.pool(), cached, records, units);
            match claim {
                Ok(claim) => return Ok(claim),
                Err(again) => blocked = again,
            }
        }
    }

    #[cold]
    fn out_of_range(&self, partition: u32) -> SendError {
        SendError::PartitionOutOfRange {
            partition,
            partitions: self.topic.config().partitions,
        }
    }
}

#[inline]
fn check_time(time: i64) -> Result<i64, SendError> {
    if time < 0 {
        return Err(SendError::InvalidTimestamp { timestamp: time });
    }
    Ok(time)
}

impl Clone for Producer<Shared> {
    fn clone(&self) -> Self {
        Self::shared(self.topic.clone())
    }
}

#[allow(private_bounds)]
impl<S: ClaimStep> Drop for Producer<S> {
    fn drop(&mut self) {
        self.topic.leave_producer(S::EXCLUSIVE);
    }
}

#[allow(private_bounds)]
impl<S: ClaimStep> fmt::Debug for Producer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("topic", self.topic.name())
            .field("exclusive", &S::EXCLUSIVE)
            .finish_non_exhaustive()
    }
}

/// Where the records of a batch went, in the order they were given.
#[derive(Clone, Copy)]
pub struct BatchMetadata<'a> {
    scratch: &'a Scratch,
    records: &'a [Record<'a>],
    time: i64,
}

impl<'a> BatchMetadata<'a> {
    /// How many records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the batch was empty.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Where record `i` of the batch went.
    pub fn get(&self, i: usize) -> Option<RecordMetadata> {
        let record = self.records.get(i)?;
        let partition = self.scratch.partitions[i];
        let rank = u64::from(self.scratch.ranks[i]);
        Some(RecordMetadata {
            partition,
            offset: self.scratch.bases[partition as usize] + rank,
            timestamp: record.given_timestamp().unwrap_or(self.time),
        })
    }

    /// Where each record went.
    pub fn iter(&self) -> BatchMetadataIter<'a> {
        BatchMetadataIter {
            all: *self,
            next: 0,
        }
    }
}

impl<'a> IntoIterator for &BatchMetadata<'a> {
    type Item = RecordMetadata;
    type IntoIter = BatchMetadataIter<'a>;

    fn into_iter(self) -> BatchMetadataIter<'a> {
        BatchMetadataIter {
            all: *self,
            next: 0,
        }
    }
}

impl fmt::Debug for BatchMetadata<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Iterates over a [`BatchMetadata`].
#[derive(Clone, Debug)]
pub struct BatchMetadataIter<'a> {
    all: BatchMetadata<'a>,
    next: usize,
}

impl Iterator for BatchMetadataIter<'_> {
    type Item = RecordMetadata;

    fn next(&mut self) -> Option<RecordMetadata> {
        let metadata = self.all.get(self.next)?;
        self.next += 1;
        Some(metadata)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.all.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for BatchMetadataIter<'_> {}

/// Room for one record, to be written in place: the bytes of its value.
///
/// They hold whatever lay there before. Dropped without [`publish`](Self::publish), also by
/// a panic, the claim becomes an aborted frame: its offset holds nothing, and readers step
/// over it.
pub struct Claim<'p> {
    frame: segment::Claim<'p>,
    descriptor: Descriptor,
    metadata: RecordMetadata,
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
