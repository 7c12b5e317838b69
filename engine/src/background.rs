//! The threads of a store, and the signal they and others wait on.
//!
//! A worker asks for a job until there is none, then waits for the signal. Whoever makes a job
//! due, or changes what somebody may wait for, raises the signal. Workers are joined at close;
//! no thread of the engine is started anywhere else.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

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

    /// Returns once the signal was raised after `seen`, or when `timeout` is over.
    pub fn wait(&self, seen: u64, timeout: Duration) {
        let mut raised = self.raised.lock();
        if *raised == seen {
            // Woken for nothing, the caller looks again and comes back.
            self.changed.wait_for(&mut raised, timeout);
        }
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
            let thread = std::thread::Builder::new()
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

fn work(signal: &Signal, step: &(dyn Fn() -> Step + Send + Sync)) {
    loop {
        let seen = signal.now();
        match step() {
            Step::Done => {}
            Step::Failed | Step::Idle => signal.wait(seen, WAIT),
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
}
