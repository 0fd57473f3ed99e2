//! What was measured: the runs of a system, the systems of a case, and their comparison.

pub(crate) mod block;
pub(crate) mod distance;
pub(crate) mod row;
