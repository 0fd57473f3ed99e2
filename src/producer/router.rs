//! Routes records to partitions: the one place that applies Kafka's order of rules.
//!
//! 1. The partition that the record or the call names.
//! 2. The topic's [`Partitioner`], with the record's key if it has one.
//! 3. By default: the key's hash ([`xxh3`]), and without a key the sticky partition.
//!
//! A partitioner answers with a partition, or with [`PartitionChoice::Sticky`] or
//! [`PartitionChoice::RoundRobin`], whose state is the router's, one per producer:
//!
//! - **Sticky** ([KIP-794](https://cwiki.apache.org/confluence/display/KAFKA/KIP-794)): the
//!   producer stays in a partition until 16 KiB of values were sent there, and then moves to the
//!   next one.
//! - **Round robin**: each frame goes to the next partition.
//!
//! Each partition is checked against the topic's number of partitions, whichever rule it is from.

use crate::error::SendError;
use crate::record::Destination;
use crate::topic::{PartitionChoice, Partitioner, xxh3};
use std::sync::Arc;

/// A partition that the topic does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionOutOfRange {
    pub(super) partition: u32,
    pub(super) partitions: u32,
}

impl From<PartitionOutOfRange> for SendError {
    #[cold]
    fn from(wrong: PartitionOutOfRange) -> SendError {
        SendError::PartitionOutOfRange {
            partition: wrong.partition,
            partitions: wrong.partitions,
        }
    }
}

/// Bytes of values after which the sticky partition changes.
const STICKY_BYTES: usize = 16 * 1024;

/// Chooses the partition of each of one producer's records.
#[derive(Clone)]
pub(super) struct Router {
    /// `None` is the default partitioner, without a virtual call.
    partitioner: Option<Arc<dyn Partitioner>>,
    partitions: u32,
    sticky_partition: u32,
    /// Bytes that may still be sent to the sticky partition.
    sticky_bytes_left: usize,
    round_robin_partition: u32,
}

impl Router {
    /// A router whose sticky and round-robin partitions begin at `start % partitions`. With
    /// different starts, the producers of a topic spread over its partitions.
    pub(super) fn new(
        partitioner: Option<Arc<dyn Partitioner>>,
        partitions: u32,
        start: u32,
    ) -> Self {
        Router {
            partitioner,
            partitions,
            sticky_partition: start % partitions,
            sticky_bytes_left: STICKY_BYTES,
            round_robin_partition: start % partitions,
        }
    }

    /// Takes over a larger number of partitions. Keys are then hashed over all of them, so a key's
    /// partition may change, as in Kafka.
    pub(super) fn extend_to(&mut self, partitions: u32) {
        self.partitions = partitions;
    }

    /// Whether the topic has the default partitioner. Only then may
    /// [`choose_fixed`](Self::choose_fixed) be called.
    pub(super) fn is_default(&self) -> bool {
        self.partitioner.is_none()
    }

    /// The default partitioner's choice if the destination alone fixes it, so that the router's
    /// state neither matters nor changes. `None` otherwise, and for a partition out of range.
    #[inline(always)]
    pub(super) fn choose_fixed(&self, destination: Destination<'_>) -> Option<u32> {
        debug_assert!(self.is_default());
        match destination {
            Destination::Partition(partition) => self.check_range(partition).ok(),
            _ if self.partitions == 1 => Some(0),
            Destination::Key(key) => Some(xxh3(key, self.partitions)),
            Destination::Any => None,
        }
    }

    /// Chooses the partition of a frame that has `bytes` bytes of values.
    ///
    /// # Errors
    /// [`PartitionOutOfRange`] if the topic does not have the partition that the destination names
    /// or the partitioner returns.
    #[inline(always)]
    pub(super) fn choose(
        &mut self,
        destination: Destination<'_>,
        bytes: usize,
    ) -> Result<u32, PartitionOutOfRange> {
        let key = match destination {
            Destination::Partition(partition) => return self.check_range(partition),
            Destination::Key(key) => Some(key),
            Destination::Any => None,
        };
        match (&self.partitioner, key) {
            (None, _) if self.partitions == 1 => Ok(0),
            (None, Some(key)) => Ok(xxh3(key, self.partitions)),
            (None, None) => self.resolve(PartitionChoice::Sticky, bytes),
            (Some(partitioner), key) => {
                let choice = partitioner.choose(key, self.partitions);
                self.resolve(choice, bytes)
            }
        }
    }

