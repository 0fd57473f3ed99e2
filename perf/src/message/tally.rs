//! Tallies: they read every message that arrives, and check that none is missing, repeated,
//! out of order or changed.

use super::content::{expected_sum, number, stream, sum, word};
use crate::failure::Failure;

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

/// What a consumer received: how many messages, in which order, and the sum of all their words.
pub(crate) trait Tally<const N: usize>: Reader<N> + Send {
    /// For messages of this number of streams.
    fn new(streams: usize) -> Self;

    /// How many messages arrived.
    fn count(&self) -> u64;

    /// Checks that exactly `messages` arrived, each stream in order, with all their bytes.
    fn check(&self, messages: u64) -> Result<(), Failure>;

    /// Checks that exactly `each` messages of these streams arrived, and none of the others.
    fn check_part(&self, streams: &[usize], each: u64) -> Result<(), Failure>;
}

/// The tally of one stream: every message arrives in the order of its number.
pub(crate) struct OneStreamTally {
    next: u64,
    sum: u64,
    disorder: u64,
}

impl<const N: usize> Reader<N> for OneStreamTally {
    #[inline]
    fn read(&mut self, message: &[u8; N]) {
        self.sum = self.sum.wrapping_add(sum(message));
        self.disorder |= word(&message[..8]) ^ self.next;
        self.next += 1;
    }
}

