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
use std::collections::BTreeSet;

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

    /// The topics that members read, as far as they say. `None` if that cannot be read: any topic may
    /// be among them.
    pub(crate) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        match &self.members {
            Members::Classic(classic) => classic.subscribed_topics(),
            Members::Consumer(consumer) => Some(consumer.subscribed_topics()),
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

    fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        if self.is_of_consumers() {
            let protocol = self.protocol.as_deref().unwrap_or_default();
            for member in self.members.values() {
                all.append(&mut read_subscription(&member.metadata(protocol))?.names);
            }
        }
        Some(all)
    }
}
