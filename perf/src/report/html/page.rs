//! The report as a page with charts: one file without links to others.

use super::style::{CHART_STYLE, PAGE_STYLE, WIDTH};
use super::{bars, lines};
use crate::report::contents::Report;
use crate::report::text::conditions;
use crate::results::block::Block;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The page. `about` returns the description of a scenario by its name.
pub(crate) fn page(report: &Report, about: &dyn Fn(&str) -> &'static str) -> String {
    let mut scenarios: Vec<&'static str> = report.blocks.iter().map(|b| b.scenario).collect();
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
                        "Nanoseconds per message, or of latency: shorter is better. A bar is "
                        "the median of its runs, and the whisker extends from the fastest to "
                        "the slowest. "
                        span.key.ours {} " ringlog "
                        span.key.peer {} " its peers "
                        span.key.floor {} " the machine's own floor"
                    }
                    ul.machine { @for line in conditions(report) { li { (line) } } }
                    nav { @for name in &scenarios { a href=(format!("#{name}")) { (name) } } }
                }
                @for name in &scenarios { (section(report, name, about(name))) }
            }
        }
    };
    page.into_string()
}

fn section(report: &Report, name: &'static str, about: &str) -> Markup {
    let blocks = || report.blocks.iter().filter(|block| block.scenario == name);
    html! {
        section id=(name) {
            h2 { (name) }
            p { (about) }
            div.charts {
                @for block in blocks() {
                    figure {
                        figcaption {
                            (block.title())
                            @if block.is_oversubscribed() {
                                span.mark title="more threads than cores" { "oversubscribed" }
                            }
                        }
                        @if block.is_latency() {
                            (lines::chart(block, WIDTH))
                        } @else {
                            (bars::chart(block, WIDTH))
                        }
                        (failures(block))
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
