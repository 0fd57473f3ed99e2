//! Who sent a record, as its how-manieth; and from that every byte that the record has.
//!
//! A record that is given a time carries its identity there, so that one without a value is
//! known as well. Where a call takes no time (`send_values`, `claim`), the identity is the
//! value's first word. All other words are the identity mixed with the topic's salt, which
//! no other topic and no other round has: bytes left over from an earlier record, or from an
//! earlier topic in the same memory, are wrong.

use super::dice::mix;
use std::fmt;

/// How a record was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Batch,
    Values,
    Claim,
}

/// The identity of a record: `kind 2 | producer 5 | key 5 | length 16 | sequence 32`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(u64);

/// Marks a time as an identity; the times of appends are far below.
const MARK: u64 = 1 << 60;

/// A length that does not fit its field: the largest value that a segment of the topic takes.
pub(crate) const LARGEST: u64 = 0xffff;

/// Producers of a topic, and keys, number 0 (no key) included.
pub(crate) const PRODUCERS: usize = 32;
pub(crate) const KEYS: usize = 32;

/// The one header that some records have.
pub(crate) const HEADER: &str = "trace";

/// Keys of all lengths from none up: each a beginning of the next, so a wrong length shows.
const ALPHABET: &[u8; 30] = b"abcdefghijklmnopqrstuvwxyz0123";

impl Id {
    pub(crate) fn new(kind: Kind, producer: u64, key: u64, length: u64, sequence: u64) -> Id {
        debug_assert!(producer < 32 && key < 32 && length <= LARGEST && sequence < 1 << 32);
        Id((kind as u64) << 58 | producer << 53 | key << 48 | length << 32 | sequence)
    }

    /// The identity that a time holds, if it is one.
    #[inline]
    pub(crate) fn from_time(time: i64) -> Option<Id> {
        let word = time as u64;
        (word & MARK != 0 && time >= 0).then_some(Id(word & !MARK))
    }

    /// The identity in the first word of a value.
    #[inline]
    pub(crate) fn from_value(value: &[u8]) -> Option<Id> {
        let word = value
            .first_chunk::<8>()
            .map(|word| u64::from_ne_bytes(*word))?;
        (word < MARK).then_some(Id(word))
    }

    pub(crate) fn time(self) -> i64 {
        (MARK | self.0) as i64
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.0 >> 58 & 3 {
            0 => Kind::Single,
            1 => Kind::Batch,
            2 => Kind::Values,
            _ => Kind::Claim,
        }
    }

    #[inline]
    pub(crate) fn producer(self) -> usize {
        (self.0 >> 53 & 31) as usize
    }

    /// Which key chose its partition; 0 for none.
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
        self.kind() == Kind::Single && self.length() != LARGEST && self.sequence() % 8 == 3
    }

    /// What the record's words are made of, and the checksum of its identity.
    #[inline]
    pub(crate) fn digest(self, salt: u64) -> u64 {
        mix(self.0 ^ salt)
    }

    /// The first word of the value. `inside`: the identity is in it.
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

    /// Looks at every byte of a value: `Err` with the position of a word that is wrong.
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

/// Word `i` of a value: another one for each place, so that words that moved show.
#[inline]
fn word(digest: u64, i: usize) -> u64 {
    digest.rotate_left(i as u32 % 64) ^ (i as u64).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// The bytes of key 1, 2, ...: key 1 is empty, and a key all the same.
#[inline]
pub(crate) fn key_bytes(key: usize) -> Option<&'static [u8]> {
    let length = key.checked_sub(1)?;
    ALPHABET.get(..length)
}

impl fmt::Debug for Id {
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
        let id = Id::new(Kind::Claim, 31, 30, LARGEST, (1 << 32) - 1);
        assert_eq!(Id::from_time(id.time()), Some(id));
        assert_eq!((id.kind(), id.producer(), id.key()), (Kind::Claim, 31, 30));
        assert_eq!((id.length(), id.sequence()), (LARGEST, (1 << 32) - 1));
        let mut value = [0; 16];
        id.fill(id.digest(7), true, &mut value);
        assert_eq!(Id::from_value(&value), Some(id));
        let words: [u64; 2] = id.words(id.digest(7));
        assert_eq!(value[8..], words[1].to_ne_bytes());
        // The time of an append is no identity, nor is "no time".
        assert_eq!(Id::from_time(1_800_000_000_000), None);
        assert_eq!(Id::from_time(ringlog::NO_TIMESTAMP), None);
        assert_eq!(Id::from_value(&[0; 7]), None);
    }

    #[test]
    fn every_flipped_bit_of_a_value_is_found_at_its_word() {
        let id = Id::new(Kind::Single, 1, 2, 21, 3);
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
    fn words_of_another_record_or_topic_or_place_are_wrong() {
        let id = Id::new(Kind::Values, 0, 0, 32, 5);
        let other = Id::new(Kind::Values, 0, 0, 32, 6);
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
