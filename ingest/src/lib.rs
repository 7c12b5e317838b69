//! Bytes of clients in: line protocol, decompression, the write side of HTTP.
