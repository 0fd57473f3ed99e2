//! One chart of the four scenarios with one producer and one consumer.

use super::bars::{Bar, Group, height, panel};
use super::{CHART_STYLE, WIDTH};
use crate::report::size;
use crate::report::{Block, Report, Row};
use crate::scenario::ONE_TO_ONE;
use crate::system::Kind;
use maud::{PreEscaped, html};

/// Peers of each scenario: the best of them.
const PEERS: usize = 3;
/// Of the scenarios with batches, this one.
const BATCH: usize = 256;
const GAP: f64 = 28.0;
const TITLE: f64 = 30.0;

impl Report {
    /// An SVG file: ringlog beside the best peers. Empty without those scenarios.
    pub(crate) fn to_chart(&self) -> String {
        let panels: Vec<_> = ONE_TO_ONE.iter().map(|name| self.groups(name)).collect();
        let tall = |row: usize| {
            let both = [height(&panels[row * 2]), height(&panels[row * 2 + 1])];
            both.into_iter().fold(0.0, f64::max) + TITLE
        };
        let (width, total) = (2.0 * WIDTH + GAP, tall(0) + tall(1) + GAP);
        let place = |i: usize| {
            let x = (i % 2) as f64 * (WIDTH + GAP);
            let y = if i < 2 { 0.0 } else { tall(0) + GAP };
            (x, y)
        };
        let chart = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(total)
                viewBox=(format!("-8 -8 {} {}", width + 16.0, total + 16.0)) {
                style { (PreEscaped(CHART_STYLE)) }
                rect.paper x="-8" y="-8" width=(width + 16.0) height=(total + 16.0) rx="6" {}
                @for (i, name) in ONE_TO_ONE.iter().enumerate() {
                    @let (x, y) = place(i);
                    g transform=(format!("translate({x} {y})")) {
                        text.title x="0" y="18" {
                            (name)
                            @if i > 1 { ", " (BATCH) " at a time" }
                        }
                        g transform=(format!("translate(0 {TITLE})")) { (panel(&panels[i], WIDTH)) }
                    }
                }
            }
        };
        chart.into_string()
    }

    /// A group of bars for each payload.
    fn groups<'r>(&'r self, scenario: &str) -> Vec<Group<'r>> {
        let here = |block: &&Block| {
            block.scenario == scenario && (block.batch == 1 || block.batch == BATCH)
        };
        let blocks: Vec<&'r Block> = self.blocks.iter().filter(here).collect();
        let best = best(&blocks);
        let wanted = |row: &&Row| row.kind == Kind::Ringlog || best.contains(&row.system);
        let group = |block: &&'_ Block| -> Vec<usize> {
            let rows = block.rows.iter().enumerate();
            rows.filter(|(_, row)| wanted(row))
                .map(|(i, _)| i)
                .collect()
        };
        blocks
            .iter()
            .map(|block| {
                let rows = group(block).into_iter().map(|i| &block.rows[i]);
                let bars = rows.filter_map(Bar::of).collect();
                (size(block.payload), bars)
            })
            .collect()
    }
}

/// The peers that are the fastest over all payloads: by the product of their medians.
fn best(blocks: &[&Block]) -> Vec<String> {
    let mut peers: Vec<(String, f64)> = Vec::new();
    for row in blocks.iter().flat_map(|block| &block.rows) {
        let Some(spread) = row.spread().filter(|_| row.kind == Kind::Peer) else {
            continue;
        };
        match peers.iter_mut().find(|(name, _)| *name == row.system) {
            Some((_, sum)) => *sum += spread.median.ln(),
            None => peers.push((row.system.clone(), spread.median.ln())),
        }
    }
    peers.sort_by(|a, b| a.1.total_cmp(&b.1));
    peers
        .into_iter()
        .take(PEERS)
        .map(|(name, _)| name)
        .collect()
}
