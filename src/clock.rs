//! Two clocks: wall-clock time for record timestamps, and a monotonic clock for durations.
//!
//! [`now`] is in milliseconds since 1970 UTC and cheap to read. On Linux it is
//! `CLOCK_REALTIME_COARSE`: the time of the last timer tick, 1 to 4 ms old. It costs a seventh
//! of `SystemTime::now` (figures in `docs/performance.md`). The vDSO serves it without a system
//! call where the kernel supports that (x86-64, arm64). On other systems, and under Miri, it is
//! `SystemTime`: exact and more expensive. So the coarse clock is tested on Linux only.
//!
//! [`monotonic`] measures retention time and the time since a member's last poll. It is exact,
//! and setting the system's clock does not change it.
#![allow(unsafe_code)]

/// Milliseconds since 1970 UTC.
#[cfg(all(target_os = "linux", not(any(loom, miri))))]
#[inline]
pub(crate) fn now() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec. The call fails only for an unknown clock, and
    // then leaves it zero.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time) };
    // Less than 10^9 nanoseconds: divided as a `u32`, that is one multiplication.
    time.tv_sec * 1000 + i64::from(time.tv_nsec as u32 / 1_000_000)
}

/// Milliseconds since 1970 UTC.
#[cfg(all(any(not(target_os = "linux"), miri), not(loom)))]
#[inline]
pub(crate) fn now() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}

/// Nanoseconds since the first call. The value never decreases.
#[cfg(not(loom))]
pub(crate) fn monotonic() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Constant, as [`now`] is in a model.
#[cfg(loom)]
pub(crate) fn monotonic() -> u64 {
    1
}

/// Constant: a model must do the same in every execution.
#[cfg(loom)]
pub(crate) fn now() -> i64 {
    1
}

/// [`monotonic`] as a duration.
pub(crate) fn since_start() -> std::time::Duration {
    std::time::Duration::from_nanos(monotonic())
}
