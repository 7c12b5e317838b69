//! A file system in memory that crashes and fails on demand, the same way for the same seed.
