//! Asymmetric fence: expensive for the waiter, free for the notifier.
//!
//! In the store-buffering (Dekker) handshake, two threads each store one word and then load the
//! other's. Both need a StoreLoad fence in between, or both may load the old value. Here one side
//! runs on every send and the other only before a sleep. So the rare side calls `membarrier(2)`
//! (private, expedited), which runs a full fence on every core that runs a thread of this process.
//! The frequent side then only keeps the compiler from reordering.
//!
//! Where the call is missing (another system, an old kernel, a sandbox, Miri), both sides must
//! fence, and [`is_asymmetric`] returns `false`. The fences are then the caller's: a notifier runs
//! one `SeqCst` fence. So `membarrier` itself is tested on Linux only. The variant with two fences is
//! what the models, Miri and every other system run, and Linux with `RINGLOG_MEMBARRIER=off`.
#![allow(unsafe_code)]

#[cfg(not(loom))]
pub(super) use membarrier::{is_asymmetric, light};

/// The rare side's fence. Where not [`is_asymmetric`] it does nothing: the caller must have fenced.
/// Returns `false` if the system refused the call; then nothing is ordered.
#[cfg(not(loom))]
#[must_use]
pub(super) fn heavy() -> bool {
    !is_asymmetric() || membarrier::fence_every_core()
}

#[cfg(not(loom))]
mod membarrier {
    use crate::sync::keep_order;
    use std::sync::OnceLock;

    /// The frequent side's fence. Where not [`is_asymmetric`] it orders nothing for the processor:
    /// the caller must fence.
    #[inline(always)]
    pub(in crate::wait) fn light() {
        keep_order();
    }

    /// Whether the system has the call. Checked once; `RINGLOG_MEMBARRIER=off` disables it.
    pub(in crate::wait) fn is_asymmetric() -> bool {
        static ASYMMETRIC: OnceLock<bool> = OnceLock::new();
        *ASYMMETRIC.get_or_init(|| {
            let off = std::env::var_os("RINGLOG_MEMBARRIER").is_some_and(|value| value == "off");
            !off && system::register()
        })
    }

    pub(super) fn fence_every_core() -> bool {
        system::membarrier()
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    mod system {
        /// `MEMBARRIER_CMD_*` of `linux/membarrier.h`.
        const QUERY: libc::c_int = 0;
        const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
        const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

        fn call(command: libc::c_int) -> libc::c_long {
            // SAFETY: the call neither reads nor writes the caller's memory.
            unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
        }

        /// Registers the process, which the private commands require.
        pub(super) fn register() -> bool {
            let required = libc::c_long::from(PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED);
            let supported = call(QUERY);
            supported >= 0
                && supported & required == required
                && call(REGISTER_PRIVATE_EXPEDITED) == 0
        }

        pub(super) fn membarrier() -> bool {
            call(PRIVATE_EXPEDITED) == 0
        }
    }

    #[cfg(any(not(target_os = "linux"), miri))]
    mod system {
        pub(super) fn register() -> bool {
            false
        }

        pub(super) fn membarrier() -> bool {
            false
        }
    }
}

/// Loom has only fences: both sides fence, as on a system without the call.
#[cfg(loom)]
pub(super) fn is_asymmetric() -> bool {
    false
}

#[cfg(loom)]
pub(super) fn light() {}

#[cfg(loom)]
#[must_use]
pub(super) fn heavy() -> bool {
    true
}
