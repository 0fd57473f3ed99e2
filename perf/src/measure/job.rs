//! What a run is to do, and what it took.

use crate::failure::Failure;
use crate::machine::cores::Cores;
use crate::message::source::stride;
use crate::systems::system::Shape;
use hdrhistogram::Histogram;
use std::time::Duration;

/// How to measure.
pub(crate) struct Plan {
    /// The payload bytes that every system has room for.
    pub(crate) ring_bytes: usize,
    /// Counted runs of each system.
    pub(crate) runs: usize,
    /// How long a run should take.
    pub(crate) budget: Duration,
    pub(crate) quick: bool,
    pub(crate) cores: Cores,
}

/// What one run is to do.
pub(crate) struct Job<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) shape: Shape,
    /// Bytes of a message.
    pub(crate) payload: usize,
    /// Messages of a send.
    pub(crate) batch: usize,
    /// Messages that all producers send together: a multiple of `Job::step`.
    pub(crate) messages: u64,
    /// Messages per second, where they are sent at a fixed rate.
    pub(crate) rate: Option<u64>,
}

/// What one run took.
pub(crate) struct Outcome {
    /// The number of messages in `time`.
    pub(crate) messages: u64,
    /// From the first send to the last message read.
    pub(crate) time: Duration,
    /// From the first send to the end of the last one, where producers run beside consumers.
    pub(crate) producer_time: Option<Duration>,
    /// Each message's latency in nanoseconds, where it is measured.
    pub(crate) latency: Option<Histogram<u64>>,
}

/// The run of one system.
pub(crate) type Run = Box<dyn Fn(&Job<'_>) -> Result<Outcome, Failure>>;

impl Job<'_> {
    /// Messages come in multiples of this, so that every stream gets the same number.
    pub(crate) fn step(&self) -> u64 {
        let streams = self.shape.streams * self.shape.producers.max(1);
        stride(self.batch) * streams as u64
    }

    /// Whether every thread has a core of its own.
    pub(crate) fn has_core_per_thread(&self) -> bool {
        self.plan.cores.suffice(self.shape.threads())
    }
}

impl Outcome {
    /// The outcome of a run without a producer's time and without latencies.
    pub(crate) fn of_time(messages: u64, time: Duration) -> Outcome {
        Outcome {
            messages,
            time,
            producer_time: None,
            latency: None,
        }
    }

    pub(crate) fn ns_per_message(&self) -> f64 {
        self.time.as_secs_f64() * 1e9 / self.messages as f64
    }

    pub(crate) fn producer_ns_per_message(&self) -> Option<f64> {
        let time = self.producer_time?;
        Some(time.as_secs_f64() * 1e9 / self.messages as f64)
    }
}
