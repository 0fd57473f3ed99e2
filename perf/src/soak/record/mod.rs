//! The records of the soak: their identity, and the parts that follow from it.

pub(crate) mod id;
pub(crate) mod parts;
