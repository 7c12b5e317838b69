//! What a bench measures: a server over HTTP, or a store in this process.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use firndb::SystemClock;
use firndb::engine::batch::WriteBatch;
use firndb::engine::clock::Clock;
use firndb::engine::fs::Fs;
use firndb::engine::fs::real::RealFs;
use firndb::engine::hooks::Plain;
use firndb::engine::inspect::manifest;
use firndb::engine::key::KeyspaceId;
use firndb::engine::options::{Durability, KeyspaceOptions, Options};
use firndb::engine::scan::bounds::Bounds;
use firndb::engine::store::{ScanOptions, Store, WriteOptions};
use serde_json::{Value, json};
use ureq::Agent;

use super::BenchArgs;
use crate::cli::{Exit, complain};
use crate::client::{ServerArgs, get_json};
use crate::offline::refused;
use crate::{machine, status};

/// A value of JSON that an answer of 200 holds when its statement failed.
const FAILED: &str = "\"error\":";

/// Bytes of an operation of a batch beside its key and value, at most.
const OP_BYTES: usize = 16;

/// Where the operations go.
pub trait Target: Sync {
    /// What it is, for the report.
    fn name(&self) -> String;
    /// Puts pairs, as one.
    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String>;
    /// The value of a key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// Bytes of so many entries from a key on.
    fn scan(&self, from: &str, entries: usize) -> Result<u64, String>;
    /// Writes lines of line protocol, times in seconds.
    fn lines(&self, lines: String) -> Result<(), String>;
    /// Bytes of the answer to a question; `None` when it has no rows.
    fn query(&self, question: &str) -> Result<Option<u64>, String>;
    /// Its state, as `/api/v1/status/lsm` tells it.
    fn status(&self) -> Option<Value>;
    /// What it did lately, as `/api/v1/status/events` tells it, oldest first.
    fn events(&self) -> Vec<Value>;
}

/// A store in this process.
pub struct Embedded {
    store: Store,
    keyspace: KeyspaceId,
    clock: Arc<dyn Clock>,
    write: WriteOptions,
}

/// How a store in this process is opened.
pub struct EmbeddedOptions {
    /// Whether a write is acknowledged only when it is on disk.
    pub is_synced: bool,
    /// Memory for blocks, if not the usual.
    pub cache_bytes: Option<u64>,
}

impl Embedded {
    /// Opens or makes the store in `dir`; one that holds more than keys and values is refused: its
    /// keyspaces want other hooks than a bench has.
    pub fn open(dir: &Path, keyspace: &str, embedded: EmbeddedOptions) -> Result<Embedded, Exit> {
        let number = manifest::current(&RealFs, dir);
        let known = number.and_then(|number| manifest::read(&RealFs, dir, number, &mut |_| {}));
        let is_foreign = |name: &str| !name.starts_with("kv/");
        if let Ok(known) = known
            && known.state.keyspaces.values().any(|keyspace| is_foreign(&keyspace.name))
        {
            complain(&format!(
                "{} holds databases\n  name a folder of its own, or measure the server with --url",
                dir.display()
            ));
            return Err(Exit::Usage);
        }
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut options = Options::new(dir, fs, clock.clone(), Arc::new(Plain::new()));
        options.cache_bytes = embedded.cache_bytes.unwrap_or(options.cache_bytes);
        let opened = Store::open(options).and_then(|store| {
            let keyspace =
                store.create_keyspace(&format!("kv/{keyspace}"), KeyspaceOptions::default())?;
            Ok((store, keyspace.id))
        });
        let (store, keyspace) =
            opened.map_err(|error| refused(&format!("cannot open {}", dir.display()), &error))?;
        let durability = if embedded.is_synced { Durability::Always } else { Durability::Os };
        let write = WriteOptions { durability: Some(durability) };
        Ok(Embedded { store, keyspace, clock, write })
    }
}

