//! The `firndb` process.

fn main() {}
