//! Horizontal bars with whiskers.

use super::scale::Scale;
use super::short;
use crate::report::{Block, Row, Spread};
use crate::system::Kind;
use maud::{Markup, html};

const ROW: f64 = 22.0;
/// Of a name's letters, about.
const LETTER: f64 = 6.9;
/// Room behind the longest whisker for its value.
const VALUES: f64 = 44.0;
const AXIS: f64 = 22.0;

/// One system's bar.
pub(super) struct Bar<'r> {
    name: &'r str,
    kind: Kind,
    spread: Spread,
}

impl<'r> Bar<'r> {
    pub(super) fn of(row: &'r Row) -> Option<Bar<'r>> {
        Some(Bar {
            name: &row.system,
            kind: row.kind,
            spread: row.spread()?,
        })
    }

    pub(super) fn median(&self) -> f64 {
        self.spread.median
    }

    fn class(&self) -> &'static str {
        match self.kind {
            Kind::Ringlog => "ours",
            Kind::Peer => "peer",
            Kind::Floor => "floor",
        }
    }
}

/// The block's systems, the fastest first.
pub(super) fn svg(block: &Block, width: f64) -> Markup {
    let mut bars: Vec<Bar<'_>> = block.rows.iter().filter_map(Bar::of).collect();
    bars.sort_by(|a, b| a.median().total_cmp(&b.median()));
    let groups = [(String::new(), bars)];
    let height = height(&groups);
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(block.title()) {
            (panel(&groups, width))
        }
    }
}

/// A group has a heading of its own unless that is empty.
pub(super) type Group<'r> = (String, Vec<Bar<'r>>);

pub(super) fn height(groups: &[Group<'_>]) -> f64 {
    let heading = |(title, bars): &Group<'_>| {
        let heading = if title.is_empty() { 0.0 } else { ROW };
        heading + bars.len() as f64 * ROW
    };
    groups.iter().map(heading).sum::<f64>() + AXIS
}

/// Room for the longest name.
fn labels(groups: &[Group<'_>]) -> f64 {
    let bars = groups.iter().flat_map(|(_, bars)| bars);
    let letters = bars.map(|bar| bar.name.chars().count()).max();
    (letters.unwrap_or_default() as f64 * LETTER + 16.0).max(150.0)
}

/// Groups of bars one below the other, on one axis.
pub(super) fn panel(groups: &[Group<'_>], width: f64) -> Markup {
    let spreads = groups.iter().flat_map(|(_, bars)| bars).map(|b| b.spread);
    let ends = spreads.flat_map(|spread| [spread.min, spread.median, spread.max]);
    let labels = labels(groups);
    let scale = Scale::new(ends, labels, width - VALUES);
    let bottom = height(groups) - AXIS;
    let mut y = 0.0;
    html! {
        @for tick in scale.ticks() {
            @let x = scale.place(tick);
            line.grid x1=(x) x2=(x) y1="0" y2=(bottom) {}
            text.tick x=(x) y=(bottom + 15.0) text-anchor="middle" {
                @if tick < 1.0 && tick > 0.0 { (tick) } @else { (format!("{tick:.0}")) }
            }
        }
        text.tick x=(labels - 16.0) y=(bottom + 15.0) text-anchor="end" {
            "ns a message" @if scale.is_log() { ", log scale" }
        }
        @for (heading, bars) in groups {
            @if !heading.is_empty() {
                text.heading x="0" y=(y + 16.0) { (heading) }
                @let () = y += ROW;
            }
            @for bar in bars {
                (draw(bar, &scale, labels, y))
                @let () = y += ROW;
            }
        }
    }
}

fn draw(bar: &Bar<'_>, scale: &Scale, labels: f64, y: f64) -> Markup {
    let Spread { min, median, max } = bar.spread;
    let (from, to) = (scale.place(min), scale.place(max));
    let end = scale.place(median);
    let middle = y + ROW / 2.0;
    html! {
        g class=(bar.class()) {
            title { (format!("{}: {median:.2} ns ({min:.2} to {max:.2})", bar.name)) }
            text.name x=(labels - 12.0) y=(middle + 4.0) text-anchor="end" { (bar.name) }
            rect.bar x=(labels) y=(y + 4.0) width=((end - labels).max(1.0)) height=(ROW - 8.0)
                rx="2" {}
            path.whisker d=(format!(
                "M{from:.1} {middle}H{to:.1}M{from:.1} {}v6M{to:.1} {}v6",
                middle - 3.0,
                middle - 3.0,
            )) {}
            text.value x=(to.max(end) + 6.0) y=(middle + 4.0) { (short(median)) }
        }
    }
}
