//! The query crate from outside: texts in, answers out.

mod answers;
mod case_file;
mod corpus;
mod deletes;
mod files;
mod http;
mod parser;
mod rollups;
