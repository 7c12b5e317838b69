//! Asks the processor for memory that will be read soon, so that it is not waited for then.
//!
//! A hint and nothing else: on processors for which it isn't written it does nothing. `unsafe`,
//! because the instruction takes any address; it reads nothing that a program could see and never
//! faults, so that every call is sound.

/// Bytes that come at once.
const LINE_BYTES: usize = 64;

/// Asks for the line at `address`, which may be null.
#[inline]
#[expect(unsafe_code, reason = "an instruction of the processor")]
pub fn address<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it never faults, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Asks for all of `bytes`.
#[inline]
pub fn bytes(bytes: &[u8]) {
    bytes.iter().step_by(LINE_BYTES).for_each(|byte| address(byte));
    if let Some(last) = bytes.last() {
        address(last);
    }
}
