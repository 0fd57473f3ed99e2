//! The systems that did the same work, compared with each other.

use super::distance::{DistancePart, DistanceSplit};
use super::row::{Row, Spread};
use crate::systems::system::SystemKind;

/// Systems that did the same work.
pub(crate) struct Block {
    pub(crate) scenario: &'static str,
    pub(crate) label: String,
    pub(crate) payload: usize,
    pub(crate) batch: usize,
    pub(crate) producers: usize,
    pub(crate) consumers: usize,
    pub(crate) partitions: usize,
    pub(crate) rate: Option<u64>,
    pub(crate) rows: Vec<Row>,
}

/// A number of bytes, in words.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        1024 => "1 KiB".to_owned(),
        bytes => format!("{bytes} B"),
    }
}

impl Block {
    /// Whether latencies were measured, rather than times per message.
    pub(crate) fn is_latency(&self) -> bool {
        self.rows.iter().any(|row| !row.latencies.is_empty())
    }

    pub(crate) fn is_oversubscribed(&self) -> bool {
        self.rows.iter().any(|row| row.oversubscribed)
    }

    /// The fastest peer's median divided by this row's: above 1, ringlog is faster.
    pub(crate) fn times_best_peer(&self, row: &Row) -> Option<f64> {
        self.times_best(row, |row| Some(row.spread()?.median))
    }

    /// The fastest peer's median divided by this row's, with the medians that `median` returns.
    fn times_best(&self, row: &Row, median: impl Fn(&Row) -> Option<f64>) -> Option<f64> {
        if row.kind != SystemKind::Ringlog {
            return None;
        }
        let peers = self.rows.iter().filter(|row| row.kind == SystemKind::Peer);
        Some(peers.filter_map(&median).reduce(f64::min)? / median(row)?)
    }

    /// A row's runs on near cores, then those on far ones. `None` if all runs of the block met
    /// the same distance.
    pub(crate) fn distances(&self, row: &Row) -> Option<[Option<DistancePart>; 2]> {
        let split = DistanceSplit::of(&self.rows)?;
        let mut parts = split.parts(row);
        for (distance, part) in parts.iter_mut().enumerate() {
            let median = |row: &Row| Some(split.parts(row)[distance]?.spread.median);
            if let Some(part) = part {
                part.times_best_peer = self.times_best(row, median);
            }
        }
        Some(parts)
    }

    /// The round trips of a bare word before and after the runs.
    pub(crate) fn round_trips(&self) -> Option<Spread> {
        let all: Vec<f64> = (self.rows.iter())
            .flat_map(|row| row.round_trips.as_flattened().iter().copied())
            .collect();
        Spread::of(&all)
    }

    /// What distinguishes this block from the scenario's other blocks.
    pub(crate) fn title(&self) -> String {
        let mut parts = Vec::new();
        if !self.label.is_empty() {
            parts.push(self.label.clone());
        }
        parts.push(size(self.payload));
        if self.batch > 1 {
            parts.push(format!("batches of {}", self.batch));
        }
        parts.join(", ")
    }
}
