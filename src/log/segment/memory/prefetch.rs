//! Prefetch instructions: hints, which change nothing but the time that an access takes.
#![allow(unsafe_code)]

/// Prefetches a line that will soon be read.
#[inline(always)]
pub(super) fn to_read(line: *const u8) {
    let _line = line as usize;
    // SAFETY: no address makes it fault, and nothing is read or written.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        core::arch::asm!("prefetcht0 [{}]", in(reg) _line, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: as above.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) _line, options(nomem, nostack, preserves_flags));
    }
}

/// Prefetches a line that will soon be written, and takes it from other cores' caches: the line
/// `AHEAD` bytes after entry `at` of an array of entries of `SIZE` bytes. `SIZE` is 1, 2, 4 or 8.
///
/// An instruction of its own, because the compiler's intrinsic becomes a prefetch for reading where
/// it may not assume that the processor has this one. All processors with the 64-bit instruction
/// set accept it.
#[inline(always)]
pub(super) fn to_write<const SIZE: usize, const AHEAD: usize>(array: *const u8, at: usize) {
    // The instruction computes the address itself where it can.
    let (_array, _at) = (array as usize, at);
    // SAFETY: as above.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        core::arch::asm!(
            "prefetchw [{} + {} * {} + {}]",
            in(reg) _array,
            const SIZE,
            in(reg) _at,
            const AHEAD,
            options(nomem, nostack, preserves_flags)
        );
    }
    // SAFETY: as above.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        let line = _array.wrapping_add(SIZE * _at + AHEAD);
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) line, options(nomem, nostack, preserves_flags));
    }
}
