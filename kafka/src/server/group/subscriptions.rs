//! What the members of a group are subscribed to.
//!
//! Those by the consumer protocol say so to the server.
//!
//! The metadata of classic members are bytes of the clients, but those of consumers have a layout
//! that Kafka's coordinator reads, too.

use super::cell::{Group, Members};
use super::consumer::read_subscription;
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
            Members::Classic(classic) => classic.check_offset_delete(),
            Members::Consumer(_) => Ok(()),
        }
    }

    /// Whether a member reads this topic, as far as the members say.
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

    fn check_offset_delete(&self) -> Result<(), ResponseError> {
        match self.state {
            State::Empty => Ok(()),
            _ if self.is_of_consumers() => Ok(()),
            // What the members of another kind read is not known.
            _ => Err(ResponseError::NonEmptyGroup),
        }
    }

    fn is_subscribed_to(&self, topic: &str) -> bool {
        if !self.is_of_consumers() || self.members.is_empty() {
            return false;
        }
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let mut members = self.members.values();
        members.any(|member| {
            let subscription = read_subscription(&member.metadata(protocol));
            // What cannot be read may contain it.
            subscription.is_none_or(|subscription| subscription.names.contains(topic))
        })
    }
}
