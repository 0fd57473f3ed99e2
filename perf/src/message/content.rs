//! What every message holds.
//!
//! The first word of a message is its number: the stream it belongs to in the upper bits, and
//! its sequence within the stream in the lower ones. A stream is a sequence of messages whose
//! order a system preserves: one producer's messages, or those with one key. The other words
//! are the same in every message.

/// Bits of a number below the stream.
const STREAM_SHIFT: u32 = 48;

/// A message's number.
#[inline]
pub(crate) fn number(stream: u64, sequence: u64) -> u64 {
    stream << STREAM_SHIFT | sequence
}

/// The stream of a message.
#[inline]
pub(crate) fn stream<const N: usize>(message: &[u8; N]) -> usize {
    (word(&message[..8]) >> STREAM_SHIFT) as usize
}

/// What word `word` of every message holds; word 0 holds the message's number.
pub(crate) fn filler(word: usize) -> u64 {
    (word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Eight bytes as a number.
#[inline]
pub(crate) fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

/// The sum of all words of a message, so that a consumer reads every byte of it.
#[inline]
pub(crate) fn sum<const N: usize>(message: &[u8; N]) -> u64 {
    let words = message.chunks_exact(8);
    words.fold(0, |sum, bytes| sum.wrapping_add(word(bytes)))
}

/// The sum of all words of `messages` messages of `size` bytes, spread evenly over these streams.
pub(crate) fn expected_sum(size: usize, messages: u64, streams: &[usize]) -> u64 {
    let each = messages / (streams.len() as u64).max(1);
    // 0 + 1 + .. + (each - 1) in the lower bits, in every stream; then the streams themselves.
    let sequences = u128::from(each) * u128::from(each.saturating_sub(1)) / 2;
    let sequences = (sequences as u64).wrapping_mul(streams.len() as u64);
    let streams = streams.iter().fold(0, |sum: u64, &stream| {
        sum.wrapping_add(number(stream as u64, 0).wrapping_mul(each))
    });
    let filler = (1..size / 8).fold(0, |sum: u64, word| sum.wrapping_add(filler(word)));
    sequences
        .wrapping_add(streams)
        .wrapping_add(filler.wrapping_mul(messages))
}
