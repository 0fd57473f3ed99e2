//! Nanoseconds as short text.

/// A number of nanoseconds without its unit.
pub(super) fn short(ns: f64) -> String {
    if ns < 10.0 {
        return format!("{ns:.1}");
    }
    format!("{ns:.0}")
}

/// A number of nanoseconds with its unit.
pub(super) fn with_unit(ns: f64) -> String {
    let (number, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    // At least two digits, but no zero after the point.
    if number < 10.0 && unit != "ns" && number.fract() > 0.04 {
        return format!("{number:.1} {unit}");
    }
    format!("{number:.0} {unit}")
}
