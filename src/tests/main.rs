//! Black-box tests of the process, and the tests that watch over the house itself.

mod backup;
mod bombs;
mod cgroup;
mod commands;
mod contract;
mod inspection;
mod kill9;
mod server;
mod storage;
mod tidy;
