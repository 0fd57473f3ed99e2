//! What the members of a group are subscribed to.
//!
//! The metadata of classic members are bytes of the clients, but those of consumers have a layout that Kafka's
//! coordinator reads too: a version, then the names of the topics.

use super::cell::{Group, Members};
use super::state::{ClassicGroup, State};
use kafka_protocol::error::ResponseError;

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";

impl Group {
    /// Checks that offsets of the group may be deleted now.
    pub(crate) fn check_offset_delete(&self) -> Result<(), ResponseError> {
        if self.is_deleted {
            return Err(ResponseError::GroupIdNotFound);
        }
        match &self.members {
            Members::Classic(classic) => match classic.state {
                State::Empty => Ok(()),
                _ if classic.is_of_consumers() => Ok(()),
                // What the members of another kind read is not known.
                _ => Err(ResponseError::NonEmptyGroup),
            },
            Members::Consumer(_) => Ok(()),
        }
    }

    /// Whether a member reads this topic, as far as the members' metadata say.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.members {
            Members::Classic(classic) => classic.is_subscribed_to(topic),
            Members::Consumer(consumer) => consumer.is_subscribed_to(topic),
        }
    }
}

impl ClassicGroup {
    fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    fn is_subscribed_to(&self, topic: &str) -> bool {
        if !self.is_of_consumers() || self.members.is_empty() {
            return false;
        }
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let mut members = self.members.values();
        members.any(|member| {
            let topics = topics(&member.metadata(protocol));
            // What cannot be read may contain it.
            topics.is_none_or(|topics| topics.iter().any(|name| name == topic))
        })
    }
}

/// The topics of a consumer's metadata; `None` if they are not laid out so.
fn topics(metadata: &[u8]) -> Option<Vec<String>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..u32::try_from(i32::from_be_bytes(*count)).ok()? {
        let (length, name) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = name.split_at_checked(length)?;
        topics.push(String::from_utf8(name.to_vec()).ok()?);
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_what_is_cut_is_not() {
        let metadata = [0, 1, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c', 9, 9];
        assert_eq!(
            topics(&metadata),
            Some(vec!["a".to_owned(), "bc".to_owned()])
        );
        for end in 0..13 {
            assert_eq!(topics(&metadata[..end]), None, "{end}");
        }
        assert_eq!(topics(&[0, 0, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
