//! Changes that make no difference that a test could notice, with the reasons.

use super::Mutant;

pub(crate) const NO_DIFFERENCE: &[(Mutant, &str)] = &[];
