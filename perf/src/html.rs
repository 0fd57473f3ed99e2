//! What was measured, as a page with charts: one file that needs nothing else.

mod bars;
mod chart;
mod lines;
mod scale;

use crate::report::{Block, Report};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Colours of all charts. Written out, as viewers of single SVG files know no variables.
const CHART_STYLE: &str = include_str!("html/chart.css");
const PAGE_STYLE: &str = include_str!("html/page.css");

/// Pixels of a chart in the page, which scales it.
const WIDTH: f64 = 520.0;

impl Report {
    /// The page. `about` tells each scenario's name what it is.
    pub(crate) fn to_html(&self, about: &dyn Fn(&str) -> &'static str) -> String {
        let mut scenarios: Vec<&'static str> = self.blocks.iter().map(|b| b.scenario).collect();
        scenarios.dedup();
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "ringlog beside its peers" }
                    style { (PreEscaped(PAGE_STYLE)) (PreEscaped(CHART_STYLE)) }
                }
                body {
                    header {
                        h1 { "ringlog beside its peers" }
                        p {
                            "Nanoseconds a message, or of latency: shorter is better. A bar is "
                            "the median of its runs, the whisker goes from the fastest to the "
                            "slowest. "
                            span.key.ours {} " ringlog "
                            span.key.peer {} " its peers "
                            span.key.floor {} " the machine's own floor"
                        }
                        ul.machine { @for line in self.head() { li { (line) } } }
                        nav { @for name in &scenarios { a href=(format!("#{name}")) { (name) } } }
                    }
                    @for name in &scenarios { (self.section(name, about(name))) }
                }
            }
        };
        page.into_string()
    }

    fn section(&self, name: &'static str, about: &str) -> Markup {
        let blocks = || self.blocks.iter().filter(|block| block.scenario == name);
        let oversubscribed = |block: &Block| block.rows.iter().any(|row| row.oversubscribed);
        html! {
            section id=(name) {
                h2 { (name) }
                p { (about) }
                div.charts {
                    @for block in blocks() {
                        figure {
                            figcaption {
                                (block.title())
                                @if oversubscribed(block) {
                                    span.mark title="more threads than cores" { "oversubscribed" }
                                }
                            }
                            @if block.is_latency() {
                                (lines::svg(block, WIDTH))
                            } @else {
                                (bars::svg(block, WIDTH))
                            }
                            (failures(block))
                        }
                    }
                }
            }
        }
    }
}

/// The systems that have no bar, and why.
fn failures(block: &Block) -> Markup {
    let failed = block.rows.iter().filter_map(|row| {
        let failure = row.failure.as_ref()?;
        Some(format!("{}: {failure}", row.system))
    });
    html! { @for line in failed { p.failure { (line) } } }
}

/// A number of nanoseconds, as short as it can be told.
fn short(ns: f64) -> String {
    if ns < 10.0 {
        return format!("{ns:.1}");
    }
    format!("{ns:.0}")
}
