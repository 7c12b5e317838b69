//! InfluxQL: the query language of InfluxDB 1.x.
//!
//! A text becomes tokens ([`lexer`]), tokens become statements ([`parser`], [`ast`]); a `SELECT` is
//! matched with what the database holds and becomes a plan, other statements are answered at once.

pub mod answer;
pub mod ast;
pub mod ddl;
pub mod delete;
pub mod duration;
pub mod explain;
pub mod keyword;
pub mod lexer;
pub mod lower;
pub mod parser;
pub mod retain;
pub mod rollup;
pub mod show;
pub mod time;

pub use answer::{Answer, TimeColumn, answer};
pub use ast::Statement;
pub use lower::Scope;
pub use parser::{Param, Params, parse};
