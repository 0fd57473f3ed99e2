//! The summary chart: four scenarios with ringlog and the best peers of each.

use super::bars::{Bar, Group, height, panel};
use super::style::{CHART_STYLE, WIDTH};
use crate::report::contents::Report;
use crate::results::block::{Block, size};
use crate::results::row::Row;
use crate::systems::system::SystemKind;
use maud::{PreEscaped, html};

/// How many peers of each scenario are shown: the best ones.
const PEERS: usize = 3;
/// The batch that is shown of scenarios with batches.
const BATCH: usize = 256;
const GAP: f64 = 28.0;
const TITLE: f64 = 30.0;

/// An SVG file with a panel for each of these scenarios. A panel is empty if its scenario was not
/// measured.
pub(crate) fn summary_chart(report: &Report, scenarios: &[&str; 4]) -> String {
    let panels: Vec<_> = scenarios.iter().map(|name| groups(report, name)).collect();
    let tall = |row: usize| {
        let both = [height(&panels[row * 2]), height(&panels[row * 2 + 1])];
        both.into_iter().fold(0.0, f64::max) + TITLE
    };
    let (width, total) = (2.0 * WIDTH + GAP, tall(0) + tall(1) + GAP);
    let origin = |i: usize| {
        let x = (i % 2) as f64 * (WIDTH + GAP);
        let y = if i < 2 { 0.0 } else { tall(0) + GAP };
        (x, y)
    };
    let chart = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(total)
            viewBox=(format!("-8 -8 {} {}", width + 16.0, total + 16.0)) {
            style { (PreEscaped(CHART_STYLE)) }
            rect.paper x="-8" y="-8" width=(width + 16.0) height=(total + 16.0) rx="6" {}
            @for (i, name) in scenarios.iter().enumerate() {
                @let (x, y) = origin(i);
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
fn groups<'r>(report: &'r Report, scenario: &str) -> Vec<Group<'r>> {
    let shown =
        |block: &&Block| block.scenario == scenario && (block.batch == 1 || block.batch == BATCH);
    let blocks: Vec<&'r Block> = report.blocks.iter().filter(shown).collect();
    let best = best(&blocks);
    let shown = |row: &&Row| row.kind == SystemKind::Ringlog || best.contains(&row.system);
    let group = |block: &&'_ Block| -> Vec<usize> {
        let rows = block.rows.iter().enumerate();
        rows.filter(|(_, row)| shown(row)).map(|(i, _)| i).collect()
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

/// The fastest peers over all payloads, by the product of their medians.
fn best(blocks: &[&Block]) -> Vec<String> {
    let mut peers: Vec<(String, f64)> = Vec::new();
    for row in blocks.iter().flat_map(|block| &block.rows) {
        let Some(spread) = row.spread().filter(|_| row.kind == SystemKind::Peer) else {
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
