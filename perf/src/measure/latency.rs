//! Latency histograms, and the percentiles that a report shows.

use crate::failure::Failure;
use crate::message::tally::{OneStreamTally, Reader, Tally};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::{Duration, Instant};

/// The longest latency of a histogram: a longer one is recorded as this.
const LONGEST: Duration = Duration::from_secs(10);

/// The percentiles of a histogram, in nanoseconds.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Percentiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Percentiles {
        Percentiles {
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }

    /// The percentiles of several runs together; `None` for no runs.
    pub(crate) fn of_all<'h>(
        histograms: impl IntoIterator<Item = &'h Histogram<u64>>,
    ) -> Option<Percentiles> {
        let mut histograms = histograms.into_iter();
        let mut all = histograms.next()?.clone();
        for more in histograms {
            // All have the same bounds, so none is refused.
            all.add(more).ok()?;
        }
        Some(Percentiles::of(&all))
    }

    /// The percentiles with their names in tables.
    pub(crate) fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99.9", self.p999),
            ("max", self.max),
        ]
    }
}

/// An empty histogram of nanoseconds with three significant digits, its pages touched.
pub(crate) fn histogram() -> Result<Histogram<u64>, Failure> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3)?;
    histogram.reset();
    Ok(histogram)
}

#[inline]
pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(latency.as_nanos() as u64);
}

/// Records each message's latency from the moment at which it was to be sent, which follows
/// from its sequence. So a late producer does not shorten the latency (no coordinated omission).
pub(crate) struct LatencyReader {
    pub(crate) tally: OneStreamTally,
    pub(crate) histogram: Histogram<u64>,
    pub(crate) start: Instant,
    pub(crate) interval_ns: u64,
}

impl<const N: usize> Reader<N> for LatencyReader {
    #[inline]
    fn read(&mut self, message: &[u8; N]) {
        let intended = Tally::<N>::count(&self.tally) * self.interval_ns;
        self.tally.read(message);
        let since = self.start.elapsed();
        let latency = since.saturating_sub(Duration::from_nanos(intended));
        record(&mut self.histogram, latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_follow_from_what_was_recorded() {
        let mut histogram = histogram().unwrap();
        for us in 1..=1000 {
            record(&mut histogram, Duration::from_micros(us));
        }
        let percentiles = Percentiles::of(&histogram);
        for (value, right) in [
            (percentiles.p50, 500_000),
            (percentiles.p90, 900_000),
            (percentiles.p99, 990_000),
            (percentiles.p999, 999_000),
            (percentiles.max, 1_000_000),
        ] {
            assert!(value.abs_diff(right) <= right / 500, "{percentiles:?}");
        }
    }

    #[test]
    fn a_stall_of_the_producer_counts() {
        let mut reader = LatencyReader {
            tally: Tally::<8>::new(1),
            histogram: histogram().unwrap(),
            start: Instant::now(),
            interval_ns: 1_000,
        };
        std::thread::sleep(Duration::from_millis(20));
        for i in 0..10u64 {
            reader.read(&i.to_ne_bytes());
        }
        // All ten arrive at once, 20 ms after they were to be sent.
        assert!(reader.histogram.min() >= 19_000_000);
    }
}
