//! The threads of a store, and the signal they and others wait on.
//!
//! A worker asks for a job until there is none, then waits for the signal. Whoever makes a job
//! due, or changes what somebody may wait for, raises the signal. Workers are joined at close;
//! no thread of the engine is started anywhere else.

use crate::sync::thread::JoinHandle;
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// Something happened: look again.
#[derive(Debug, Default)]
pub struct Signal {
    /// Times raised.
    raised: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// How often it was raised. Read before looking, so that nothing is missed by the wait.
    pub fn now(&self) -> u64 {
        *self.raised.lock()
    }

    /// Wakes everybody who waits.
    pub fn raise(&self) {
        *self.raised.lock() += 1;
        self.changed.notify_all();
    }

    /// Returns once the signal was raised after `seen`, or when `timeout` is over; says whether it
    /// was raised.
    pub fn wait(&self, seen: u64, timeout: Duration) -> bool {
        let mut raised = self.raised.lock();
        if *raised == seen {
            // Woken for nothing, the caller looks again and comes back.
            return !self.changed.wait_for(&mut raised, timeout).timed_out();
        }
        true
    }
}

/// What a worker found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A job was run.
    Done,
    /// A job failed and is to be retried after a while.
    Failed,
    /// Nothing is due.
    Idle,
    /// The store closes: workers end.
    Stop,
}

/// How long a worker waits at most: the time until a failed job is tried again.
const WAIT: Duration = Duration::from_secs(1);

/// Worker threads.
#[derive(Debug, Default)]
pub struct Workers(Mutex<Vec<JoinHandle<()>>>);

impl Workers {
    /// Starts `count` threads that call `step` until it says `Stop`.
    ///
    /// # Errors
    /// When the operating system gives no thread; those already started go on.
    pub fn start(
        &self,
        count: usize,
        signal: &Arc<Signal>,
        step: &Arc<dyn Fn() -> Step + Send + Sync>,
    ) -> std::io::Result<()> {
        for index in 0..count {
            let (signal, step) = (signal.clone(), step.clone());
            let thread = crate::sync::thread::Builder::new()
                .name(format!("firndb-job-{index}"))
                .spawn(move || work(&signal, &*step))?;
            self.0.lock().push(thread);
        }
        Ok(())
    }

    /// Waits until every thread has ended. The caller has made `step` say `Stop`.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.0.lock());
        for thread in threads {
            // A panic was already turned into a read-only store by `step`.
            let _ = thread.join();
        }
    }
}

/// Lets other threads go before this one: `nice` steps below what it has, as in `nice(1)`. For
/// good, since few processes may take it back.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "elsewhere not by thread"))]
fn go_behind(nice: u8) {
    #[cfg(target_os = "linux")]
    if nice > 0 {
        // A wish: what it answers changes nothing.
        let now = rustix::process::getpriority_process(None).unwrap_or(0);
        let _ = rustix::process::setpriority_process(None, now + i32::from(nice));
    }
}

/// Does `work` for each of `0..count`, each on a thread of its own that is `nice` steps behind this
/// one, and calls `watch` on this one about every `pause` until all have ended. Where the operating
/// system gives no thread the work is done here, after what was begun.
pub fn side_by_side<T: Send>(
    count: usize,
    nice: u8,
    pause: Duration,
    work: &(dyn Fn(usize) -> T + Sync),
    watch: &dyn Fn(),
) -> Vec<T> {
    let ended = Signal::default();
    std::thread::scope(|scope| {
        let start = |index: usize| {
            let ended = &ended;
            let builder = std::thread::Builder::new().name(format!("firndb-part-{index}"));
            builder.spawn_scoped(scope, move || {
                go_behind(nice);
                let outcome =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(index)));
                ended.raise();
                outcome
            })
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        let is_running = || threads.iter().flatten().any(|thread| !thread.is_finished());
        loop {
            let seen = ended.now();
            if !is_running() {
                break;
            }
            watch();
            ended.wait(seen, pause);
        }
        let outcome = |(index, thread): (usize, std::io::Result<_>)| match thread {
            Ok(thread) => {
                let thread: std::thread::ScopedJoinHandle<'_, std::thread::Result<T>> = thread;
                let outcome = thread.join().and_then(|outcome| outcome);
                outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
            Err(_) => work(index),
        };
        threads.into_iter().enumerate().map(outcome).collect()
    })
}

fn work(signal: &Signal, step: &(dyn Fn() -> Step + Send + Sync)) {
    loop {
        let seen = signal.now();
        match step() {
            Step::Done => {}
            Step::Failed | Step::Idle => drop(signal.wait(seen, WAIT)),
            Step::Stop => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn workers_take_every_job_and_stop() {
        let (signal, jobs) = (Arc::new(Signal::default()), Arc::new(AtomicUsize::new(0)));
        let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let step: Arc<dyn Fn() -> Step + Send + Sync> = {
            let (jobs, done, stop) = (jobs.clone(), done.clone(), stop.clone());
            Arc::new(move || {
                let left = jobs
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |jobs| jobs.checked_sub(1));
                match left {
                    Ok(_) => {
                        done.fetch_add(1, Ordering::SeqCst);
                        Step::Done
                    }
                    Err(_) if stop.load(Ordering::SeqCst) == 1 => Step::Stop,
                    Err(_) => Step::Idle,
                }
            })
        };
        let workers = Workers::default();
        workers.start(3, &signal, &step).unwrap();
        for _ in 0..100 {
            jobs.fetch_add(1, Ordering::SeqCst);
            signal.raise();
        }
        stop.store(1, Ordering::SeqCst);
        signal.raise();
        workers.join();
        assert_eq!(done.load(Ordering::SeqCst), 100);
    }

    #[test]
    fn parts_run_side_by_side_and_come_back_in_order() {
        let gate = Signal::default();
        let arrived = AtomicUsize::new(0);
        let work = |index: usize| {
            arrived.fetch_add(1, Ordering::SeqCst);
            gate.raise();
            // Each waits for all: they would never end one after the other.
            while arrived.load(Ordering::SeqCst) < 3 {
                gate.wait(gate.now(), Duration::from_millis(1));
            }
            index * 10
        };
        assert_eq!(side_by_side(3, 0, WAIT, &work, &|| {}), [0, 10, 20]);
        let panics = || side_by_side(2, 0, WAIT, &|index| assert!(index == 0, "part"), &|| {});
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn parts_are_behind_the_thread_that_waits_for_them() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        for steps in [0, 3] {
            let parts = side_by_side(2, steps, WAIT, &|_| nice(), &|| {});
            assert_eq!(parts, [(before + i32::from(steps)).min(19); 2]);
        }
        assert_eq!(nice(), before, "the waiting thread stays as it was");
    }
}
