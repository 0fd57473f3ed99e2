//! Axes: from values to positions.

/// The axis is logarithmic if the largest value exceeds the smallest by more than this factor.
const LINEAR_SPAN: f64 = 30.0;

/// An axis from one position to another.
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// Linear from zero, or logarithmic where the values span decades.
    pub(super) fn new(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Scale {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        if least.is_finite() && most / least.max(f64::MIN_POSITIVE) > LINEAR_SPAN {
            return Self::log(least, most, from, to);
        }
        let step = step(most);
        Scale {
            low: 0.0,
            high: (most / step).ceil() * step,
            log: false,
            from,
            to,
        }
    }

    /// Logarithmic from the power of ten below the least value.
    pub(super) fn log(least: f64, most: f64, from: f64, to: f64) -> Scale {
        let low = 10f64.powf(least.max(0.1).log10().floor());
        Scale {
            low,
            high: most.max(low * 10.0),
            log: true,
            from,
            to,
        }
    }

    pub(super) fn is_log(&self) -> bool {
        self.log
    }

    pub(super) fn position(&self, value: f64) -> f64 {
        let part = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            value / self.high
        };
        self.from + (self.to - self.from) * part.clamp(0.0, 1.0)
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut tick = self.low;
        while tick <= self.high * 1.000_001 && ticks.len() < 20 {
            ticks.push(tick);
            tick = if self.log {
                tick * 10.0
            } else {
                tick + step(self.high)
            };
        }
        ticks
    }
}

/// A round step, of which three to seven reach the value.
fn step(most: f64) -> f64 {
    let power = 10f64.powf((most / 4.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    let enough = steps.into_iter().find(|step| most / step <= 6.0);
    enough.unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_values_are_linear_from_zero_and_decades_logarithmic() {
        let near = Scale::new([10.0, 40.0].into_iter(), 0.0, 100.0);
        assert_eq!(near.position(0.0), 0.0);
        assert_eq!(near.position(20.0), 50.0);
        assert_eq!(near.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let far = Scale::new([2.0, 1000.0].into_iter(), 0.0, 300.0);
        assert_eq!(far.ticks(), [1.0, 10.0, 100.0, 1000.0]);
        assert!((far.position(10.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn no_values_make_an_axis_all_the_same() {
        let empty = Scale::new([].into_iter(), 0.0, 100.0);
        assert!(empty.position(1.0).is_finite());
        assert!(empty.ticks().len() <= 20);
    }
}
