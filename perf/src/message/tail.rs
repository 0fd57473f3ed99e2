//! The tally of a log that has dropped its oldest messages.

use super::content::{filler, number, stream, word};
use crate::failure::Failure;

/// Reads the newest messages of each stream, as many as the log still has, and checks that none
/// among them is missing, repeated, out of order or changed.
pub(crate) struct TailTally {
    /// The sequence of each stream's next message; `None` before its first.
    next: Vec<Option<u64>>,
    count: u64,
    fault: bool,
}

impl TailTally {
    pub(crate) fn new(streams: usize) -> Self {
        TailTally {
            next: vec![None; streams],
            count: 0,
            fault: false,
        }
    }

    pub(crate) fn read<const N: usize>(&mut self, message: &[u8; N]) {
        self.count += 1;
        let mut words = message.chunks_exact(8).map(word).enumerate().skip(1);
        self.fault |= words.any(|(i, word)| word != filler(i));
        let stream = stream(message);
        let sequence = word(&message[..8]) ^ number(stream as u64, 0);
        match self.next.get_mut(stream) {
            Some(next) => {
                self.fault |= next.is_some_and(|next| next != sequence);
                *next = Some(sequence + 1);
            }
            None => self.fault = true,
        }
    }

    /// Checks that each stream that arrived ends with its message `each - 1`, and that at least
    /// `least` messages arrived in all.
    pub(crate) fn check(&self, each: u64, least: u64) -> Result<(), Failure> {
        if self.fault {
            return Err("a message was changed, or arrived out of order".into());
        }
        for (stream, next) in self.next.iter().enumerate() {
            if let Some(next) = next.filter(|&next| next != each) {
                return Err(format!(
                    "the last message of stream {stream} was {}, not {}",
                    next - 1,
                    each - 1
                )
                .into());
            }
        }
        if self.count < least {
            let count = self.count;
            return Err(format!("the log has {count} messages instead of {least} or more").into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(streams: usize, messages: &[(u64, u64)], changed: bool) -> String {
        let mut tally = TailTally::new(streams);
        for &(stream, sequence) in messages {
            let mut message = [0; 16];
            message[..8].copy_from_slice(&number(stream, sequence).to_ne_bytes());
            message[8..].copy_from_slice(&filler(1).to_ne_bytes());
            message[9] ^= u8::from(changed);
            tally.read(&message);
        }
        match tally.check(10, 3) {
            Ok(()) => String::new(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn the_newest_messages_in_order_pass() {
        let tail = [(0, 8), (2, 9), (0, 9)];
        assert_eq!(verdict(3, &tail, false), "");
    }

    #[test]
    fn a_missing_a_repeated_and_a_changed_message_are_found() {
        let changed = "a message was changed, or arrived out of order";
        assert_eq!(verdict(1, &[(0, 6), (0, 7), (0, 9)], false), changed);
        assert_eq!(verdict(1, &[(0, 8), (0, 9), (0, 9)], false), changed);
        assert_eq!(verdict(1, &[(0, 7), (0, 8), (0, 9)], true), changed);
        assert_eq!(verdict(1, &[(0, 8), (0, 9), (1, 9)], false), changed);
        let early = "the last message of stream 0 was 8, not 9";
        assert_eq!(verdict(1, &[(0, 6), (0, 7), (0, 8)], false), early);
        let few = "the log has 2 messages instead of 3 or more";
        assert_eq!(verdict(1, &[(0, 8), (0, 9)], false), few);
    }
}