    #[inline]
    fn check_range(&self, partition: u32) -> Result<u32, PartitionOutOfRange> {
        if partition < self.partitions {
            return Ok(partition);
        }
        Err(PartitionOutOfRange {
            partition,
            partitions: self.partitions,
        })
    }

    /// Turns a partitioner's choice into a partition, and moves the sticky or round-robin partition
    /// on.
    fn resolve(
        &mut self,
        choice: PartitionChoice,
        bytes: usize,
    ) -> Result<u32, PartitionOutOfRange> {
        match choice {
            PartitionChoice::Partition(partition) => self.check_range(partition),
            PartitionChoice::Sticky => {
                let partition = self.sticky_partition;
                // Empty values count as one byte, so that they move on too. The frame that exceeds
                // the limit is the last one in its partition.
                match self.sticky_bytes_left.checked_sub(bytes.max(1)) {
                    Some(left) => self.sticky_bytes_left = left,
                    None => {
                        self.sticky_bytes_left = STICKY_BYTES;
                        self.sticky_partition = self.next_partition(partition);
                    }
                }
                Ok(partition)
            }
            PartitionChoice::RoundRobin => {
                let partition = self.round_robin_partition;
                self.round_robin_partition = self.next_partition(partition);
                Ok(partition)
            }
        }
    }

    fn next_partition(&self, partition: u32) -> u32 {
        if partition + 1 == self.partitions {
            0
        } else {
            partition + 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::topic::Xxh3;

    impl Router {
        fn route(&mut self, record: &Record<'_>) -> Result<u32, PartitionOutOfRange> {
            self.choose(record.destination(), record.value_bytes().len())
        }
    }

    /// The error of a topic with three partitions.
    fn out_of_range(partition: u32) -> PartitionOutOfRange {
        PartitionOutOfRange {
            partition,
            partitions: 3,
        }
    }

    #[test]
    fn the_default_router_agrees_with_the_default_partitioner() {
        let mut plain = Router::new(None, 7, 0);
        let mut named = Router::new(Some(Arc::new(Xxh3)), 7, 0);
        for i in 0..1000u32 {
            let key = i.to_le_bytes();
            let record = Record::new(b"x").key(&key);
            assert_eq!(plain.route(&record), named.route(&record));
        }
        let empty = Record::new(b"").key("");
        assert_eq!(plain.route(&empty), named.route(&empty));
    }

    #[test]
    fn without_a_key_a_producer_stays_for_16_kib_and_goes_round() {
        let mut router = Router::new(None, 3, 1);
        let value = [0; 1024];
        let record = Record::new(&value);
        let partitions: Vec<_> = (0..51).map(|_| router.route(&record).unwrap()).collect();
        assert!(partitions[..17].iter().all(|&p| p == 1));
        assert!(partitions[17..34].iter().all(|&p| p == 2));
        assert!(partitions[34..].iter().all(|&p| p == 0));
        // Empty values move on too, in the end.
        let empty = Record::new(b"");
        assert!((0..20_000).any(|_| router.route(&empty) == Ok(2)));
    }

    #[test]
    fn a_partition_out_of_range_is_refused_wherever_it_comes_from() {
        #[derive(Debug)]
        struct Wrong;
        impl Partitioner for Wrong {
            fn choose(&self, _: Option<&[u8]>, partitions: u32) -> PartitionChoice {
                PartitionChoice::Partition(partitions)
            }
        }
        let mut router = Router::new(Some(Arc::new(Wrong)), 3, 0);
        assert_eq!(router.route(&Record::new(b"")), Err(out_of_range(3)));
        assert_eq!(
            router.route(&Record::new(b"").partition(9)),
            Err(out_of_range(9))
        );
        assert_eq!(router.route(&Record::new(b"").partition(2)), Ok(2));
        assert_eq!(
            router.choose(Destination::Partition(3), 1),
            Err(out_of_range(3))
        );
    }
}
