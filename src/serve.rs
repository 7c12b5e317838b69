//! `firndb serve`: the life of the server.
//!
//! ```text
//! listen -> open (manifest, replay) -> ready -> SIGTERM, SIGINT -> drain -> sync, close -> exit 0
//! ```
//!
//! It listens before it opens its data, so that probes are answered during a long replay. A tick
//! each second drops expired partitions and closes finished ones; in `interval` durability another
//! one syncs the log. A second signal ends the process at once.

use std::sync::Arc;
use std::time::Duration;

use firndb::SystemClock;
use firndb::engine;
use firndb::engine::clock::Clock;
use firndb::engine::fs::real::RealFs;
use firndb::engine::options::Durability;
use firndb::tsdb::{Error, Tsdb};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::cli::{Exit, complain};
use crate::config::settings::Settings;
use crate::{connections, http, logs, memory, open};

/// Time between two rounds of maintenance.
const MAINTENANCE_TICK: Duration = Duration::from_secs(1);

/// Runs the server until it is told to stop.
pub fn run(settings: Settings) -> Exit {
    run_then(settings, || {})
}

/// As [`run`], with something to do as soon as reads and writes work.
pub fn run_then(settings: Settings, ready: impl FnOnce() + Send + 'static) -> Exit {
    if let Err(error) = logs::start(&settings.log_level, &settings.log_format) {
        complain(&error.to_string());
        return Exit::Usage;
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if settings.http_threads > 0 {
        builder.worker_threads(settings.http_threads);
    }
    builder.max_blocking_threads(memory::blocking_threads(settings.memory_bytes));
    builder.thread_keep_alive(memory::THREAD_KEEP_ALIVE);
    let runtime = match builder.thread_name("http").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start threads: {error}"));
            return Exit::Failed;
        }
    };
    runtime.block_on(serve(settings, ready))
}

async fn serve(settings: Settings, ready: impl FnOnce() + Send + 'static) -> Exit {
    let listener = match TcpListener::bind(&settings.http_addr).await {
        Ok(listener) => listener,
        Err(error) => {
            complain(&format!(
                "cannot listen on {}: {error}\n  another server may run there; choose another \
                 address with --http-addr",
                settings.http_addr
            ));
            return Exit::Failed;
        }
    };
    let address = settings.http_addr.as_str();
    tracing::info!(address, version = env!("CARGO_PKG_VERSION"), "listening");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let app = Arc::new(App::new(settings, clock, Arc::new(RealFs)));
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            complain(&format!("cannot wait for signals: {error}"));
            return Exit::Failed;
        }
    };
    let (stop, stopped) = watch::channel(false);
    let server = spawn_server(app.clone(), listener, stopped.clone());
    let (watched, until) = (app.clone(), stopped.clone());
    tokio::spawn(async move { memory::watch(watched.budget.clone(), &*watched.fs, until).await });

    let opening = app.clone();
    let opening = tokio::task::spawn_blocking(move || open::open(&opening));
    let opened = tokio::select! {
        opened = opening => opened,
        // Nothing was written yet but what any later start would write again.
        () = signals.next() => return Exit::Done,
    };
    let tsdb = match opened {
        Ok(Ok(tsdb)) => tsdb,
        Ok(Err(error)) => return refuse(&app, &error),
        Err(panic) => {
            complain(&format!("opening the data failed: {panic}"));
            return Exit::Failed;
        }
    };
    tokio::task::spawn_blocking(ready);
    let ticks = spawn_ticks(&app, &tsdb, &stopped);
    signals.next().await;
    tracing::info!("stopping");
    app.drain();
    let _ = stop.send(true); // the receivers are the tasks awaited below
    let finished = tokio::select! {
        finished = finish(&app, server, ticks, tsdb) => finished,
        () = signals.next() => Exit::Interrupted,
    };
    tracing::info!("stopped");
    finished
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn spawn_server(
    app: Arc<App>,
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let budget = app.budget.clone();
    tokio::spawn(connections::serve(listener, http::router(app), budget, stopped))
}

