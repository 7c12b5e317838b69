//! What the fuzz targets do with the bytes that they are given, one function a target.
//!
//! The functions know nothing of a fuzzer: tests of the crates run them on the kept inputs with a
//! stable compiler (`corpus`), each crate those of its own decoders.

#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "ingest")]
pub mod ingest;
pub mod input;
#[cfg(feature = "query")]
pub mod query;
#[cfg(feature = "tsdb")]
pub mod tsdb;
