//! Line charts of latency percentiles: a line for each system.

use super::number::with_unit;
use super::scale::Scale;
use crate::measure::latency::Percentiles;
use crate::results::block::Block;
use crate::systems::system::SystemKind;
use maud::{Markup, html};

const HEIGHT: f64 = 300.0;
/// Room for the systems' names at the left end of their lines: the lines lie apart at the
/// median, while their slowest latencies are often the machine's.
const NAMES: f64 = 186.0;
/// Room for the axis at the right.
const AXIS: f64 = 48.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// Between two names.
const LEADING: f64 = 15.0;

struct Line<'r> {
    name: &'r str,
    class: String,
    percentiles: Percentiles,
    /// The y coordinate of its name.
    label: f64,
}

pub(super) fn chart(block: &Block, width: f64) -> Markup {
    let (mut ours, mut peers) = (0, 0);
    let lines = block.rows.iter().filter_map(|row| {
        let percentiles = row.percentiles()?;
        let class = match row.kind {
            SystemKind::Ringlog => {
                ours += 1;
                format!("line ours ours{}", ours - 1)
            }
            SystemKind::Floor => "line floor".to_owned(),
            SystemKind::Peer => {
                peers += 1;
                format!("line peer{}", (peers - 1) % 9)
            }
        };
        Some(Line {
            name: &row.system,
            class,
            percentiles,
            label: 0.0,
        })
    });
    let mut lines: Vec<Line<'_>> = lines.collect();
    let all = lines.iter().flat_map(|line| line.percentiles.named());
    let values: Vec<f64> = all.map(|(_, ns)| ns.max(1) as f64).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(1.0, f64::max);
    let (floor, right) = (HEIGHT - BOTTOM, width - AXIS);
    let scale = Scale::log(least.min(most), most, floor, TOP);
    place_names(&mut lines, &scale);
    let column = |i: usize| NAMES + 20.0 + (right - NAMES - 36.0) * i as f64 / 4.0;
    html! {
        svg viewBox=(format!("0 0 {width} {HEIGHT}")) role="img" aria-label=(block.title()) {
            @for tick in scale.ticks() {
                @let y = scale.position(tick);
                line.grid x1=(NAMES) x2=(right) y1=(y) y2=(y) {}
                text.tick x=(right + 6.0) y=(y + 4.0) { (with_unit(tick)) }
            }
            @for (i, name) in ["p50", "p90", "p99", "p99.9", "max"].into_iter().enumerate() {
                text.tick x=(column(i)) y=(HEIGHT - 8.0) text-anchor="middle" { (name) }
            }
            // ringlog last, so that it is drawn above the others.
            @for ours in [false, true] {
                @for line in lines.iter().filter(|line| line.class.contains("ours") == ours) {
                    (draw(line, &scale, &column))
                }
            }
        }
    }
}

fn draw(line: &Line<'_>, scale: &Scale, column: &dyn Fn(usize) -> f64) -> Markup {
    let points = line
        .percentiles
        .named()
        .map(|(_, ns)| scale.position(ns as f64));
    let path: Vec<_> = (0..points.len())
        .map(|i| format!("{:.1},{:.1}", column(i), points[i]))
        .collect();
    html! {
        g class=(line.class) {
            title {
                (line.name) ": "
                @for (name, ns) in line.percentiles.named() { (name) " " (with_unit(ns as f64)) ", " }
            }
            polyline points=(path.join(" ")) {}
            @for (i, y) in points.into_iter().enumerate() {
                circle cx=(column(i)) cy=(format!("{y:.1}")) r="2.5" {}
            }
            path.lead d=(format!(
                "M{:.1} {:.1}L{:.1} {:.1}", column(0) - 4.0, points[0], NAMES - 2.0, line.label
            )) {}
            text.name x=(NAMES - 6.0) y=(format!("{:.1}", line.label + 4.0)) text-anchor="end" {
                (line.name) " " tspan.value { (with_unit(line.percentiles.p50 as f64)) }
            }
        }
    }
}

/// Places names beside the beginnings of their lines, without overlap.
fn place_names(lines: &mut [Line<'_>], scale: &Scale) {
    lines.sort_by_key(|line| std::cmp::Reverse(line.percentiles.p50));
    let mut next = TOP;
    for line in &mut *lines {
        line.label = scale.position(line.percentiles.p50 as f64).max(next);
        next = line.label + LEADING;
    }
    // A name below the chart moves up again.
    let mut lowest = HEIGHT - BOTTOM + 4.0;
    for line in lines.iter_mut().rev() {
        line.label = line.label.min(lowest);
        lowest = line.label - LEADING;
    }
}
