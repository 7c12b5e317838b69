//! InfluxQL: the query language of InfluxDB 1.x.
//!
//! A text becomes tokens ([`lexer`]), tokens become statements ([`parser`], [`ast`]); a `SELECT` is
//! matched with what the database holds and becomes a plan, other statements are answered at once.

pub mod ast;
pub mod duration;
pub mod keyword;
pub mod lexer;
pub mod lower;
pub mod parser;
pub mod time;

pub use ast::Statement;
pub use parser::{Param, Params, parse};
