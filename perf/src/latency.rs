//! Histograms of latencies, and what is told of them.

use crate::measure::Failure;
use crate::tally::{InOrder, Reader, Tally};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Latencies up to this are told apart; longer ones count as this.
const LONGEST: Duration = Duration::from_secs(10);

/// What is told of a histogram, in nanoseconds.
#[derive(Clone, Copy, Serialize, Debug)]
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

    /// With the names that tables give them.
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

/// An empty histogram of nanoseconds, three digits each, with its pages touched.
pub(crate) fn histogram() -> Result<Histogram<u64>, Failure> {
    let mut histogram = Histogram::new_with_bounds(1, LONGEST.as_nanos() as u64, 3)?;
    histogram.reset();
    Ok(histogram)
}

#[inline]
pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(latency.as_nanos() as u64);
}

/// Records each message's time since the moment at which it was to be sent, which its place
/// in the order tells: a producer that is late does not make the message any younger.
pub(crate) struct SinceIntended {
    pub(crate) tally: InOrder,
    pub(crate) histogram: Histogram<u64>,
    pub(crate) start: Instant,
    pub(crate) interval_ns: u64,
}

impl<const N: usize> Reader<N> for SinceIntended {
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
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = histogram().unwrap();
        for us in 1..=1000 {
            record(&mut histogram, Duration::from_micros(us));
        }
        let told = Percentiles::of(&histogram);
        for (value, right) in [
            (told.p50, 500_000),
            (told.p90, 900_000),
            (told.p99, 990_000),
            (told.p999, 999_000),
            (told.max, 1_000_000),
        ] {
            assert!(value.abs_diff(right) <= right / 500, "{told:?}");
        }
    }

    #[test]
    fn a_stall_of_the_producer_counts() {
        let mut reader = SinceIntended {
            tally: Tally::<8>::new(1),
            histogram: histogram().unwrap(),
            start: Instant::now(),
            interval_ns: 1_000,
        };
        std::thread::sleep(Duration::from_millis(20));
        for i in 0..10u64 {
            reader.read(&i.to_ne_bytes());
        }
        // All ten come at once, 20 ms after they were to be sent.
        assert!(reader.histogram.min() >= 19_000_000);
    }
}
