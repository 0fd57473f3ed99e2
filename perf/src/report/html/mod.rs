//! The report as charts: a page for all scenarios, and one summary chart.

pub(crate) mod bars;
pub(crate) mod lines;
pub(crate) mod number;
pub(crate) mod page;
pub(crate) mod scale;
pub(crate) mod style;
pub(crate) mod summary_chart;
