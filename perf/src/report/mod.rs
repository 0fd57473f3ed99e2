//! A report of the results: for a terminal, for programs, and as charts.

pub(crate) mod contents;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod text;
