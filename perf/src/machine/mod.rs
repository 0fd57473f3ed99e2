//! The machine under the measurement: its cores, their distance, and the facts for a report.

pub(crate) mod cores;
pub(crate) mod facts;
pub(crate) mod round_trip;
