//! The clock of record timestamps: milliseconds since 1970 UTC, read cheaply.
//!
//! On Linux this is `CLOCK_REALTIME_COARSE`: the time of the last timer tick (1 to 4 ms
//! old), at a seventh of the price of `SystemTime::now` (`docs/performance.md` has the
//! figures). It is read without a system call where the kernel exports it so (x86-64,
//! arm64). Elsewhere it is `SystemTime`.
//!
//! And the clock of how long something is kept, and of how long a member has not polled: exact,
//! and set by nobody.
#![allow(unsafe_code)]

/// Milliseconds since 1970 UTC.
#[cfg(all(target_os = "linux", not(loom)))]
#[inline]
pub(crate) fn now() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec. The call fails for an unknown clock only,
    // and then leaves zero.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time) };
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// Milliseconds since 1970 UTC.
#[cfg(not(any(target_os = "linux", loom)))]
#[inline]
pub(crate) fn now() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}

/// Nanoseconds since the first call; it never goes back.
#[cfg(not(loom))]
pub(crate) fn monotonic() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// As [`now`].
#[cfg(loom)]
pub(crate) fn monotonic() -> u64 {
    1
}

/// Models must do the same at every execution.
#[cfg(loom)]
pub(crate) fn now() -> i64 {
    1
}

/// [`monotonic`], as a duration.
pub(crate) fn since_start() -> std::time::Duration {
    std::time::Duration::from_nanos(monotonic())
}
