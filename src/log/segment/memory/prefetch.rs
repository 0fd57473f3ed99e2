//! Asking for cache lines before they are needed. Hints: they change nothing but the time it takes.
#![allow(unsafe_code)]

/// Asks for a line that will soon be read.
#[inline(always)]
pub(crate) fn to_read(line: *const u8) {
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

/// Asks for a line that will soon be written, away from whoever has it: the one `AHEAD` bytes after
/// entry `at` of an array of entries of `SIZE` bytes, which is 1, 2, 4 or 8.
///
/// By its own instruction: the compiler's intrinsic becomes a plain read where it may not assume
/// that the processor has this one. All that have the 64-bit instruction set take it.
#[inline(always)]
pub(crate) fn to_write<const SIZE: usize, const AHEAD: usize>(array: *const u8, at: usize) {
    // Worked out by the instruction itself, where it can.
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
