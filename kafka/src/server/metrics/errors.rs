//! Where each response has its error codes.

use kafka_protocol::messages::*;

/// A response, with its errors.
pub(crate) trait Errors {
    /// Calls `count` with each of its error codes; 0 is none.
    fn errors(&self, count: &mut dyn FnMut(i16));
}

/// `error_code` is a field; `(list inner)` is a list whose items have what `inner` says.
macro_rules! errors {
    ($($response:ident { $($inner:tt)* })*) => {$(
        impl Errors for $response {
            fn errors(&self, count: &mut dyn FnMut(i16)) {
                $( errors!(@ self, count, $inner); )*
            }
        }
    )*};
    (@ $at:expr, $count:ident, error_code) => { $count($at.error_code) };
    (@ $at:expr, $count:ident, ($list:ident $inner:tt)) => {
        for item in &$at.$list {
            errors!(@ item, $count, $inner);
        }
    };
}

errors! {
    AlterConfigsResponse { (responses error_code) }
    AlterUserScramCredentialsResponse { (results error_code) }
    ApiVersionsResponse { error_code }
    ConsumerGroupDescribeResponse { (groups error_code) }
    ConsumerGroupHeartbeatResponse { error_code }
    CreatePartitionsResponse { (results error_code) }
    CreateTopicsResponse { (topics error_code) }
    DeleteGroupsResponse { (results error_code) }
    DeleteRecordsResponse { (topics (partitions error_code)) }
    DeleteTopicsResponse { (responses error_code) }
    DescribeClusterResponse { error_code }
    DescribeConfigsResponse { (results error_code) }
    DescribeGroupsResponse { (groups error_code) }
    DescribeLogDirsResponse { error_code (results error_code) }
    DescribeProducersResponse { (topics (partitions error_code)) }
    DescribeTopicPartitionsResponse { (topics error_code) }
    DescribeUserScramCredentialsResponse { error_code (results error_code) }
    FetchResponse { error_code (responses (partitions error_code)) }
    FindCoordinatorResponse { error_code (coordinators error_code) }
    HeartbeatResponse { error_code }
    IncrementalAlterConfigsResponse { (responses error_code) }
    InitProducerIdResponse { error_code }
    JoinGroupResponse { error_code }
    LeaveGroupResponse { error_code (members error_code) }
    ListConfigResourcesResponse { error_code }
    ListGroupsResponse { error_code }
    ListOffsetsResponse { (topics (partitions error_code)) }
    MetadataResponse { error_code (topics error_code) (topics (partitions error_code)) }
    OffsetCommitResponse { (topics (partitions error_code)) }
    OffsetDeleteResponse { error_code (topics (partitions error_code)) }
    OffsetFetchResponse {
        error_code
        (topics (partitions error_code))
        (groups error_code)
        (groups (topics (partitions error_code)))
    }
    OffsetForLeaderEpochResponse { (topics (partitions error_code)) }
    ProduceResponse { (responses (partition_responses error_code)) }
    SaslAuthenticateResponse { error_code }
    SaslHandshakeResponse { error_code }
    SyncGroupResponse { error_code }
}
