//! From settings to open databases: the one place that hands them down.

use std::sync::Arc;

use firndb::engine::hooks::Plain;
use firndb::engine::options::{Background, Options as EngineOptions};
use firndb::tsdb::limits::Limits;
use firndb::tsdb::{Error, Options, Tsdb};

use crate::app::{App, Opened};
use crate::config::settings::Settings;
use crate::http;

/// Opens the data and lets its routes work.
pub fn open(app: &App) -> Result<Tsdb, Error> {
    let options = options(app);
    let tsdb = Tsdb::open_with_progress(options, &|progress| app.progress(progress))?;
    warn_of_salvage(&tsdb);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(app.settings.query_threads)
        .thread_name(|index| format!("query-{index}"))
        .build();
    let pool = pool.inspect_err(|error| tracing::warn!(%error, "no query threads")).ok();
    let router = http::data_routes(app, tsdb.clone(), pool.map(Arc::new));
    app.open(Opened { tsdb: tsdb.clone(), router });
    let millis = app.clock.unix_ns().saturating_sub(app.started_ns) / 1_000_000;
    tracing::info!(duration_ms = millis, "ready");
    Ok(tsdb)
}

/// Acknowledged points are gone, and the server runs all the same: that is not to be overlooked.
fn warn_of_salvage(tsdb: &Tsdb) {
    let metrics = tsdb.store().metrics();
    if metrics.wal_lost_spans > 0 || metrics.wal_salvaged_records > 0 {
        tracing::error!(
            lost_places = metrics.wal_lost_spans,
            lost_bytes = metrics.wal_lost_bytes,
            kept_records = metrics.wal_salvaged_records,
            "the log was damaged: acknowledged writes are lost; what was set aside lies in \
             quarantine/ of the data folder"
        );
    }
}

/// How the settings of `app` open its data.
pub fn options(app: &App) -> Options {
    let settings = &app.settings;
    let mut engine = EngineOptions::new(
        &settings.data_dir,
        app.fs.clone(),
        app.clock.clone(),
        Arc::new(Plain::new()),
    );
    engine.budget = app.budget.clone();
    tune(&mut engine, settings);
    Options {
        limits: Limits {
            string_bytes_max: settings.string_bytes_max,
            series_max: settings.series_max,
            values_per_tag_max: settings.values_per_tag_max,
            fields_per_measurement_max: settings.fields_per_measurement_max,
        },
        series_cache_bytes: settings.series_cache_bytes,
        column_cache_bytes: settings.column_cache_bytes,
        close_delay_ns: settings.close_delay_ns,
        rolling: settings.rolling,
        ..Options::new(engine)
    }
}

fn tune(engine: &mut EngineOptions, settings: &Settings) {
    engine.durability = settings.durability;
    engine.background = Background::Threads(settings.storage_threads);
    engine.compactions_max = settings.storage_threads;
    engine.memtable_bytes_max = settings.memtable_bytes;
    engine.memtable_bytes_hard = settings.memtable_bytes * 2;
    engine.wal_segment_bytes = settings.wal_segment_bytes;
    engine.wal_bytes_max = settings.wal_bytes_max;
    engine.wal_on_corruption = settings.wal_on_corruption;
    engine.block_bytes = settings.block_bytes;
    engine.cache_bytes = settings.cache_bytes;
}
