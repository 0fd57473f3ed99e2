//! Where the timestamps of a topic's records come from: the system's clock, or one of the user's.

use crate::clock;
use crate::sync::Count;
use core::fmt::Debug;
use core::time::Duration;
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The source of the timestamps of a topic's records: see [`TopicConfig::clock`].
///
/// [`TopicConfig::clock`]: crate::TopicConfig::clock
pub trait Clock: Debug + Send + Sync {
    /// The time, in milliseconds since 1970 UTC. A negative one counts as 0.
    ///
    /// It is called once for each send of a record without a timestamp of its own, and once for a
    /// batch, in the thread that sends; by a gathering producer also to see what has lingered, and
    /// again after a wait for room. So it should be quick. If it panics, the send panics too, and
    /// its record is neither sent nor gathered.
    fn now_ms(&self) -> i64;
}

/// A clock that shows the time that it was set to last. Clones show the same time.
///
/// A send with it takes no longer than one without a timestamp. It is made for
///
/// - tests, which [`set`](Self::set) it and [`advance`](Self::advance) it;
/// - event loops, which set it once in each turn;
/// - programs that send from many threads, with a thread that calls [`tick`](Self::tick) every
///   millisecond or so:
///
/// ```
/// use ringlog::{Broker, ManualClock, Record, TopicConfig};
/// use std::thread;
/// use std::time::Duration;
///
/// let clock = ManualClock::system();
/// let ticking = clock.clone();
/// thread::spawn(move || {
///     loop {
///         ticking.tick();
///         thread::sleep(Duration::from_millis(1));
///     }
/// });
/// let topic = Broker::new().create_topic("orders", TopicConfig::new().clock(clock))?;
/// let sent = topic.producer().send(Record::new("login"))?;
/// assert!(sent.timestamp() > Some(1_700_000_000_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In a test:
///
/// ```
/// # use ringlog::{Broker, ManualClock, Record, TopicConfig};
/// # use std::time::Duration;
/// let clock = ManualClock::new(1_700_000_000_000);
/// let topic = Broker::new().create_topic("orders", TopicConfig::new().clock(clock.clone()))?;
/// let mut producer = topic.producer();
/// assert_eq!(producer.send(Record::new("login"))?.timestamp(), Some(1_700_000_000_000));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(producer.send(Record::new("logout"))?.timestamp(), Some(1_700_000_005_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct ManualClock {
    /// Milliseconds. On a line of its own: all senders read it.
    time: Arc<CachePadded<Count>>,
}

impl ManualClock {
    /// A clock that shows this time, in milliseconds since 1970 UTC.
    pub fn new(milliseconds: i64) -> ManualClock {
        let clock = ManualClock::default();
        clock.set(milliseconds);
        clock
    }

    /// A clock that shows the system's present time.
    pub fn system() -> ManualClock {
        let clock = ManualClock::default();
        clock.tick();
        clock
    }

    /// Sets the time, in milliseconds since 1970 UTC. A negative one counts as 0. It may be earlier
    /// than the time before: timestamps need not be in order.
    pub fn set(&self, milliseconds: i64) {
        self.time.set(milliseconds.max(0) as u64);
    }

    /// Sets the time to the system's present time.
    pub fn tick(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.set(now.map_or(0, milliseconds));
    }

    /// Moves the time forward, by whole milliseconds.
    pub fn advance(&self, duration: Duration) {
        let later = self.now_ms().saturating_add(milliseconds(duration));
        self.set(later);
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Clock for ManualClock {
    #[inline]
    fn now_ms(&self) -> i64 {
        self.time.get() as i64 // `set` has stored one that is not negative
    }
}

impl Debug for ManualClock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now_ms()).finish()
    }
}

/// The clock of a topic.
#[derive(Clone, Debug, Default)]
pub(crate) enum TopicClock {
    /// See [`clock::now`].
    #[default]
    System,
    Custom(Arc<dyn Clock>),
}

impl TopicClock {
    /// Milliseconds since 1970 UTC; never negative.
    #[inline]
    pub(crate) fn now(&self) -> i64 {
        match self {
            TopicClock::System => clock::now(),
            TopicClock::Custom(clock) => clock.now_ms().max(0),
        }
    }
}
