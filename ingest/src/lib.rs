//! Bytes of clients in: line protocol, decompression, the write side of HTTP.
//!
//! Modules in order; each may use those above it:

pub mod precision;

pub mod line_protocol;

pub mod metrics;

pub mod body;

pub mod http;
