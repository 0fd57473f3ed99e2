//! The APIs that are served: their versions, and the layout of their requests.

use super::layout::Kind::{Bytes, Fixed, List, Optional, Structs, TaggedStructs, Text};
use super::layout::{Field, Layout, always, between, from, until};
use kafka_protocol::messages::ApiKey;

/// An API that is served.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    /// The lowest version that is advertised.
    pub(crate) advertised_from: i16,
    /// The lowest version that is answered.
    pub(crate) min: i16,
    /// The highest version.
    pub(crate) max: i16,
    pub(crate) layout: Layout,
}

const BOOLEAN: super::layout::Kind = Fixed(1);
const INT8: super::layout::Kind = Fixed(1);
const INT16: super::layout::Kind = Fixed(2);
const INT32: super::layout::Kind = Fixed(4);
const INT64: super::layout::Kind = Fixed(8);
const UUID: super::layout::Kind = Fixed(16);

const fn api(key: ApiKey, min: i16, max: i16, flexible_from: i16, fields: &'static [Field]) -> Api {
    Api {
        key,
        advertised_from: min,
        min,
        max,
        layout: Layout {
            flexible_from,
            fields,
        },
    }
}

/// Partitions of a topic, by their numbers.
const TOPIC_WITH_NUMBERS: &[Field] = &[always(Text), always(List(&INT32))];

/// A directory's UUID (from version 17 on) and the high watermark (18). In earlier versions the
/// decoder refuses them.
const FETCH_PARTITION_TAGS: &[(u32, u32)] = &[(0, 16), (1, 8)];

