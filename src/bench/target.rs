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

use crate::cli::{Exit, complain};
use crate::client::{ServerArgs, get_json};
use crate::offline::refused;
use crate::status;

/// Entries of a scan.
pub const SCAN_ENTRIES: usize = 100;

/// Where the operations go.
pub trait Target: Sync {
    /// What it is, for the report.
    fn name(&self) -> String;
    /// Puts pairs, as one.
    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String>;
    /// The value of a key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String>;
    /// Bytes of the entries from a key on.
    fn scan(&self, from: &str) -> Result<u64, String>;
    /// Its state, as `/api/v1/status/lsm` tells it.
    fn status(&self) -> Option<Value>;
}

/// A store in this process.
pub struct Embedded {
    store: Store,
    keyspace: KeyspaceId,
    clock: Arc<dyn Clock>,
    write: WriteOptions,
}

impl Embedded {
    /// Opens or makes the store in `dir`; one that holds more than keys and values is refused: its
    /// keyspaces want other hooks than a bench has.
    pub fn open(dir: &Path, keyspace: &str, is_synced: bool) -> Result<Embedded, Exit> {
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
        let options = Options::new(dir, fs, clock.clone(), Arc::new(Plain::new()));
        let opened = Store::open(options).and_then(|store| {
            let keyspace =
                store.create_keyspace(&format!("kv/{keyspace}"), KeyspaceOptions::default())?;
            Ok((store, keyspace.id))
        });
        let (store, keyspace) =
            opened.map_err(|error| refused(&format!("cannot open {}", dir.display()), &error))?;
        let durability = if is_synced { Durability::Always } else { Durability::Os };
        let write = WriteOptions { durability: Some(durability) };
        Ok(Embedded { store, keyspace, clock, write })
    }
}

impl Target for Embedded {
    fn name(&self) -> String {
        self.store.options().dir.display().to_string()
    }

    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), String> {
        let mut batch = WriteBatch::new();
        for (key, value) in pairs {
            batch.put(self.keyspace, key.as_bytes(), value);
        }
        self.store.write(&batch, self.write).map(drop).map_err(|error| error.to_string())
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let value = self.store.get(self.keyspace, key.as_bytes(), None);
        value.map(|value| value.map(|value| value.to_vec())).map_err(|error| error.to_string())
    }

    fn scan(&self, from: &str) -> Result<u64, String> {
        let bounds = Bounds { lower: Some(from.as_bytes().to_vec()), ..Bounds::default() };
        let options = ScanOptions { bounds, ..ScanOptions::default() };
        let mut bytes = 0;
        let walk = || -> firndb::engine::Result<()> {
            let mut scan = self.store.scan(self.keyspace, options)?;
            for _ in 0..SCAN_ENTRIES {
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

    fn status(&self) -> Option<Value> {
        let (metrics, jobs) = (self.store.metrics(), self.store.jobs());
        let now_ns = self.clock.monotonic_ns();
        Some(status::of_store(&metrics, &jobs, self.store.is_paused(), now_ns))
    }
}

/// A server.
pub struct Http<'a> {
    server: &'a ServerArgs,
    agent: Agent,
    keyspace: String,
}

impl<'a> Http<'a> {
    /// A server that answers.
    pub fn connect(
        server: &'a ServerArgs,
        keyspace: &str,
        connections: usize,
    ) -> Result<Http<'a>, Exit> {
        get_json(server, "/api/v1/status/lsm")?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .build()
            .into();
        Ok(Http { server, agent, keyspace: keyspace.to_owned() })
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

    fn scan(&self, from: &str) -> Result<u64, String> {
        let path = format!("?start={from}&limit={SCAN_ENTRIES}");
        let body = body_of(self.agent.get(self.at(&path)).call())?;
        Ok(body.map_or(0, |body| body.len() as u64))
    }

    fn status(&self) -> Option<Value> {
        get_json(self.server, "/api/v1/status/lsm").ok()
    }
}
