//! The `firndb` process: command line, configuration, clock, sockets, metrics.
//!
//! Modules in order; each may use those above it (`cli` is the door and uses them all).

mod config;
mod machine;

mod metrics;

mod kv;

mod app;

mod health;

mod http;

mod open;

mod logs;

mod serve;

mod check;
mod client;
mod demo;

mod cli;

use std::process::ExitCode;

/// Ingest makes and drops many buffers on many threads; the system's allocator keeps more of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
