//! Key to partition.
//!
//! The order of Kafka's producers: the partition that the record names; else the topic's
//! [`Partitioner`]; and for a record without a key, a partition that the producer stays with
//! for a while.

use crate::record::{Destination, Record};
use core::fmt;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What a [`Partitioner`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartitionChoice {
    /// This partition. One that the topic does not have refuses the record.
    Partition(u32),
    /// The one the producer is staying with: it moves to the next partition every 16 KiB
    /// ([KIP-794](https://cwiki.apache.org/confluence/display/KAFKA/KIP-794)'s batch size).
    Sticky,
    /// The next one, in turn, for every record.
    RoundRobin,
}

/// Chooses partitions for records that name none.
///
/// ```
/// use ringlog::{Choice, Partitioner, TopicConfig};
///
/// /// Partition 0 for whoever pays, the others for the rest.
/// #[derive(Debug)]
/// struct Paying;
///
/// impl Partitioner for Paying {
///     fn choose(&self, key: Option<&[u8]>, partitions: u32) -> Choice {
///         match key {
///             Some([b'$', ..]) => Choice::Partition(0),
///             Some(key) => Choice::Partition(1 + key.len() as u32 % (partitions - 1)),
///             None => Choice::Sticky,
///         }
///     }
/// }
///
/// let config = TopicConfig::new().partitions(4).partitioner(Paying);
/// ```
pub trait Partitioner: fmt::Debug + Send + Sync {
    /// Chooses for a record with this key (or none) in a topic of so many partitions.
    fn choose(&self, key: Option<&[u8]>, partitions: u32) -> PartitionChoice;
}

/// The default: `(xxh3_64(key) * partitions) >> 64`, and sticky without a key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xxh3;

/// Kafka's default partitioner: `(murmur2(key) & 0x7fffffff) % partitions`, and sticky
/// without a key. For keys to land where Kafka's Java clients put them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Murmur2;

/// All partitions in turn, whatever the key (Kafka's `RoundRobinPartitioner`).
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

#[inline]
fn xxh3(key: &[u8], partitions: u32) -> u32 {
    ((u128::from(xxh3_64(key)) * u128::from(partitions)) >> 64) as u32
}

impl Partitioner for Xxh3 {
    fn choose(&self, key: Option<&[u8]>, partitions: u32) -> PartitionChoice {
        key.map_or(PartitionChoice::Sticky, |key| {
            PartitionChoice::Partition(xxh3(key, partitions))
        })
    }
}

impl Partitioner for Murmur2 {
    fn choose(&self, key: Option<&[u8]>, partitions: u32) -> PartitionChoice {
        key.map_or(PartitionChoice::Sticky, |key| {
            PartitionChoice::Partition((murmur2(key) & 0x7fff_ffff) % partitions)
        })
    }
}

impl Partitioner for RoundRobin {
    fn choose(&self, _key: Option<&[u8]>, _partitions: u32) -> PartitionChoice {
        PartitionChoice::RoundRobin
    }
}

/// Austin Appleby's MurmurHash2, 32 bits, with the seed of Kafka's
/// `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
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

    #[test]
    fn murmur2_gives_what_kafkas_own_tests_expect() {
        // org.apache.kafka.common.utils.UtilsTest.testMurmur2, and two more.
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        }
        assert_eq!(murmur2(b""), 0x106e_08d9);
        assert_eq!(murmur2(b"kafka"), 0xd067_cf64);
    }

    #[test]
    fn every_partitioner_keeps_equal_keys_together_and_uses_every_partition() {
        for partitioner in [&Xxh3 as &dyn Partitioner, &Murmur2] {
            for partitions in [1, 2, 3, 7, 100] {
                let mut used = vec![0; partitions as usize];
                for i in 0..partitions * 100 {
                    let key = format!("user-{i}");
                    let choose = || partitioner.choose(Some(key.as_bytes()), partitions);
                    let PartitionChoice::Partition(partition) = choose() else {
                        panic!("a key was not hashed");
                    };
                    assert_eq!(choose(), PartitionChoice::Partition(partition));
                    used[partition as usize] += 1;
                }
                assert!(used.iter().all(|&n| n > 40), "{partitioner:?} {used:?}");
            }
        }
    }

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
