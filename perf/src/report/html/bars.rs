//! Horizontal bars with whiskers.

use super::number::short;
use super::scale::Scale;
use crate::results::block::Block;
use crate::results::row::{Row, Spread};
use crate::systems::system::SystemKind;
use maud::{Markup, html};

const ROW: f64 = 22.0;
/// The mean width of a letter of a name.
const LETTER: f64 = 6.9;
/// Room behind the longest whisker for its value, and for the producer's value.
const VALUES: f64 = 44.0;
const PRODUCER: f64 = 80.0;
/// Whiskers are cut at this multiple of the longest bar. Otherwise one disturbed run would
/// shorten all bars.
const CUT: f64 = 1.6;
const AXIS: f64 = 22.0;

/// One system's bar.
pub(super) struct Bar<'r> {
    name: &'r str,
    kind: SystemKind,
    spread: Spread,
    /// Up to the last send.
    producer: Option<Spread>,
}

impl<'r> Bar<'r> {
    pub(super) fn of(row: &'r Row) -> Option<Bar<'r>> {
        Some(Bar {
            name: &row.system,
            kind: row.kind,
            spread: row.spread()?,
            producer: None,
        })
    }

    /// Adds the producer's time.
    fn with_producer(mut self, row: &Row) -> Bar<'r> {
        self.producer = Spread::of(&row.producer_runs);
        self
    }

    fn value(&self) -> String {
        let value = short(self.spread.median);
        match self.producer {
            None => value,
            Some(producer) => format!("{value}, producer {}", short(producer.median)),
        }
    }

    pub(super) fn median(&self) -> f64 {
        self.spread.median
    }

    fn class(&self) -> &'static str {
        match self.kind {
            SystemKind::Ringlog => "ours",
            SystemKind::Peer => "peer",
            SystemKind::Floor => "floor",
        }
    }
}

/// The block's systems, the fastest first.
pub(super) fn chart(block: &Block, width: f64) -> Markup {
    let producers = block.consumers > 1 || block.scenario == "fan-out";
    let bar = |row| {
        let bar = Bar::of(row)?;
        Some(if producers {
            bar.with_producer(row)
        } else {
            bar
        })
    };
    let mut bars: Vec<Bar<'_>> = block.rows.iter().filter_map(bar).collect();
    bars.sort_by(|a, b| a.median().total_cmp(&b.median()));
    let groups = [(String::new(), bars)];
    let height = height(&groups);
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(block.title()) {
            (panel(&groups, width))
        }
    }
}

/// A heading, unless it is empty, and the bars below it.
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
    let bars = || groups.iter().flat_map(|(_, bars)| bars);
    let cut = bars().map(Bar::median).fold(0.0, f64::max) * CUT;
    let ends = bars().flat_map(|Bar { spread, .. }| [spread.min, spread.max.min(cut)]);
    let labels = labels(groups);
    let producer = bars().any(|bar| bar.producer.is_some());
    let values = VALUES + if producer { PRODUCER } else { 0.0 };
    let scale = Scale::new(ends, labels, width - values);
    let bottom = height(groups) - AXIS;
    let mut y = 0.0;
    html! {
        @for tick in scale.ticks() {
            @let x = scale.position(tick);
            line.grid x1=(x) x2=(x) y1="0" y2=(bottom) {}
            text.tick x=(x) y=(bottom + 15.0) text-anchor="middle" {
                @if tick < 1.0 && tick > 0.0 { (tick) } @else { (format!("{tick:.0}")) }
            }
        }
        text.tick x=(labels - 16.0) y=(bottom + 15.0) text-anchor="end" {
            "ns per message" @if scale.is_log() { ", log scale" }
        }
        @for (heading, bars) in groups {
            @if !heading.is_empty() {
                text.heading x="0" y=(y + 16.0) { (heading) }
                @let () = y += ROW;
            }
            @for bar in bars {
                (draw(bar, &scale, labels, cut, y))
                @let () = y += ROW;
            }
        }
    }
}

fn draw(bar: &Bar<'_>, scale: &Scale, labels: f64, cut: f64, y: f64) -> Markup {
    let Spread { min, median, max } = bar.spread;
    let (from, to) = (scale.position(min), scale.position(max.min(cut)));
    // An arrow where the whisker is cut.
    let tip = if max > cut {
        "m-4 -3l4 3l-4 3".to_owned()
    } else {
        "m0 -3v6".to_owned()
    };
    let end = scale.position(median);
    let middle = y + ROW / 2.0;
    html! {
        g class=(bar.class()) {
            title { (format!("{}: {median:.2} ns ({min:.2} to {max:.2})", bar.name)) }
            text.name x=(labels - 12.0) y=(middle + 4.0) text-anchor="end" { (bar.name) }
            rect.bar x=(labels) y=(y + 4.0) width=((end - labels).max(1.0)) height=(ROW - 8.0)
                rx="2" {}
            path.whisker d=(format!(
                "M{from:.1} {}v6m0 -3H{to:.1}{tip}",
                middle - 3.0,
            )) {}
            text.value x=(to.max(end) + 6.0) y=(middle + 4.0) { (bar.value()) }
        }
    }
}
