//! The limit of a dependent reader: the offset before which its upstreams have read everything.
//!
//! A cursor returns no record at or after its limit. It may step over aborted claims there, which
//! have no records. Without upstreams the limit is [`NO_LIMIT`], which no offset reaches.
//!
//! A quick poll gets the limit as a bound on its number of records: up to the first aborted claim,
//! each record has the offset after that of the record before. Stepping over an aborted claim
//! lowers the bound ([`Cursor::slots_allowed`]). So the loop over single records has no check of
//! its own for limits.

use super::Cursor;

/// No limit.
pub(super) const NO_LIMIT: u64 = u64::MAX;

impl Cursor {
    /// From now on returns no record at or after `limit`.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// How many offsets may be read from the position on.
    #[inline]
    pub(crate) fn allowance(&self) -> u64 {
        self.limit.saturating_sub(self.position())
    }

    /// How many slots of the cursor's segment may be read from `slot` on.
    pub(super) fn slots_allowed(&self, slot: u32) -> u32 {
        let allowed = self.limit.saturating_sub(self.base + u64::from(slot));
        allowed.try_into().unwrap_or(u32::MAX)
    }
}
