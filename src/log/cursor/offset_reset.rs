use super::Cursor;

/// Where a consumer begins in a partition where it has no position, or a bad one (Kafka's
/// `auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OffsetReset {
    /// At the first record retained.
    #[default]
    Earliest,
    /// Past the last record, at the moment of the subscription or of the poll that finds that
    /// it was sent to an offset that is not there. A consumer that is *overtaken* loses no more
    /// than it must: it goes on at the first record retained.
    Latest,
    /// Nowhere: polling is an error until the consumer seeks, also after it was overtaken.
    None,
}

impl Cursor {
    /// Goes where the policy says, and returns whether there is such a place: under
    /// [`OffsetReset::None`] the cursor stays, and returns `false`.
    pub(crate) fn reset(&mut self, policy: OffsetReset) -> bool {
        match policy {
            OffsetReset::Earliest => self.go_to_start(),
            OffsetReset::Latest => self.go_to_end(),
            OffsetReset::None => return false,
        }
        true
    }
}
