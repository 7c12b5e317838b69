//! Tests of the crate from outside.

mod line_protocol;
mod reference;
