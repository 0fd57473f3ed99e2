//! Why a batch's values cannot be viewed as a type.

/// Why a batch's values cannot be viewed as a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// A value's length differs from the type's size.
    #[error("the value at offset {offset} has {length} bytes, but the type has {size}")]
    Size {
        /// Offset of the first record that does not fit.
        offset: u64,
        /// Bytes of its value.
        length: usize,
        /// Bytes of the type.
        size: usize,
    },
    /// The type needs a larger alignment than the 8 bytes that values have.
    #[error("the type needs an alignment of {align} bytes, but values are aligned to {max}")]
    Alignment {
        /// The type's alignment, in bytes.
        align: usize,
        /// The alignment of values, in bytes.
        max: usize,
    },
}
