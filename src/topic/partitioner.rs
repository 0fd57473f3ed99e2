//! Partitioners: which partition a record without an explicit partition is sent to.
//!
//! The precedence is that of Kafka's producers:
//!
//! 1. the partition that the record names;
//! 2. the topic's [`Partitioner`];
//! 3. for a record without a key, the sticky partition, which the producer keeps for a while.

use core::fmt;
use xxhash_rust::xxh3::xxh3_64;

/// A [`Partitioner`]'s decision about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartitionChoice {
    /// This partition. If the topic does not have it, the record is refused with
    /// [`SendError::PartitionOutOfRange`](crate::SendError::PartitionOutOfRange).
    Partition(u32),
    /// The producer's current sticky partition. The producer moves on to the next partition
    /// every 16 KiB, the batch size of
    /// [KIP-794](https://cwiki.apache.org/confluence/display/KAFKA/KIP-794).
    Sticky,
    /// The next partition in turn, for every record.
    RoundRobin,
}

/// Chooses the partition of a record that names none.
///
/// The producer calls it once for each record that names no partition, also if the send then waits
/// for room. For records with equal keys to stay in order, it must choose the same partition for
/// equal keys. If it panics, the panic leaves the send, nothing was appended, and the producer stays
/// usable.
///
/// ```
/// use ringlog::{Broker, PartitionChoice, Partitioner, Record, TopicConfig};
///
/// /// Partition 0 for keys of paying customers, the other partitions for the rest.
/// #[derive(Debug)]
/// struct PayingFirst;
///
/// impl Partitioner for PayingFirst {
///     fn choose(&self, key: Option<&[u8]>, partitions: u32) -> PartitionChoice {
///         match key {
///             Some([b'$', ..]) => PartitionChoice::Partition(0),
///             Some(key) => PartitionChoice::Partition(1 + key.len() as u32 % (partitions - 1)),
///             None => PartitionChoice::Sticky,
///         }
///     }
/// }
///
/// let config = TopicConfig::new().partitions(4).partitioner(PayingFirst);
/// let topic = Broker::new().create_topic("orders", config)?;
/// let sent = topic.producer().send(Record::new("order").key("$alice"))?;
/// assert_eq!(sent.partition, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Partitioner: fmt::Debug + Send + Sync {
    /// Chooses a partition for a record with this key, or without one. `partitions` is the number
    /// of partitions of the topic, at least 1; valid choices are 0 to `partitions - 1`.
    fn choose(&self, key: Option<&[u8]>, partitions: u32) -> PartitionChoice;
}

/// The default partitioner: `(xxh3_64(key) * partitions) >> 64`, and sticky without a key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Xxh3;

/// Kafka's default partitioner: `(murmur2(key) & 0x7fffffff) % partitions`, and sticky
/// without a key. It sends a key to the partition that Kafka's Java clients choose.
///
/// ```
/// use ringlog::{Murmur2, PartitionChoice, Partitioner};
///
/// // Kafka sends the key "foobar" to partition 6 of 10.
/// assert_eq!(Murmur2.choose(Some(b"foobar"), 10), PartitionChoice::Partition(6));
/// assert_eq!(Murmur2.choose(None, 10), PartitionChoice::Sticky);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Murmur2;

/// All partitions in turn, regardless of the key (Kafka's `RoundRobinPartitioner`).
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

/// The partition of a key under [`Xxh3`].
#[inline]
pub(crate) fn xxh3(key: &[u8], partitions: u32) -> u32 {
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
    let tail = words.remainder();
    if !tail.is_empty() {
        for (i, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_what_kafkas_own_tests_expect() {
        // The values of org.apache.kafka.common.utils.UtilsTest.testMurmur2, and two more.
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
}