/// Maintenance, and the syncs of `interval`.
fn spawn_ticks(
    app: &Arc<App>,
    tsdb: &Tsdb,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let (clock, databases) = (app.clock.clone(), tsdb.clone());
    let metrics = app.retention_metrics.clone();
    let standing = app.settings.standing_rollups.clone();
    let maintenance = spawn_tick(MAINTENANCE_TICK, stopped.clone(), move || {
        let standing = standing.make(&databases, clock.unix_ns());
        let report = databases.maintain(clock.unix_ns())?;
        metrics.record(&report);
        if report != Default::default() {
            tracing::info!(
                expired = report.partitions_expired,
                trimmed = report.partitions_trimmed,
                closed = report.partitions_closed,
                swept = report.series_swept,
                "maintenance"
            );
        }
        standing
    });
    let mut ticks = vec![maintenance];
    if app.settings.durability == Durability::Interval {
        let period = Duration::from_nanos(app.settings.sync_interval_ns.max(1_000_000));
        let store = tsdb.store().clone();
        ticks.push(spawn_tick(period, stopped.clone(), move || Ok(store.sync()?)));
    }
    ticks
}

/// Runs `work` every `period` until the server stops; an error is logged when it changes.
fn spawn_tick(
    period: Duration,
    mut stopped: watch::Receiver<bool>,
    work: impl Fn() -> Result<(), Error> + Send + Sync + 'static,
) -> JoinHandle<()> {
    let work = Arc::new(work);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_error = String::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let work = work.clone();
            let error = match tokio::task::spawn_blocking(move || work()).await {
                Ok(Ok(())) => String::new(),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            if error != last_error && !error.is_empty() {
                tracing::error!(error, "background work failed; it is tried again each tick");
            }
            last_error = error;
        }
    })
}

/// Lets requests under way finish, for a while; then syncs and closes.
async fn finish(app: &App, server: JoinHandle<()>, ticks: Vec<JoinHandle<()>>, tsdb: Tsdb) -> Exit {
    let drain = Duration::from_nanos(app.settings.drain_ns);
    if tokio::time::timeout(drain, server).await.is_err() {
        tracing::warn!("requests were still under way after http.drain; they are cut off");
    }
    tsdb.stop_long_work(); // a purge would go on for as long as a large partition takes
    for tick in ticks {
        let _ = tick.await; // ends at its next turn
    }
    match tokio::task::spawn_blocking(move || tsdb.store().close()).await {
        Ok(Ok(())) => Exit::Done,
        Ok(Err(error)) => {
            tracing::error!(%error, "closing failed");
            Exit::Failed
        }
        Err(_) => Exit::Failed,
    }
}

/// Says why the data cannot be opened, and what to do.
fn refuse(app: &App, error: &Error) -> Exit {
    let dir = app.settings.data_dir.display();
    let (hint, exit) = match error {
        Error::Engine(engine::Error::Locked { pid, .. }) => {
            let who = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let hint = format!("stop the other server{who}, or choose another --data-dir");
            (hint, Exit::Locked)
        }
        Error::Engine(engine::Error::Version { .. }) => {
            ("use the build that wrote it, or a newer one".to_owned(), Exit::Failed)
        }
        Error::Engine(engine::Error::Corrupt { path, .. })
            if path.extension().is_some_and(|extension| extension == "log") =>
        {
            let hint = format!(
                "`firndb wal check {dir}` shows what is lost; `firndb wal repair {dir}` keeps the \
                 rest, as wal.on_corruption = \"salvage\" does at every start"
            );
            (hint, Exit::Corrupt)
        }
        error if error.is_corrupt() => (
            format!("`firndb check {dir}` lists the damage; restore the named file from a backup"),
            Exit::Corrupt,
        ),
        Error::Engine(cause) if cause.is_no_space() => {
            ("make room on the disk and start again".to_owned(), Exit::Failed)
        }
        _ => ("check that the directory can be written".to_owned(), Exit::Failed),
    };
    complain(&format!("cannot open {dir}: {error}\n  {hint}"));
    exit
}
