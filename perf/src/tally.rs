//! What every message holds, and the tallies that check it.
//!
//! The first word of a message is its number: the lane it belongs to above, and how many of
//! the lane came before it below. A lane is what a system keeps in order: one producer's
//! messages, or those with one key. The other words are the same in every message.

use crate::measure::Failure;

/// Bits of a number below the lane.
const LANE: u32 = 48;

/// A message's number.
#[inline]
pub(crate) fn number(lane: u64, sequence: u64) -> u64 {
    lane << LANE | sequence
}

/// The lane of a message.
#[inline]
pub(crate) fn lane<const N: usize>(message: &[u8; N]) -> usize {
    (word(&message[..8]) >> LANE) as usize
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

/// All words of a message: a consumer reads every byte of it.
#[inline]
fn sum<const N: usize>(message: &[u8; N]) -> u64 {
    let words = message.chunks_exact(8);
    words.fold(0, |sum, bytes| sum.wrapping_add(word(bytes)))
}

/// Takes messages of `N` bytes from a receiver, one by one or many at once.
pub(crate) trait Reader<const N: usize> {
    /// Takes one message.
    fn read(&mut self, message: &[u8; N]);

    /// Takes messages that lie back to back.
    #[inline]
    fn read_all(&mut self, messages: &[[u8; N]]) {
        for message in messages {
            self.read(message);
        }
    }
}

/// What a consumer found: how many, in which order, and the sum of all their words.
pub(crate) trait Tally<const N: usize>: Reader<N> + Send {
    /// For messages of so many lanes.
    fn new(lanes: usize) -> Self;

    /// How many came.
    fn count(&self) -> u64;

    /// All `messages` came, in their lanes' order, with all their bytes.
    fn check(&self, messages: u64) -> Result<(), Failure>;
}

/// One lane: every message comes in the order of its number.
pub(crate) struct InOrder {
    next: u64,
    sum: u64,
    disorder: u64,
}

impl<const N: usize> Reader<N> for InOrder {
    #[inline]
    fn read(&mut self, message: &[u8; N]) {
        self.sum = self.sum.wrapping_add(sum(message));
        self.disorder |= word(&message[..8]) ^ self.next;
        self.next += 1;
    }
}

impl<const N: usize> Tally<N> for InOrder {
    fn new(_lanes: usize) -> Self {
        InOrder {
            next: 0,
            sum: 0,
            disorder: 0,
        }
    }

    #[inline]
    fn count(&self) -> u64 {
        self.next
    }

    fn check(&self, messages: u64) -> Result<(), Failure> {
        check_count(self.next, messages)?;
        check_order(self.disorder)?;
        check_sum::<N>(self.sum, messages, 1)
    }
}

/// Several lanes: the messages of each come in the order of their numbers.
pub(crate) struct Lanes {
    next: Box<[u64]>,
    count: u64,
    sum: u64,
    disorder: u64,
}

impl<const N: usize> Reader<N> for Lanes {
    #[inline]
    fn read(&mut self, message: &[u8; N]) {
        self.sum = self.sum.wrapping_add(sum(message));
        self.count += 1;
        let lane = lane(message);
        match self.next.get_mut(lane) {
            Some(next) => {
                self.disorder |= word(&message[..8]) ^ number(lane as u64, *next);
                *next += 1;
            }
            None => self.disorder = u64::MAX,
        }
    }
}

impl<const N: usize> Tally<N> for Lanes {
    fn new(lanes: usize) -> Self {
        Lanes {
            next: vec![0; lanes].into(),
            count: 0,
            sum: 0,
            disorder: 0,
        }
    }

    #[inline]
    fn count(&self) -> u64 {
        self.count
    }

    fn check(&self, messages: u64) -> Result<(), Failure> {
        check_count(self.count, messages)?;
        check_order(self.disorder)?;
        let lanes = self.next.len() as u64;
        for (lane, &came) in self.next.iter().enumerate() {
            if came != messages / lanes {
                let all = messages / lanes;
                return Err(format!("{came} messages of lane {lane} came instead of {all}").into());
            }
        }
        check_sum::<N>(self.sum, messages, lanes)
    }
}

fn check_count(came: u64, messages: u64) -> Result<(), Failure> {
    if came != messages {
        return Err(format!("{came} messages came instead of {messages}").into());
    }
    Ok(())
}

fn check_order(disorder: u64) -> Result<(), Failure> {
    if disorder != 0 {
        return Err("messages came out of order".into());
    }
    Ok(())
}

fn check_sum<const N: usize>(sum: u64, messages: u64, lanes: u64) -> Result<(), Failure> {
    let right = expected_sum(N, messages, lanes);
    if sum != right {
        return Err(format!("the messages' words sum to {sum}, not {right}").into());
    }
    Ok(())
}

/// The sum of all words of so many messages of `size` bytes, evenly of so many lanes.
pub(crate) fn expected_sum(size: usize, messages: u64, lanes: u64) -> u64 {
    let each = messages / lanes;
    // 0 + 1 + .. + (each - 1) below the lane, in every lane; then the lanes themselves.
    let sequences = u128::from(each) * u128::from(each.saturating_sub(1)) / 2;
    let sequences = (sequences as u64).wrapping_mul(lanes);
    let lanes = (0..lanes).fold(0, |sum: u64, lane| {
        sum.wrapping_add(number(lane, 0).wrapping_mul(each))
    });
    let filler = (1..size / 8).fold(0, |sum: u64, word| sum.wrapping_add(filler(word)));
    sequences
        .wrapping_add(lanes)
        .wrapping_add(filler.wrapping_mul(messages))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(lane: u64, sequence: u64) -> [u8; 16] {
        let mut message = [0; 16];
        message[..8].copy_from_slice(&number(lane, sequence).to_ne_bytes());
        message[8..].copy_from_slice(&filler(1).to_ne_bytes());
        message
    }

    fn told<T: Tally<16>>(lanes: usize, messages: &[[u8; 16]], expected: u64) -> String {
        let mut tally = T::new(lanes);
        tally.read_all(messages);
        match tally.check(expected) {
            Ok(()) => String::new(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn what_was_sent_passes() {
        let sent: Vec<_> = (0..5).map(|i| message(0, i)).collect();
        assert_eq!(told::<InOrder>(1, &sent, 5), "");
        assert_eq!(told::<Lanes>(1, &sent, 5), "");
        let sent = [(2, 0), (0, 0), (2, 1), (1, 0), (1, 1), (0, 1)];
        let sent = sent.map(|(lane, sequence)| message(lane, sequence));
        assert_eq!(told::<Lanes>(3, &sent, 6), "");
    }

    #[test]
    fn a_missing_and_a_surplus_message_are_told() {
        let sent: Vec<_> = (0..5).map(|i| message(0, i)).collect();
        for wrong in [4, 6] {
            let words = format!("5 messages came instead of {wrong}");
            assert_eq!(told::<InOrder>(1, &sent, wrong), words);
            assert_eq!(told::<Lanes>(1, &sent, wrong), words);
        }
    }

    #[test]
    fn messages_out_of_order_are_told() {
        let sent = [message(0, 0), message(0, 2), message(0, 1)];
        assert_eq!(told::<InOrder>(1, &sent, 3), "messages came out of order");
        assert_eq!(told::<Lanes>(1, &sent, 3), "messages came out of order");
        // Twice the same instead of two.
        let sent = [message(0, 0), message(0, 0)];
        assert_eq!(told::<InOrder>(1, &sent, 2), "messages came out of order");
        // A lane that nobody sends.
        let sent = [message(0, 0), message(7, 0)];
        assert_eq!(told::<Lanes>(2, &sent, 2), "messages came out of order");
    }

    #[test]
    fn a_lane_with_too_few_messages_is_told() {
        let sent = [message(0, 0), message(0, 1)];
        let words = "2 messages of lane 0 came instead of 1";
        assert_eq!(told::<Lanes>(2, &sent, 2), words);
    }

    #[test]
    fn a_changed_byte_is_told() {
        let mut sent = [message(0, 0), message(0, 1)];
        sent[1][11] ^= 1;
        assert!(told::<InOrder>(1, &sent, 2).starts_with("the messages' words sum to"));
        assert!(told::<Lanes>(1, &sent, 2).starts_with("the messages' words sum to"));
    }
}
