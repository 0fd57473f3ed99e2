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

/// Bytes a producer sends without a key before it moves to the next partition.
const STICKY_BYTES: usize = 16 * 1024;

/// One producer's way from records to partitions.
#[derive(Clone)]
pub(crate) struct Router {
    /// `None`: the default, without a virtual call.
    partitioner: Option<Arc<dyn Partitioner>>,
    partitions: u32,
    sticky: u32,
    sticky_left: usize,
    turn: u32,
}

impl Router {
    /// A router that begins at partition `start % partitions`, so that producers spread.
    pub(crate) fn new(
        partitioner: Option<Arc<dyn Partitioner>>,
        partitions: u32,
        start: u32,
    ) -> Self {
        Router {
            partitioner,
            partitions,
            sticky: start % partitions,
            sticky_left: STICKY_BYTES,
            turn: start % partitions,
        }
    }

    /// There are more partitions now. Keys go anew to all of them.
    pub(crate) fn grow(&mut self, partitions: u32) {
        self.partitions = partitions;
    }

    /// Whether the topic has the default partitioner: then
    /// [`choose_quickly`](Self::choose_quickly) may be called.
    pub(crate) fn is_default(&self) -> bool {
        self.partitioner.is_none()
    }

    /// The default partitioner's choice where the destination alone determines it, which changes
    /// nothing here. A partition out of range is no choice.
    #[inline(always)]
    pub(crate) fn choose_quickly(&self, destination: Destination<'_>) -> Option<u32> {
        debug_assert!(self.is_default());
        match destination {
            Destination::Partition(partition) => self.checked(partition).ok(),
            _ if self.partitions == 1 => Some(0),
            Destination::Key(key) => Some(xxh3(key, self.partitions)),
            Destination::Any => None,
        }
    }

    /// The partition for a frame of `bytes` of values.
    ///
    /// # Errors
    /// For a partition that the destination names or the
    /// partitioner returns, and the topic does not have.
    #[inline(always)]
    pub(super) fn choose(
        &mut self,
        destination: Destination<'_>,
        bytes: usize,
    ) -> Result<u32, PartitionOutOfRange> {
        let key = match destination {
            Destination::Partition(partition) => return self.checked(partition),
            Destination::Key(key) => Some(key),
            Destination::Any => None,
        };
        match (&self.partitioner, key) {
            (None, _) if self.partitions == 1 => Ok(0),
            (None, Some(key)) => Ok(xxh3(key, self.partitions)),
            (None, None) => self.follow(PartitionChoice::Sticky, bytes),
            (Some(partitioner), key) => {
                let choice = partitioner.choose(key, self.partitions);
                self.follow(choice, bytes)
            }
        }
    }

    #[inline]
    fn checked(&self, partition: u32) -> Result<u32, PartitionOutOfRange> {
        if partition < self.partitions {
            return Ok(partition);
        }
        Err(PartitionOutOfRange {
            partition,
            partitions: self.partitions,
        })
    }

    fn follow(
        &mut self,
        choice: PartitionChoice,
        bytes: usize,
    ) -> Result<u32, PartitionOutOfRange> {
        match choice {
            PartitionChoice::Partition(partition) => self.checked(partition),
            PartitionChoice::Sticky => {
                let partition = self.sticky;
                match self.sticky_left.checked_sub(bytes.max(1)) {
                    Some(left) => self.sticky_left = left,
                    None => {
                        self.sticky_left = STICKY_BYTES;
                        self.sticky = self.after(partition);
                    }
                }
                Ok(partition)
            }
            PartitionChoice::RoundRobin => {
                let partition = self.turn;
                self.turn = self.after(partition);
                Ok(partition)
            }
        }
    }

    fn after(&self, partition: u32) -> u32 {
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
            self.choose(record.destination(), record.value().len())
        }
    }

    /// The refusal of a topic of three partitions.
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
