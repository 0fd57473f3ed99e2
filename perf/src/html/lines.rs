//! Percentiles of latencies: a line for each system.

use super::scale::Scale;
use super::short;
use crate::latency::Percentiles;
use crate::report::Block;
use crate::system::Kind;
use maud::{Markup, html};

const HEIGHT: f64 = 280.0;
const LEFT: f64 = 56.0;
/// Room for the systems' names behind their lines.
const NAMES: f64 = 140.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;
/// Between two names.
const LEADING: f64 = 15.0;

struct Line<'r> {
    name: &'r str,
    class: String,
    told: Percentiles,
    /// Where its name is written.
    label: f64,
}

pub(super) fn svg(block: &Block, width: f64) -> Markup {
    let mut peers = 0;
    let lines = block.rows.iter().filter_map(|row| {
        let told = row.percentiles()?;
        let class = match row.kind {
            Kind::Ringlog => "line ours".to_owned(),
            Kind::Floor => "line floor".to_owned(),
            Kind::Peer => {
                peers += 1;
                format!("line peer{}", (peers - 1) % 9)
            }
        };
        Some(Line {
            name: &row.system,
            class,
            told,
            label: 0.0,
        })
    });
    let mut lines: Vec<Line<'_>> = lines.collect();
    let all = lines.iter().flat_map(|line| line.told.named());
    let values: Vec<f64> = all.map(|(_, ns)| ns.max(1) as f64).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(1.0, f64::max);
    let (floor, right) = (HEIGHT - BOTTOM, width - NAMES);
    let scale = Scale::log(least.min(most), most, floor, TOP);
    place_names(&mut lines, &scale);
    let column = |i: usize| LEFT + 20.0 + (right - LEFT - 40.0) * i as f64 / 4.0;
    html! {
        svg viewBox=(format!("0 0 {width} {HEIGHT}")) role="img" aria-label=(block.title()) {
            @for tick in scale.ticks() {
                @let y = scale.place(tick);
                line.grid x1=(LEFT) x2=(right) y1=(y) y2=(y) {}
                text.tick x=(LEFT - 6.0) y=(y + 4.0) text-anchor="end" { (unit(tick)) }
            }
            @for (i, name) in ["p50", "p90", "p99", "p99.9", "max"].into_iter().enumerate() {
                text.tick x=(column(i)) y=(HEIGHT - 8.0) text-anchor="middle" { (name) }
            }
            // ringlog last, so that it lies above the others.
            @for ours in [false, true] {
                @for line in lines.iter().filter(|line| line.class.ends_with("ours") == ours) {
                    (draw(line, &scale, &column, right))
                }
            }
        }
    }
}

fn draw(line: &Line<'_>, scale: &Scale, column: &dyn Fn(usize) -> f64, right: f64) -> Markup {
    let points = line.told.named().map(|(_, ns)| scale.place(ns as f64));
    let path: Vec<_> = (0..points.len())
        .map(|i| format!("{:.1},{:.1}", column(i), points[i]))
        .collect();
    let last = points[points.len() - 1];
    html! {
        g class=(line.class) {
            title {
                (line.name) ": "
                @for (name, ns) in line.told.named() { (name) " " (short(ns as f64)) ", " }
            }
            polyline points=(path.join(" ")) {}
            @for (i, y) in points.into_iter().enumerate() {
                circle cx=(column(i)) cy=(format!("{y:.1}")) r="2.5" {}
            }
            path.lead d=(format!(
                "M{:.1} {last:.1}L{:.1} {:.1}", column(4) + 4.0, right + 4.0, line.label
            )) {}
            text.name x=(right + 8.0) y=(format!("{:.1}", line.label + 4.0)) {
                (line.name) " " tspan.value { (short(line.told.p50 as f64)) }
            }
        }
    }
}

/// Names stand beside the ends of their lines, but not on each other.
fn place_names(lines: &mut [Line<'_>], scale: &Scale) {
    lines.sort_by(|a, b| {
        b.told
            .max
            .cmp(&a.told.max)
            .then(b.told.p50.cmp(&a.told.p50))
    });
    let mut next = TOP;
    for line in &mut *lines {
        line.label = scale.place(line.told.max as f64).max(next);
        next = line.label + LEADING;
    }
    // What went too low moves up again.
    let mut lowest = HEIGHT - 8.0;
    for line in lines.iter_mut().rev() {
        line.label = line.label.min(lowest);
        lowest = line.label - LEADING;
    }
}

fn unit(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.0} µs", ns / 1e3),
        ns if ns < 1e9 => format!("{:.0} ms", ns / 1e6),
        ns => format!("{:.0} s", ns / 1e9),
    }
}
