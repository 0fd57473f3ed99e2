//! The style sheets and the width that all charts share.

/// Colours of all charts. No variables, since viewers of single SVG files do not support them.
pub(super) const CHART_STYLE: &str = include_str!("chart.css");
pub(super) const PAGE_STYLE: &str = include_str!("page.css");

/// Pixels of a chart in the page, which scales it.
pub(super) const WIDTH: f64 = 520.0;