/// All APIs that are served, by their keys.
pub(crate) static SERVED: &[Api] = &[
    Api {
        // Clients of librdkafka before 2.8 take a higher minimum for a broker that cannot read
        // compressed batches, and send none (KAFKA-18659). No such request is answered, as in Kafka.
        advertised_from: 0,
        ..api(
            ApiKey::Produce,
            3,
            13,
            9,
            &[
                always(Text),
                always(INT16),
                always(INT32),
                always(Structs(&[
                    until(12, Text),
                    from(13, UUID),
                    always(Structs(&[always(INT32), always(Bytes)])),
                ])),
            ],
        )
    },
    api(
        ApiKey::Fetch,
        4,
        18,
        12,
        &[
            until(14, INT32),
            always(INT32),
            always(INT32),
            always(INT32),
            always(INT8),
            from(7, INT32),
            from(7, INT32),
            always(Structs(&[
                until(12, Text),
                from(13, UUID),
                always(TaggedStructs(
                    &[
                        always(INT32),
                        from(9, INT32),
                        always(INT64),
                        from(12, INT32),
                        from(5, INT64),
                        always(INT32),
                    ],
                    FETCH_PARTITION_TAGS,
                )),
            ])),
            from(
                7,
                Structs(&[until(12, Text), from(13, UUID), always(List(&INT32))]),
            ),
            from(11, Text),
        ],
    ),
    api(
        ApiKey::ListOffsets,
        1,
        10,
        6,
        &[
            always(INT32),
            from(2, INT8),
            always(Structs(&[
                always(Text),
                always(Structs(&[always(INT32), from(4, INT32), always(INT64)])),
            ])),
            from(10, INT32),
        ],
    ),
    api(
        ApiKey::Metadata,
        0,
        13,
        9,
        &[
            always(Structs(&[from(10, UUID), always(Text)])),
            from(4, BOOLEAN),
            between(8, 10, BOOLEAN),
            from(8, BOOLEAN),
        ],
    ),
    api(
        ApiKey::OffsetCommit,
        2,
        9,
        8,
        &[
            always(Text),
            always(INT32),
            always(Text),
            from(7, Text),
            until(4, INT64),
            always(Structs(&[
                always(Text),
                always(Structs(&[
                    always(INT32),
                    always(INT64),
                    from(6, INT32),
                    always(Text),
                ])),
            ])),
        ],
    ),
    api(
        ApiKey::OffsetFetch,
        1,
        9,
        6,
        &[
            until(7, Text),
            until(7, Structs(TOPIC_WITH_NUMBERS)),
            from(
                8,
                Structs(&[
                    always(Text),
                    from(9, Text),
                    from(9, INT32),
                    always(Structs(TOPIC_WITH_NUMBERS)),
                ]),
            ),
            from(7, BOOLEAN),
        ],
    ),
    api(
        ApiKey::FindCoordinator,
        0,
        6,
        3,
        &[until(3, Text), from(1, INT8), from(4, List(&Text))],
    ),
    api(
        ApiKey::JoinGroup,
        0,
        9,
        6,
        &[
            always(Text),
            always(INT32),
            from(1, INT32),
            always(Text),
            from(5, Text),
            always(Text),
            always(Structs(&[always(Text), always(Bytes)])),
            from(8, Text),
        ],
    ),
    api(
        ApiKey::Heartbeat,
        0,
        4,
        4,
        &[always(Text), always(INT32), always(Text), from(3, Text)],
    ),
    api(
        ApiKey::LeaveGroup,
        0,
        5,
        4,
        &[
            always(Text),
            until(2, Text),
            from(3, Structs(&[always(Text), always(Text), from(5, Text)])),
        ],
    ),
    api(
        ApiKey::SyncGroup,
        0,
        5,
        4,
        &[
            always(Text),
            always(INT32),
            always(Text),
            from(3, Text),
            from(5, Text),
            from(5, Text),
            always(Structs(&[always(Text), always(Bytes)])),
        ],
    ),
    api(
        ApiKey::DescribeGroups,
        0,
        6,
        5,
        &[always(List(&Text)), from(3, BOOLEAN)],
    ),
    api(
        ApiKey::ListGroups,
        0,
        5,
        3,
        &[from(4, List(&Text)), from(5, List(&Text))],
    ),
    api(ApiKey::SaslHandshake, 0, 1, i16::MAX, &[always(Text)]),
    api(
        ApiKey::ApiVersions,
        0,
        4,
        3,
        &[from(3, Text), from(3, Text)],
    ),
    api(
        ApiKey::CreateTopics,
        2,
        7,
        5,
        &[
            always(Structs(&[
                always(Text),
                always(INT32),
                always(INT16),
                always(Structs(&[always(INT32), always(List(&INT32))])),
                always(Structs(&[always(Text), always(Text)])),
            ])),
            always(INT32),
            always(BOOLEAN),
        ],
    ),
    api(
        ApiKey::DeleteTopics,
        1,
        6,
        4,
        &[
            from(6, Structs(&[always(Text), always(UUID)])),
            until(5, List(&Text)),
            always(INT32),
        ],
    ),
    api(
        ApiKey::DeleteRecords,
        0,
        2,
        2,
        &[
            always(Structs(&[
                always(Text),
                always(Structs(&[always(INT32), always(INT64)])),
            ])),
            always(INT32),
        ],
    ),
    api(
        ApiKey::InitProducerId,
        0,
        5,
        2,
        &[always(Text), always(INT32), from(3, INT64), from(3, INT16)],
    ),
    api(
        ApiKey::OffsetForLeaderEpoch,
        2,
        4,
        4,
        &[
            from(3, INT32),
            always(Structs(&[
                always(Text),
                always(Structs(&[always(INT32), always(INT32), always(INT32)])),
            ])),
        ],
    ),
    api(
        ApiKey::DescribeConfigs,
        1,
        4,
        4,
        &[
            always(Structs(&[always(INT8), always(Text), always(List(&Text))])),
            always(BOOLEAN),
            from(3, BOOLEAN),
        ],
    ),
    api(ApiKey::SaslAuthenticate, 0, 2, 2, &[always(Bytes)]),
    api(
        ApiKey::AlterConfigs,
        0,
        2,
        2,
        &[
            always(Structs(&[
                always(INT8),
                always(Text),
                always(Structs(&[always(Text), always(Text)])),
            ])),
            always(BOOLEAN),
        ],
    ),
    api(
        ApiKey::DescribeLogDirs,
        1,
        4,
        2,
        &[always(Structs(TOPIC_WITH_NUMBERS))],
    ),
    api(
        ApiKey::CreatePartitions,
        0,
        3,
        2,
        &[
            always(Structs(&[
                always(Text),
                always(INT32),
                always(Structs(&[always(List(&INT32))])),
            ])),
            always(INT32),
            always(BOOLEAN),
        ],
    ),
    api(ApiKey::DeleteGroups, 0, 2, 2, &[always(List(&Text))]),
    api(
        ApiKey::DescribeUserScramCredentials,
        0,
        0,
        0,
        &[always(Structs(&[always(Text)]))],
    ),
    api(
        ApiKey::AlterUserScramCredentials,
        0,
        0,
        0,
        &[
            always(Structs(&[always(Text), always(INT8)])),
            always(Structs(&[
                always(Text),
                always(INT8),
                always(INT32),
                always(Bytes),
                always(Bytes),
            ])),
        ],
    ),
    api(
        ApiKey::IncrementalAlterConfigs,
        0,
        1,
        1,
        &[
            always(Structs(&[
                always(INT8),
                always(Text),
                always(Structs(&[always(Text), always(INT8), always(Text)])),
            ])),
            always(BOOLEAN),
        ],
    ),
    api(
        ApiKey::OffsetDelete,
        0,
        0,
        i16::MAX,
        &[
            always(Text),
            always(Structs(&[always(Text), always(Structs(&[always(INT32)]))])),
        ],
    ),
    api(
        ApiKey::DescribeCluster,
        0,
        2,
        0,
        &[always(BOOLEAN), from(1, INT8), from(2, BOOLEAN)],
    ),
    api(
        ApiKey::DescribeProducers,
        0,
        0,
        0,
        &[always(Structs(TOPIC_WITH_NUMBERS))],
    ),
    api(
        ApiKey::ConsumerGroupHeartbeat,
        0,
        1,
        0,
        &[
            always(Text),
            always(Text),
            always(INT32),
            always(Text),
            always(Text),
            always(INT32),
            always(List(&Text)),
            from(1, Text),
            always(Text),
            always(Structs(&[always(UUID), always(List(&INT32))])),
        ],
    ),
    api(
        ApiKey::ConsumerGroupDescribe,
        0,
        1,
        0,
        &[always(List(&Text)), always(BOOLEAN)],
    ),
    api(
        ApiKey::ListConfigResources,
        0,
        1,
        0,
        &[from(1, List(&INT8))],
    ),
    api(
        ApiKey::DescribeTopicPartitions,
        0,
        0,
        0,
        &[
            always(Structs(&[always(Text)])),
            always(INT32),
            always(Optional(&[always(Text), always(INT32)])),
        ],
    ),
];

/// The API of this number, if it is served.
pub(crate) fn served(key: i16) -> Option<&'static Api> {
    SERVED.iter().find(|api| api.key as i16 == key)
}

impl Api {
    /// Whether requests of this version are answered.
    pub(crate) fn answers(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}
