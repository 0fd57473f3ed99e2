//! The identity of a record: its producer and its sequence. Every byte of the record follows
//! from it.
//!
//! A record that is sent with a timestamp carries its identity there, so that a record without a
//! value has one as well. Where a call takes no timestamp (`send_values`, `claim`), the identity is
//! the value's first word. All other words are the identity mixed with the topic's salt, which is
//! unique to the topic and the round. So a check finds bytes of an earlier record, and of an
//! earlier topic in the same memory.

use crate::soak::rng::mix;
use std::fmt;

/// The kind of call that sent a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendKind {
    Single,
    Batch,
    Values,
    Claim,
}

/// The identity of a record: `kind 2 | producer 5 | key 5 | length 16 | sequence 32`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordId(u64);

/// Marks a timestamp as an identity; the times of appends are far below.
const MARK: u64 = 1 << 60;

/// Stands for the largest value that a segment of the topic holds: its length exceeds the field.
pub(crate) const LARGEST: u64 = 0xffff;

/// The number of producers of a topic, and of keys, including number 0 (no key).
pub(crate) const PRODUCERS: usize = 32;
pub(crate) const KEYS: usize = 32;

/// The one header that some records have.
pub(crate) const HEADER: &str = "trace";

/// Keys of all lengths from 0 up. Each is a prefix of the next, so a wrong length is found.
const ALPHABET: &[u8; 30] = b"abcdefghijklmnopqrstuvwxyz0123";

impl RecordId {
    pub(crate) fn new(
        kind: SendKind,
        producer: u64,
        key: u64,
        length: u64,
        sequence: u64,
    ) -> RecordId {
        debug_assert!(producer < 32 && key < 32 && length <= LARGEST && sequence < 1 << 32);
        RecordId((kind as u64) << 58 | producer << 53 | key << 48 | length << 32 | sequence)
    }

    /// The identity in a timestamp, if it holds one.
    #[inline]
    pub(crate) fn from_time(time: i64) -> Option<RecordId> {
        let word = time as u64;
        (word & MARK != 0 && time >= 0).then_some(RecordId(word & !MARK))
    }

    /// The identity in the first word of a value.
    #[inline]
    pub(crate) fn from_value(value: &[u8]) -> Option<RecordId> {
        let word = value
            .first_chunk::<8>()
            .map(|word| u64::from_ne_bytes(*word))?;
        (word < MARK).then_some(RecordId(word))
    }

    pub(crate) fn time(self) -> i64 {
        (MARK | self.0) as i64
    }

    #[inline]
    pub(crate) fn kind(self) -> SendKind {
        match self.0 >> 58 & 3 {
            0 => SendKind::Single,
            1 => SendKind::Batch,
            2 => SendKind::Values,
            _ => SendKind::Claim,
        }
    }

    #[inline]
    pub(crate) fn producer(self) -> usize {
        (self.0 >> 53 & 31) as usize
    }

    /// The number of the key that chose its partition; 0 for no key.
    #[inline]
    pub(crate) fn key(self) -> usize {
        (self.0 >> 48 & 31) as usize
    }

    #[inline]
    pub(crate) fn length(self) -> u64 {
        self.0 >> 32 & 0xffff
    }

    #[inline]
    pub(crate) fn sequence(self) -> u64 {
        self.0 & 0xffff_ffff
    }

    pub(crate) fn has_header(self) -> bool {
        self.kind() == SendKind::Single && self.length() != LARGEST && self.sequence() % 8 == 3
    }

    /// The source of the record's words, and the checksum of its identity.
    #[inline]
    pub(crate) fn digest(self, salt: u64) -> u64 {
        mix(self.0 ^ salt)
    }

    /// The first word of the value. With `inside` it is the identity.
    #[inline]
    fn first(self, digest: u64, inside: bool) -> u64 {
        if inside { self.0 } else { word(digest, 0) }
    }

    /// Writes the value.
    pub(crate) fn fill(self, digest: u64, inside: bool, value: &mut [u8]) {
        for (i, bytes) in value.chunks_mut(8).enumerate() {
            let word = match i {
                0 => self.first(digest, inside),
                _ => word(digest, i),
            };
            bytes.copy_from_slice(&word.to_ne_bytes()[..bytes.len()]);
        }
    }

