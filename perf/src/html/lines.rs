//! Percentiles of latencies: a line for each system.

use super::scale::Scale;
use crate::latency::Percentiles;
use crate::report::Block;
use crate::system::Kind;
use maud::{Markup, html};

const HEIGHT: f64 = 300.0;
/// Room for the systems' names before their lines: at the median they lie apart, while the
/// slowest are often the machine's.
const NAMES: f64 = 186.0;
/// Room for the axis, behind them.
const AXIS: f64 = 48.0;
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
    let (mut ours, mut peers) = (0, 0);
    let lines = block.rows.iter().filter_map(|row| {
        let told = row.percentiles()?;
        let class = match row.kind {
            Kind::Ringlog => {
                ours += 1;
                format!("line ours ours{}", ours - 1)
            }
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
    let (floor, right) = (HEIGHT - BOTTOM, width - AXIS);
    let scale = Scale::log(least.min(most), most, floor, TOP);
    place_names(&mut lines, &scale);
    let column = |i: usize| NAMES + 20.0 + (right - NAMES - 36.0) * i as f64 / 4.0;
    html! {
        svg viewBox=(format!("0 0 {width} {HEIGHT}")) role="img" aria-label=(block.title()) {
            @for tick in scale.ticks() {
                @let y = scale.place(tick);
                line.grid x1=(NAMES) x2=(right) y1=(y) y2=(y) {}
                text.tick x=(right + 6.0) y=(y + 4.0) { (unit(tick)) }
            }
            @for (i, name) in ["p50", "p90", "p99", "p99.9", "max"].into_iter().enumerate() {
                text.tick x=(column(i)) y=(HEIGHT - 8.0) text-anchor="middle" { (name) }
            }
            // ringlog last, so that it lies above the others.
            @for ours in [false, true] {
                @for line in lines.iter().filter(|line| line.class.contains("ours") == ours) {
                    (draw(line, &scale, &column))
                }
            }
        }
    }
}

fn draw(line: &Line<'_>, scale: &Scale, column: &dyn Fn(usize) -> f64) -> Markup {
    let points = line.told.named().map(|(_, ns)| scale.place(ns as f64));
    let path: Vec<_> = (0..points.len())
        .map(|i| format!("{:.1},{:.1}", column(i), points[i]))
        .collect();
    html! {
        g class=(line.class) {
            title {
                (line.name) ": "
                @for (name, ns) in line.told.named() { (name) " " (unit(ns as f64)) ", " }
            }
            polyline points=(path.join(" ")) {}
            @for (i, y) in points.into_iter().enumerate() {
                circle cx=(column(i)) cy=(format!("{y:.1}")) r="2.5" {}
            }
            path.lead d=(format!(
                "M{:.1} {:.1}L{:.1} {:.1}", column(0) - 4.0, points[0], NAMES - 2.0, line.label
            )) {}
            text.name x=(NAMES - 6.0) y=(format!("{:.1}", line.label + 4.0)) text-anchor="end" {
                (line.name) " " tspan.value { (unit(line.told.p50 as f64)) }
            }
        }
    }
}

/// Names stand beside the beginnings of their lines, but not on each other.
fn place_names(lines: &mut [Line<'_>], scale: &Scale) {
    lines.sort_by_key(|line| std::cmp::Reverse(line.told.p50));
    let mut next = TOP;
    for line in &mut *lines {
        line.label = scale.place(line.told.p50 as f64).max(next);
        next = line.label + LEADING;
    }
    // What went too low moves up again.
    let mut lowest = HEIGHT - BOTTOM + 4.0;
    for line in lines.iter_mut().rev() {
        line.label = line.label.min(lowest);
        lowest = line.label - LEADING;
    }
}

/// A number of nanoseconds with its unit.
fn unit(ns: f64) -> String {
    let (number, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    // Two digits at least, and no more after the point than tell something.
    if number < 10.0 && unit != "ns" && number.fract() > 0.04 {
        return format!("{number:.1} {unit}");
    }
    format!("{number:.0} {unit}")
}
