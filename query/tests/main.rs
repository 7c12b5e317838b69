//! The query crate from outside: texts in, answers out.

mod answers;
mod case_file;
mod http;
mod parser;
