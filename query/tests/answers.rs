//! InfluxQL answers end to end: line protocol in, a request to the router, bytes out.
//!
//! Every file runs three times over, with the points in memory, in tables, and in compacted
//! tables: the answers are the same.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use firndb_engine::budget::Budget;
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::sim::SimFs;
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Background, Options as EngineOptions};
use firndb_engine::store::CompactOptions;
use firndb_ingest::line_protocol;
use firndb_ingest::precision::Precision;
use firndb_query::exec::Limits;
use firndb_query::http::{QueryState, routes};
use firndb_tsdb::{Options, Tsdb};
use tower::ServiceExt;

use super::case_file::{self, Case};

/// What `now()` is: 2023-11-14T23:13:20Z, an hour after the first points of most files.
pub const NOW: i64 = 1_700_003_600_000_000_000;

/// Where points lie before they are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Storage {
    Memory,
    Tables,
    Compacted,
}

/// A server without sockets.
pub struct Fixture {
    pub tsdb: Tsdb,
    pub state: QueryState,
    storage: Storage,
    pub runtime: tokio::runtime::Runtime,
}

impl Fixture {
    pub fn new(storage: Storage) -> Fixture {
        let clock = Arc::new(ManualClock::at(NOW));
        let fs = Arc::new(SimFs::new(1));
        let mut engine = EngineOptions::new("/db", fs, clock.clone(), Arc::new(Plain::new()));
        engine.background = Background::Inline;
        let mut options = Options::new(engine);
        options.rolling.stride_ns = 3_600_000_000_000; // the cases hold few hours
        let tsdb = Tsdb::open(options).expect("a store");
        let state = QueryState {
            metrics: Default::default(),
            tsdb: tsdb.clone(),
            budget: Budget::unlimited(),
            clock,
            pool: None,
            limits: Limits::default(),
            memory_wait: std::time::Duration::ZERO,
            timeout_ns: None,
            rows_max: 0,
            body_bytes_max: 1 << 20,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        Fixture { tsdb, state, storage, runtime }
    }

    /// Writes line protocol with times in seconds.
    pub fn load(&self, database: &str, lines: &str) -> String {
        let database = self.tsdb.create_database(database, None).expect("a database");
        let known = |text: &[u8]| database.known_series(text);
        let parsed = line_protocol::parse(lines.as_bytes(), Precision::Second, NOW, known);
        assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
        let summary = database.write(None, &parsed.batch, NOW).expect("written");
        assert!(summary.refused.is_empty(), "{:?}", summary.refused);
        let store = self.tsdb.store();
        if self.storage != Storage::Memory {
            store.flush(None).expect("flushed");
        }
        if self.storage == Storage::Compacted {
            store.compact(None, CompactOptions::default(), &|| false).expect("compacted");
        }
        format!("{} points", summary.written)
    }

    /// Sends a request; returns status and body.
    pub fn send(&self, request: Request<Body>) -> (u16, Vec<u8>) {
        self.runtime.block_on(async {
            let response = routes(self.state.clone()).oneshot(request).await.expect("an answer");
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.expect("a whole body");
            (status, body.to_vec())
        })
    }

    /// Asks by POST, so that statements may change things.
    pub fn ask(&self, parameters: &str, text: &str) -> String {
        let uri = format!("/query?{parameters}&q={}", percent(text));
        let request = Request::post(uri).body(Body::empty()).expect("a request");
        let (status, body) = self.send(request);
        let body = String::from_utf8(body).expect("UTF-8");
        if status == 200 { body } else { format!("{status} {body}") }
    }
}

pub fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A line per series.
fn laid_out(body: &str) -> String {
    let lines =
        body.replace("\"series\":[", "\"series\":[\n  ").replace("},{\"name\"", "},\n  {\"name\"");
    lines.replace("},{\"statement_id\"", "},\n{\"statement_id\"")
}

fn run(file: &str) {
    for storage in [Storage::Memory, Storage::Tables, Storage::Compacted] {
        let fixture = Fixture::new(storage);
        let mut database = "d".to_string();
        case_file::run(file, |Case { command, input }| {
            let (command, arguments) = command.split_once(' ').unwrap_or((command, ""));
            match command {
                "load" => {
                    database = if arguments.is_empty() { "d".into() } else { arguments.into() };
                    fixture.load(&database, input)
                }
                "query" => {
                    let parameters = format!("{arguments}&db={database}");
                    laid_out(&fixture.ask(&parameters, &input.replace('\n', " ")))
                }
                other => panic!("no such command: {other}"),
            }
        });
    }
}

macro_rules! files {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(concat!(stringify!($name), ".test"));
        }
    )*};
}

files! { select functions windows conditions schema tsbs changes deletes retain rollups }
