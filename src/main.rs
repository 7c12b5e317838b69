//! The `firndb` process: command line, configuration, clock, sockets, metrics.
//!
//! Modules in order; each may use those above it (`cli` is the door and uses them all).

mod allocator;

mod standing;

mod config;
mod machine;

mod metrics;

mod kv;

mod memory;

mod connections;

mod app;

mod health;

mod status;

mod http;

mod open;

mod logs;

mod serve;

mod output;

mod check;
mod client;
mod demo;
mod offline;

mod lsm;

mod bench;

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    allocator::tune();
    cli::run()
}
