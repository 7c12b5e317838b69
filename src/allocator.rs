//! The allocator of the binary, the one knob of it that we turn, and how it gives memory back.
//!
//! Ingest makes and drops buffers of megabytes on every request, on many threads: mimalloc serves
//! that with less CPU and less memory than the system's allocator. By default it gives free pages
//! back to the system after 10 ms, just before the next request takes them again: clearing pages
//! was 14 % of the CPU of a load (0.118 against 0.103 s per million values). A second is still
//! soon.
//!
//! What a thread freed stays with that thread until it allocates again, and only that thread can
//! hand it on. So when memory is short ([`give_back`]) every thread is asked to, at its next large
//! allocation.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use mimalloc::MiMalloc;

/// Milliseconds until free pages go back to the system.
const PURGE_DELAY_MS: i64 = 1000;

/// `mi_option_purge_delay` of mimalloc 2 and 3; the binding names its neighbours 14 and 16 only.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Allocations of this size look whether memory is short: every request has some, and they are so
/// rare that the look costs nothing.
const LARGE_BYTES: usize = 32 << 10;

/// How often threads were asked to give memory back.
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How often this thread has heard it.
    static HEARD: Cell<u64> = const { Cell::new(0) };
}

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: every call goes to mimalloc as it came; what is done before it neither allocates nor
// touches the memory in question.
#[expect(unsafe_code, reason = "the allocator's trait is unsafe")]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        look(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        look(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        look(new_size);
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.realloc(pointer, layout, new_size) }
    }
}

/// Gives back what this thread has free, if it was asked to since it last did.
fn look(size: usize) {
    if size < LARGE_BYTES {
        return;
    }
    let asked = ASKED.load(Ordering::Relaxed);
    // A thread that is ending has no state any more, and gives everything back anyway.
    let _ = HEARD.try_with(|heard| {
        if heard.replace(asked) != asked {
            collect();
        }
    });
}

#[expect(unsafe_code, reason = "a call of the C allocator")]
fn collect() {
    // SAFETY: frees what this thread's heap has free and gives free pages to the system; allowed
    // on any thread between two allocations.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

/// Sets the knob; once, before threads start.
#[expect(unsafe_code, reason = "the setter of an option of the C allocator")]
pub fn tune() {
    // SAFETY: sets one number in the allocator's own table of options, which is valid at any time;
    // no pointer is passed or kept.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
}

/// Gives free pages back to the system: those of this thread now, of others when they next take
/// much.
pub fn give_back() {
    ASKED.fetch_add(1, Ordering::Relaxed);
    collect();
}
