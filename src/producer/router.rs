use crate::record::{Destination, Record};
use crate::topic::{PartitionChoice, Partitioner, xxh3};
use std::sync::Arc;

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

    /// Whether it is the default, so that [`quick`](Self::quick) may be asked.
    pub(crate) fn is_default(&self) -> bool {
        self.partitioner.is_none()
    }

    /// The default's choice, where the record alone tells it.
    #[inline(always)]
    pub(crate) fn quick(&self, record: &Record<'_>) -> Option<u32> {
        debug_assert!(self.is_default());
        match (record.given_partition(), record.record_key()) {
            (Some(partition), _) => self.checked(partition).ok(),
            (None, _) if self.partitions == 1 => Some(0),
            (None, key) => key.map(|key| xxh3(key, self.partitions)),
        }
    }

    /// The partition of a record; out of range if the record or the partitioner says so.
    #[inline(always)]
    pub(crate) fn record(&mut self, record: &Record<'_>) -> Result<u32, u32> {
        match record.given_partition() {
            Some(partition) => self.checked(partition),
            None => self.key(record.record_key(), record.value().len()),
        }
    }

    /// The partition of a route, for `bytes` of values.
    pub(crate) fn route(&mut self, route: Destination<'_>, bytes: usize) -> Result<u32, u32> {
        match route {
            Destination::Partition(partition) => self.checked(partition),
            Destination::Key(key) => self.key(Some(key), bytes),
            Destination::Any => self.key(None, bytes),
        }
    }

    #[inline]
    fn checked(&self, partition: u32) -> Result<u32, u32> {
        if partition < self.partitions {
            Ok(partition)
        } else {
            Err(partition)
        }
    }

    #[inline(always)]
    fn key(&mut self, key: Option<&[u8]>, bytes: usize) -> Result<u32, u32> {
        match (&self.partitioner, key) {
            (None, _) if self.partitions == 1 => Ok(0),
            (None, Some(key)) => Ok(xxh3(key, self.partitions)),
            (None, None) => self.choice(PartitionChoice::Sticky, bytes),
            (Some(partitioner), key) => {
                let choice = partitioner.choose(key, self.partitions);
                self.choice(choice, bytes)
            }
        }
    }

    fn choice(&mut self, choice: PartitionChoice, bytes: usize) -> Result<u32, u32> {
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
    use crate::topic::Xxh3;

    #[test]
    fn the_default_router_agrees_with_the_default_partitioner() {
        let mut plain = Router::new(None, 7, 0);
        let mut named = Router::new(Some(Arc::new(Xxh3)), 7, 0);
        for i in 0..1000u32 {
            let key = i.to_le_bytes();
            let record = Record::new(b"x").key(&key);
            assert_eq!(plain.record(&record), named.record(&record));
        }
        let empty = Record::new(b"").key("");
        assert_eq!(plain.record(&empty), named.record(&empty));
    }

    #[test]
    fn without_a_key_a_producer_stays_for_16_kib_and_goes_round() {
        let mut router = Router::new(None, 3, 1);
        let value = [0; 1024];
        let record = Record::new(&value);
        let partitions: Vec<_> = (0..51).map(|_| router.record(&record).unwrap()).collect();
        assert!(partitions[..17].iter().all(|&p| p == 1));
        assert!(partitions[17..34].iter().all(|&p| p == 2));
        assert!(partitions[34..].iter().all(|&p| p == 0));
        // Empty values move on too, in the end.
        let empty = Record::new(b"");
        assert!((0..20_000).any(|_| router.record(&empty) == Ok(2)));
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
        assert_eq!(router.record(&Record::new(b"")), Err(3));
        assert_eq!(router.record(&Record::new(b"").partition(9)), Err(9));
        assert_eq!(router.record(&Record::new(b"").partition(2)), Ok(2));
        assert_eq!(router.route(Destination::Partition(3), 1), Err(3));
    }
}
