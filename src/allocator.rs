//! The allocator of the binary, and the one knob of it that we turn.
//!
//! Ingest makes and drops buffers of megabytes on every request, on many threads: mimalloc serves
//! that
//! with less CPU and less memory than the system's allocator. By default it gives free pages back
//! to the system after 10 ms, just before the next request takes them again: clearing pages was 14
//! %
//! of the CPU of a load (0.118 against 0.103 s per million values). A second is still soon.

/// Milliseconds until free pages go back to the system.
const PURGE_DELAY_MS: i64 = 1000;

/// `mi_option_purge_delay` of mimalloc 2 and 3; the binding names its neighbours 14 and 16 only.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sets the knob; once, before threads start.
#[expect(unsafe_code, reason = "the setter of an option of the C allocator")]
pub fn tune() {
    // SAFETY: sets one number in the allocator's own table of options, which is valid at any time;
    // no pointer is passed or kept.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
}
