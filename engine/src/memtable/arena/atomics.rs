//! The atomics that the arena is built on, exchangeable: the processor's for use, those of a model
//! checker in the test that tries every order in which threads can see each other's writes.

use std::sync::atomic::Ordering;

/// A family of atomics.
pub(super) trait Atomics: Sized + 'static {
    type Pointer<T>: Pointer<T>;
    type Count: Count;
    type Once<T: Copy>: Once<T>;
    type Lock<T: Default>: Lock<T>;
}

/// An atomic pointer.
pub(super) trait Pointer<T> {
    fn new(pointer: *mut T) -> Self;
    fn load(&self, ordering: Ordering) -> *mut T;
    fn store(&self, pointer: *mut T, ordering: Ordering);
    fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T>;
}

/// An atomic number.
pub(super) trait Count {
    fn new(count: usize) -> Self;
    fn load(&self, ordering: Ordering) -> usize;
    fn store(&self, count: usize, ordering: Ordering);
    fn fetch_add(&self, more: usize, ordering: Ordering) -> usize;
}

/// What is written once, before others can see it. A model checker verifies that.
pub(super) trait Once<T: Copy> {
    fn new(value: T) -> Self;
    fn get(&self) -> T;
}

/// What one thread at a time may change.
pub(super) trait Lock<T: Default>: Default {
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R;
}

/// The processor's.
pub(super) struct Native;

impl Atomics for Native {
    type Pointer<T> = std::sync::atomic::AtomicPtr<T>;
    type Count = std::sync::atomic::AtomicUsize;
    type Once<T: Copy> = Written<T>;
    type Lock<T: Default> = crate::sync::Mutex<T>;
}

/// A plain value.
pub(super) struct Written<T>(T);

impl<T: Copy> Once<T> for Written<T> {
    fn new(value: T) -> Self {
        Written(value)
    }
    #[inline]
    fn get(&self) -> T {
        self.0
    }
}

impl<T: Default> Lock<T> for crate::sync::Mutex<T> {
    #[inline]
    fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.lock())
    }
}

macro_rules! pass_on {
    ($pointer:ty, $count:ty) => {
        impl<T> Pointer<T> for $pointer {
            fn new(pointer: *mut T) -> Self {
                <$pointer>::new(pointer)
            }
            #[inline]
            fn load(&self, ordering: Ordering) -> *mut T {
                self.load(ordering)
            }
            fn store(&self, pointer: *mut T, ordering: Ordering) {
                self.store(pointer, ordering);
            }
            fn compare_exchange(
                &self,
                current: *mut T,
                new: *mut T,
                success: Ordering,
                failure: Ordering,
            ) -> Result<*mut T, *mut T> {
                self.compare_exchange(current, new, success, failure)
            }
        }

        impl Count for $count {
            fn new(count: usize) -> Self {
                <$count>::new(count)
            }
            fn load(&self, ordering: Ordering) -> usize {
                self.load(ordering)
            }
            fn store(&self, count: usize, ordering: Ordering) {
                self.store(count, ordering);
            }
            fn fetch_add(&self, more: usize, ordering: Ordering) -> usize {
                self.fetch_add(more, ordering)
            }
        }
    };
}

pass_on!(std::sync::atomic::AtomicPtr<T>, std::sync::atomic::AtomicUsize);

#[cfg(test)]
pub(super) mod model {
    //! The model checker's.

    use super::{Atomics, Count, Lock, Once, Ordering, Pointer};

    /// Those of loom.
    pub(in super::super) struct Model;

    impl Atomics for Model {
        type Pointer<T> = loom::sync::atomic::AtomicPtr<T>;
        type Count = loom::sync::atomic::AtomicUsize;
        type Once<T: Copy> = Watched<T>;
        type Lock<T: Default> = loom::sync::Mutex<T>;
    }

    impl<T: Default> Lock<T> for loom::sync::Mutex<T> {
        fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
            change(&mut self.lock().unwrap())
        }
    }

    /// A value whose reads must come after its writing.
    pub(in super::super) struct Watched<T>(loom::cell::Cell<T>);

    impl<T: Copy> Once<T> for Watched<T> {
        fn new(value: T) -> Self {
            let cell = loom::cell::Cell::new(value);
            cell.set(value);
            Watched(cell)
        }
        fn get(&self) -> T {
            self.0.get()
        }
    }

    pass_on!(loom::sync::atomic::AtomicPtr<T>, loom::sync::atomic::AtomicUsize);
}
