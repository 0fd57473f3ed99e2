//! What classic members put into JoinGroup and SyncGroup: Kafka's embedded consumer protocol.
//!
//! To the classic protocol these are bytes. A group with members of both protocols has to read them.

use super::super::assignor::Partitions;
use crate::server::protocol::layout::Kind::{Bytes as RawBytes, Fixed, List, Structs, Text};
use crate::server::protocol::layout::{Layout, always, from};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The highest version. Higher ones only append fields.
const MAX_VERSION: i16 = 3;
const NOT_FLEXIBLE: i16 = i16::MAX;

const SUBSCRIPTION: Layout = Layout {
    flexible_from: NOT_FLEXIBLE,
    fields: &[
        always(List(&Text)),
        always(RawBytes),
        from(1, Structs(&[always(Text), always(List(&Fixed(4)))])),
        from(2, Fixed(4)),
        from(3, Text),
    ],
};

const ASSIGNMENT: Layout = Layout {
    flexible_from: NOT_FLEXIBLE,
    fields: &[
        always(Structs(&[always(Text), always(List(&Fixed(4)))])),
        always(RawBytes),
    ],
};

/// Partitions by their topics' names.
pub(super) type NamedPartitions = Vec<(String, Vec<i32>)>;

/// What a classic member subscribes to, and has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::server::group) struct ClassicSubscription {
    pub(in crate::server::group) names: BTreeSet<String>,
    pub(super) owned: NamedPartitions,
    pub(super) rack_id: Option<String>,
}

/// Takes the version, and checks that what follows is all there. `None` if it is malformed.
fn checked(layout: &Layout, mut bytes: Bytes) -> Option<(i16, Bytes)> {
    let version = bytes.try_get_i16().ok()?;
    let version = (0..).contains(&version).then(|| version.min(MAX_VERSION))?;
    layout.check(version, &bytes).ok()?;
    Some((version, bytes))
}

pub(in crate::server::group) fn read_subscription(bytes: &Bytes) -> Option<ClassicSubscription> {
    let (version, mut bytes) = checked(&SUBSCRIPTION, bytes.clone())?;
    let read = ConsumerProtocolSubscription::decode(&mut bytes, version).ok()?;
    let names = read.topics.iter().map(|name| name.as_str().to_owned());
    let owned = read.owned_partitions.iter();
    let owned = owned.map(|topic| (topic.topic.as_str().to_owned(), topic.partitions.clone()));
    Some(ClassicSubscription {
        names: names.collect(),
        owned: owned.collect(),
        rack_id: read.rack_id.map(|rack| rack.as_str().to_owned()),
    })
}

/// An assignment, and whether an assignor has put data of its own beside it. No bytes are no
/// partitions.
pub(super) fn read_assignment(bytes: &Bytes) -> Option<(NamedPartitions, bool)> {
    if bytes.is_empty() {
        return Some((NamedPartitions::new(), false));
    }
    let (version, mut bytes) = checked(&ASSIGNMENT, bytes.clone())?;
    let read = ConsumerProtocolAssignment::decode(&mut bytes, version).ok()?;
    let assigned = read.assigned_partitions.iter();
    let assigned =
        assigned.map(|topic| (topic.topic.as_str().to_owned(), topic.partitions.clone()));
    let has_data = read.user_data.is_some_and(|data| !data.is_empty());
    Some((assigned.collect(), has_data))
}

/// An assignment in the version of a member's subscription. Topics without a name no longer exist.
pub(super) fn write_assignment<'a>(
    subscription: &Bytes,
    partitions: &Partitions,
    name_of: impl Fn(Uuid) -> Option<&'a str>,
) -> Bytes {
    let version = subscription.clone().try_get_i16().unwrap_or(0);
    let version = version.clamp(0, MAX_VERSION);
    let mut by_topic: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, number) in partitions {
        by_topic.entry(*topic).or_default().push(*number);
    }
    let topics = by_topic.into_iter().filter_map(|(topic, numbers)| {
        let name = StrBytes::from_string(name_of(topic)?.to_owned());
        let topic = TopicPartition::default().with_topic(TopicName(name));
        Some(topic.with_partitions(numbers))
    });
    let assignment =
        ConsumerProtocolAssignment::default().with_assigned_partitions(topics.collect());
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    match assignment.encode(&mut bytes, version) {
        Ok(()) => bytes.freeze(),
        // A name is too long for its length: the server has no such topics.
        Err(_) => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_as_it_was_written() {
        let topic = Uuid::from_u128(7);
        let partitions = Partitions::from([(topic, 0), (topic, 2), (Uuid::from_u128(8), 1)]);
        let name_of = |id| (id == topic).then_some("orders");
        for version in [0u8, 1, 3, 9] {
            let subscription = Bytes::copy_from_slice(&[0, version, 9]);
            let written = write_assignment(&subscription, &partitions, name_of);
            let expected = (vec![("orders".to_owned(), vec![0, 2])], false);
            assert_eq!(read_assignment(&written), Some(expected));
            assert_eq!(written[1], version.min(3));
        }
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let good = [0, 0, 0, 0, 0, 1, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff];
        let names = BTreeSet::from(["a".to_owned()]);
        let read = read_subscription(&Bytes::copy_from_slice(&good)).unwrap();
        assert_eq!(read.names, names);
        for end in 0..good.len() {
            assert_eq!(
                read_subscription(&Bytes::copy_from_slice(&good[..end])),
                None
            );
        }
        let millions = [0, 0, 0x7f, 0xff, 0xff, 0xff];
        assert_eq!(read_subscription(&Bytes::copy_from_slice(&millions)), None);
        assert_eq!(read_assignment(&Bytes::copy_from_slice(&millions)), None);
        let negative = [0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(read_subscription(&Bytes::copy_from_slice(&negative)), None);
    }
}
