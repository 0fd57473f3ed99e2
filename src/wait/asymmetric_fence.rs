//! An asymmetric fence: dear for who goes to sleep, free for who wakes.
//!
//! Two threads that each store one word and then load the other's must fence in between, or both
//! may load old values. Where one of them does so all the time and the other seldom, the seldom one
//! can have the system run a full fence on every core that runs a thread of this process
//! (`membarrier(2)`, private and expedited); then the other needs only keep its compiler from
//! changing the order. Where there is no such call (another system, an old kernel, a sandbox), both
//! fence, and `is_asymmetric` says so.
#![allow(unsafe_code)]

#[cfg(not(loom))]
pub(crate) use plain::{is_asymmetric, light};

/// The seldom side's fence, where [`is_asymmetric`]; elsewhere it has to have fenced itself. `false`
/// if the system refused it: then nothing is ordered.
#[cfg(not(loom))]
#[must_use]
pub(crate) fn heavy() -> bool {
    !is_asymmetric() || plain::on_every_core()
}

#[cfg(not(loom))]
mod plain {
    use crate::sync::keep_order;
    use std::sync::OnceLock;

    /// The frequent side's fence, where [`is_asymmetric`].
    #[inline(always)]
    pub(crate) fn light() {
        keep_order();
    }

    /// Whether the system has the call. Asked once; `RINGLOG_MEMBARRIER=off` says no.
    pub(crate) fn is_asymmetric() -> bool {
        static ASYMMETRIC: OnceLock<bool> = OnceLock::new();
        *ASYMMETRIC.get_or_init(|| {
            let off = std::env::var_os("RINGLOG_MEMBARRIER").is_some_and(|value| value == "off");
            !off && system::register()
        })
    }

    pub(crate) fn on_every_core() -> bool {
        system::membarrier()
    }

    #[cfg(target_os = "linux")]
    mod system {
        /// `MEMBARRIER_CMD_*` of `linux/membarrier.h`.
        const QUERY: libc::c_int = 0;
        const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
        const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

        fn call(command: libc::c_int) -> libc::c_long {
            // SAFETY: the call reads and writes no memory of the caller's.
            unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
        }

        /// Registers the process, as the private commands ask for.
        pub(super) fn register() -> bool {
            let both = libc::c_long::from(PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED);
            let known = call(QUERY);
            known >= 0 && known & both == both && call(REGISTER_PRIVATE_EXPEDITED) == 0
        }

        pub(super) fn membarrier() -> bool {
            call(PRIVATE_EXPEDITED) == 0
        }
    }

    #[cfg(not(target_os = "linux"))]
    mod system {
        pub(super) fn register() -> bool {
            false
        }

        pub(super) fn membarrier() -> bool {
            false
        }
    }
}

/// Loom has fences only: both sides fence, as where the system has no such call.
#[cfg(loom)]
pub(crate) fn is_asymmetric() -> bool {
    false
}

#[cfg(loom)]
pub(crate) fn light() {}

#[cfg(loom)]
#[must_use]
pub(crate) fn heavy() -> bool {
    true
}