impl Target for Embedded {
    fn name(&self) -> String {
        self.store.options().dir.display().to_string()
    }

    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String> {
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len() + OP_BYTES).sum();
        let mut batch = WriteBatch::with_capacity(bytes);
        for (key, value) in pairs {
            batch.put(self.keyspace, key.as_bytes(), value);
        }
        self.store.write(&batch, self.write).map(drop).map_err(|error| error.to_string())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let value = self.store.get(self.keyspace, key.as_bytes(), None);
        value.map(|value| value.map(|value| value.to_vec())).map_err(|error| error.to_string())
    }

    fn scan(&self, from: &str, entries: usize) -> Result<u64, String> {
        let bounds = Bounds { lower: Some(from.as_bytes().to_vec()), ..Bounds::default() };
        let options = ScanOptions { bounds, ..ScanOptions::default() };
        let mut bytes = 0;
        let walk = || -> firndb::engine::Result<()> {
            let mut scan = self.store.scan(self.keyspace, options)?;
            for _ in 0..entries {
                if !scan.advance()? {
                    break;
                }
                bytes += (scan.key().len() + scan.value().len()) as u64;
            }
            Ok(())
        };
        walk().map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn lines(&self, _lines: String) -> Result<(), String> {
        Err("an embedded store has no points".to_owned())
    }

    fn query(&self, _question: &str) -> Result<Option<u64>, String> {
        Err("an embedded store has no points".to_owned())
    }

    fn status(&self) -> Option<Value> {
        let (metrics, jobs) = (self.store.metrics(), self.store.jobs());
        let now_ns = self.clock.monotonic_ns();
        let mut status = status::of_store(&metrics, &jobs, self.store.is_paused(), now_ns);
        status["resident_bytes"] = json!(machine::resident_bytes(&RealFs));
        Some(status)
    }

    fn events(&self) -> Vec<Value> {
        self.store.events(0).iter().map(status::of_event).collect()
    }
}

/// A server.
pub struct Http<'a> {
    server: &'a ServerArgs,
    agent: Agent,
    keyspace: &'a str,
    database: &'a str,
}

impl<'a> Http<'a> {
    /// A server that answers.
    pub fn connect(server: &'a ServerArgs, args: &'a BenchArgs) -> Result<Http<'a>, Exit> {
        get_json(server, "/api/v1/status/lsm")?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(args.connections)
            .max_idle_connections_per_host(args.connections)
            .build()
            .into();
        Ok(Http { server, agent, keyspace: &args.keyspace, database: &args.database })
    }

    fn at(&self, rest: &str) -> String {
        self.server.at(&format!("/kv/{}{rest}", self.keyspace))
    }
}

/// The body of an answer of 2xx; `None` for 404.
fn body_of(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Option<Vec<u8>>, String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec();
    let body = body.map_err(|error| error.to_string())?;
    match status {
        200..300 => Ok(Some(body)),
        404 => Ok(None),
        _ => Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim())),
    }
}

impl Target for Http<'_> {
    fn name(&self) -> String {
        self.server.url.clone()
    }

    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String> {
        let answer = match pairs {
            [(key, value)] => self.agent.put(self.at(&format!("/{key}"))).send(&value[..]),
            _ => {
                let put = |(key, value): &(String, Vec<u8>)| json!({"op": "put", "key": key, "value": BASE64.encode(value)});
                let operations: Vec<_> = pairs.iter().map(put).collect();
                let body = json!({ "operations": operations }).to_string();
                self.agent.post(self.at("/_batch")).send(body)
            }
        };
        body_of(answer)?.map(drop).ok_or_else(|| "404: not found".to_owned())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        body_of(self.agent.get(self.at(&format!("/{key}"))).call())
    }

    fn scan(&self, from: &str, entries: usize) -> Result<u64, String> {
        let path = format!("?start={from}&limit={entries}");
        let body = body_of(self.agent.get(self.at(&path)).call())?;
        Ok(body.map_or(0, |body| body.len() as u64))
    }

    fn lines(&self, lines: String) -> Result<(), String> {
        let post = self.agent.post(self.server.at("/write"));
        let post = post.query("db", self.database).query("precision", "s");
        body_of(post.send(lines))?.map(drop).ok_or_else(|| "404: not found".to_owned())
    }

    fn query(&self, question: &str) -> Result<Option<u64>, String> {
        let get = self.agent.get(self.server.at("/query"));
        let get = get.query("db", self.database).query("q", question).query("epoch", "s");
        let body = body_of(get.call())?.ok_or_else(|| "404: not found".to_owned())?;
        let text = String::from_utf8_lossy(&body);
        if text.contains(FAILED) {
            return Err(text.trim().to_owned());
        }
        Ok(text.contains("\"series\":").then_some(body.len() as u64))
    }

    fn status(&self) -> Option<Value> {
        get_json(self.server, "/api/v1/status/lsm").ok()
    }

    fn events(&self) -> Vec<Value> {
        let document = get_json(self.server, "/api/v1/status/events").unwrap_or_default();
        document["events"].as_array().cloned().unwrap_or_default()
    }
}
