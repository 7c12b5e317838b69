//! The query crate from outside: texts in, answers out.

mod case_file;
mod parser;
