//! Tests of the crate from outside.

#![allow(clippy::unwrap_used)] // an unwrap in a helper of a test is its assertion

mod corpus;
mod http;
mod line_protocol;
mod reference;
