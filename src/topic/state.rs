/// The topic's state: `changes:47 | partitions:15 | deleted:1 | closed:1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TopicState(pub(super) u64);

impl TopicState {
    /// That of no topic.
    pub(crate) const NONE: TopicState = TopicState(u64::MAX);
    /// Nothing more is appended.
    pub(super) const CLOSED: u64 = 1;
    /// Nor is anything read any more.
    pub(super) const DELETED: u64 = 1 << 1;
    const PARTITION: u64 = 1 << 2;
    pub(super) const CHANGE: u64 = 1 << 17;

    pub(super) fn of(partitions: u32) -> TopicState {
        TopicState(u64::from(partitions) * Self::PARTITION)
    }

    pub(crate) fn partitions(self) -> u32 {
        ((self.0 % Self::CHANGE) / Self::PARTITION) as u32
    }
}
