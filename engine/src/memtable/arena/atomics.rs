//! The atomics that the arena is built on, exchangeable: the processor's for use, those of a model
//! checker in the test that tries every order in which threads can see each other's writes.

use std::sync::atomic::Ordering;

/// A family of atomics.
pub(super) trait Atomics: Sized + 'static {
    type Pointer<T>: Pointer<T>;
    type Count: Count;
    type Once<T: Copy>: Once<T>;
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
    fn fetch_add(&self, more: usize, ordering: Ordering) -> usize;
    fn fetch_max(&self, other: usize, ordering: Ordering) -> usize;
}

/// What is written once, before others can see it. A model checker verifies that.
pub(super) trait Once<T: Copy> {
    fn new(value: T) -> Self;
    fn get(&self) -> T;
}

/// The processor's.
pub(super) struct Native;

impl Atomics for Native {
    type Pointer<T> = std::sync::atomic::AtomicPtr<T>;
    type Count = std::sync::atomic::AtomicUsize;
    type Once<T: Copy> = Written<T>;
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
            fn fetch_add(&self, more: usize, ordering: Ordering) -> usize {
                self.fetch_add(more, ordering)
            }
            fn fetch_max(&self, other: usize, ordering: Ordering) -> usize {
                self.fetch_max(other, ordering)
            }
        }
    };
}

pass_on!(std::sync::atomic::AtomicPtr<T>, std::sync::atomic::AtomicUsize);

#[cfg(test)]
pub(super) mod model {
    //! The model checker's.

    use super::{Atomics, Count, Once, Ordering, Pointer};

    /// Those of loom.
    pub(in super::super) struct Model;

    impl Atomics for Model {
        type Pointer<T> = loom::sync::atomic::AtomicPtr<T>;
        type Count = loom::sync::atomic::AtomicUsize;
        type Once<T: Copy> = Watched<T>;
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