    /// The value as words, with the identity inside.
    #[inline]
    pub(crate) fn words<const W: usize>(self, digest: u64) -> [u64; W] {
        core::array::from_fn(|i| match i {
            0 => self.0,
            _ => word(digest, i),
        })
    }

    /// Checks every byte of a value; `Err` has the position of the first wrong word.
    #[inline]
    pub(crate) fn check(self, digest: u64, inside: bool, value: &[u8]) -> Result<(), usize> {
        let mut words = value.chunks_exact(8);
        for (i, bytes) in words.by_ref().enumerate() {
            let want = match i {
                0 => self.first(digest, inside),
                _ => word(digest, i),
            };
            if bytes != want.to_ne_bytes() {
                return Err(8 * i);
            }
        }
        let rest = words.remainder();
        if rest.is_empty() {
            return Ok(());
        }
        let i = value.len() / 8;
        let want = match i {
            0 => self.first(digest, inside),
            _ => word(digest, i),
        };
        match want.to_ne_bytes().starts_with(rest) {
            true => Ok(()),
            false => Err(8 * i),
        }
    }
}

/// Word `i` of a value. It differs for each `i`, so that a moved word is found.
#[inline]
fn word(digest: u64, i: usize) -> u64 {
    digest.rotate_left(i as u32 % 64) ^ (i as u64).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// The bytes of key 1, 2, ...: key 1 is empty, but a key.
#[inline]
pub(crate) fn key_bytes(key: usize) -> Option<&'static [u8]> {
    let length = key.checked_sub(1)?;
    ALPHABET.get(..length)
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} of producer {}, key {}, length {}",
            self.kind(),
            self.sequence(),
            self.producer(),
            self.key(),
            self.length()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_comes_back_from_a_time_and_from_a_value() {
        let id = RecordId::new(SendKind::Claim, 31, 30, LARGEST, (1 << 32) - 1);
        assert_eq!(RecordId::from_time(id.time()), Some(id));
        assert_eq!(
            (id.kind(), id.producer(), id.key()),
            (SendKind::Claim, 31, 30)
        );
        assert_eq!((id.length(), id.sequence()), (LARGEST, (1 << 32) - 1));
        let mut value = [0; 16];
        id.fill(id.digest(7), true, &mut value);
        assert_eq!(RecordId::from_value(&value), Some(id));
        let words: [u64; 2] = id.words(id.digest(7));
        assert_eq!(value[8..], words[1].to_ne_bytes());
        // The time of an append is no identity.
        assert_eq!(RecordId::from_time(1_800_000_000_000), None);
        assert_eq!(RecordId::from_time(-1), None);
        assert_eq!(RecordId::from_value(&[0; 7]), None);
    }

    #[test]
    fn every_flipped_bit_of_a_value_is_found_at_its_word() {
        let id = RecordId::new(SendKind::Single, 1, 2, 21, 3);
        let digest = id.digest(99);
        for length in [1, 7, 8, 16, 21] {
            let mut value = vec![0; length];
            id.fill(digest, false, &mut value);
            assert_eq!(id.check(digest, false, &value), Ok(()));
            for bit in 0..8 * length {
                value[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(id.check(digest, false, &value), Err(bit / 64 * 8));
                value[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn words_of_another_record_topic_or_position_are_wrong() {
        let id = RecordId::new(SendKind::Values, 0, 0, 32, 5);
        let other = RecordId::new(SendKind::Values, 0, 0, 32, 6);
        let value = |digest: u64| {
            let mut value = [0; 32];
            id.fill(digest, true, &mut value);
            value
        };
        assert_eq!(id.check(id.digest(1), true, &value(id.digest(1))), Ok(()));
        assert_eq!(id.check(id.digest(1), true, &value(id.digest(2))), Err(8));
        assert_eq!(
            id.check(id.digest(1), true, &value(other.digest(1))),
            Err(8)
        );
        let mut moved = value(id.digest(1));
        moved.copy_within(8..16, 16);
        assert_eq!(id.check(id.digest(1), true, &moved), Err(16));
    }

    #[test]
    fn keys_differ_and_the_first_is_empty() {
        assert_eq!(key_bytes(0), None);
        assert_eq!(key_bytes(1), Some(&b""[..]));
        let all: std::collections::HashSet<_> =
            (1..KEYS).map(|key| key_bytes(key).unwrap()).collect();
        assert_eq!(all.len(), KEYS - 1);
    }
}