impl<const N: usize> Tally<N> for OneStreamTally {
    fn new(_streams: usize) -> Self {
        OneStreamTally {
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
        check_sum::<N>(self.sum, messages, &[0])
    }

    fn check_part(&self, streams: &[usize], each: u64) -> Result<(), Failure> {
        match streams {
            [0] => Tally::<N>::check(self, each),
            _ => Err("a tally of one stream cannot check others".into()),
        }
    }
}

/// The tally of several streams: the messages of each arrive in the order of their numbers.
pub(crate) struct ManyStreamsTally {
    next: Box<[u64]>,
    count: u64,
    sum: u64,
    disorder: u64,
}

impl<const N: usize> Reader<N> for ManyStreamsTally {
    #[inline]
    fn read(&mut self, message: &[u8; N]) {
        self.sum = self.sum.wrapping_add(sum(message));
        self.count += 1;
        let stream = stream(message);
        match self.next.get_mut(stream) {
            Some(next) => {
                self.disorder |= word(&message[..8]) ^ number(stream as u64, *next);
                *next += 1;
            }
            None => self.disorder = u64::MAX,
        }
    }
}

impl<const N: usize> Tally<N> for ManyStreamsTally {
    fn new(streams: usize) -> Self {
        ManyStreamsTally {
            next: vec![0; streams].into(),
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
        let streams = Vec::from_iter(0..self.next.len());
        check_count(self.count, messages)?;
        Tally::<N>::check_part(self, &streams, messages / streams.len() as u64)
    }

    fn check_part(&self, streams: &[usize], each: u64) -> Result<(), Failure> {
        let messages = streams.len() as u64 * each;
        check_count(self.count, messages)?;
        check_order(self.disorder)?;
        // The counts add up, so no other stream has a message if each of these has all.
        for &stream in streams {
            let arrived = self.next.get(stream).copied().unwrap_or_default();
            if arrived != each {
                return Err(format!(
                    "{arrived} messages of stream {stream} arrived instead of {each}"
                )
                .into());
            }
        }
        check_sum::<N>(self.sum, messages, streams)
    }
}

fn check_count(arrived: u64, messages: u64) -> Result<(), Failure> {
    if arrived != messages {
        return Err(format!("{arrived} messages arrived instead of {messages}").into());
    }
    Ok(())
}

fn check_order(disorder: u64) -> Result<(), Failure> {
    if disorder != 0 {
        return Err("messages arrived out of order".into());
    }
    Ok(())
}

fn check_sum<const N: usize>(sum: u64, messages: u64, streams: &[usize]) -> Result<(), Failure> {
    let right = expected_sum(N, messages, streams);
    if sum != right {
        return Err(format!("the messages' words sum to {sum}, not {right}").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::content::filler;
    use super::*;

    fn message(stream: u64, sequence: u64) -> [u8; 16] {
        let mut message = [0; 16];
        message[..8].copy_from_slice(&number(stream, sequence).to_ne_bytes());
        message[8..].copy_from_slice(&filler(1).to_ne_bytes());
        message
    }

    fn verdict<T: Tally<16>>(streams: usize, messages: &[[u8; 16]], expected: u64) -> String {
        let mut tally = T::new(streams);
        tally.read_all(messages);
        match tally.check(expected) {
            Ok(()) => String::new(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn messages_as_sent_pass() {
        let sent: Vec<_> = (0..5).map(|i| message(0, i)).collect();
        assert_eq!(verdict::<OneStreamTally>(1, &sent, 5), "");
        assert_eq!(verdict::<ManyStreamsTally>(1, &sent, 5), "");
        let sent = [(2, 0), (0, 0), (2, 1), (1, 0), (1, 1), (0, 1)];
        let sent = sent.map(|(stream, sequence)| message(stream, sequence));
        assert_eq!(verdict::<ManyStreamsTally>(3, &sent, 6), "");
    }

    #[test]
    fn a_missing_and_a_surplus_message_are_found() {
        let sent: Vec<_> = (0..5).map(|i| message(0, i)).collect();
        for wrong in [4, 6] {
            let words = format!("5 messages arrived instead of {wrong}");
            assert_eq!(verdict::<OneStreamTally>(1, &sent, wrong), words);
            assert_eq!(verdict::<ManyStreamsTally>(1, &sent, wrong), words);
        }
    }

    #[test]
    fn messages_out_of_order_are_found() {
        let sent = [message(0, 0), message(0, 2), message(0, 1)];
        assert_eq!(
            verdict::<OneStreamTally>(1, &sent, 3),
            "messages arrived out of order"
        );
        assert_eq!(
            verdict::<ManyStreamsTally>(1, &sent, 3),
            "messages arrived out of order"
        );
        // One message twice instead of two.
        let sent = [message(0, 0), message(0, 0)];
        assert_eq!(
            verdict::<OneStreamTally>(1, &sent, 2),
            "messages arrived out of order"
        );
        // A stream that no producer sends.
        let sent = [message(0, 0), message(7, 0)];
        assert_eq!(
            verdict::<ManyStreamsTally>(2, &sent, 2),
            "messages arrived out of order"
        );
    }

    #[test]
    fn a_stream_with_too_few_messages_is_found() {
        let sent = [message(0, 0), message(0, 1)];
        let words = "2 messages of stream 0 arrived instead of 1";
        assert_eq!(verdict::<ManyStreamsTally>(2, &sent, 2), words);
    }

    #[test]
    fn a_part_of_the_streams_is_complete_or_refused() {
        let check = |sent: &[(u64, u64)], streams: &[usize], each| {
            let mut tally = <ManyStreamsTally as Tally<16>>::new(4);
            for &(stream, sequence) in sent {
                tally.read(&message(stream, sequence));
            }
            let checked = Tally::<16>::check_part(&tally, streams, each);
            checked.map_err(|failure| failure.to_string())
        };
        let sent = [(1, 0), (3, 0), (1, 1), (3, 1)];
        assert_eq!(check(&sent, &[1, 3], 2), Ok(()));
        assert_eq!(check(&[], &[], 2), Ok(()));
        let few = "4 messages arrived instead of 2";
        assert_eq!(check(&sent, &[1], 2), Err(few.to_owned()));
        let other = "0 messages of stream 2 arrived instead of 2";
        assert_eq!(check(&sent, &[1, 2], 2), Err(other.to_owned()));
        let late = "messages arrived out of order";
        assert_eq!(check(&[(1, 1), (1, 0)], &[1], 2), Err(late.to_owned()));
    }

    #[test]
    fn a_changed_byte_is_found() {
        let mut sent = [message(0, 0), message(0, 1)];
        sent[1][11] ^= 1;
        assert!(verdict::<OneStreamTally>(1, &sent, 2).starts_with("the messages' words sum to"));
        assert!(verdict::<ManyStreamsTally>(1, &sent, 2).starts_with("the messages' words sum to"));
    }
}
