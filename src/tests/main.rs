//! Black-box tests of the process, and the tests that watch over the house itself.

mod backup;
mod bench;
mod bombs;
mod cgroup;
mod commands;
mod contract;
mod docs;
mod inspection;
mod kill9;
mod kv;
mod openapi;
mod server;
mod storage;
mod tidy;
