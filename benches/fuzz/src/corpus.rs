//! Runs the kept inputs of the fuzz targets, on any compiler.
//!
//! The tests of each crate include this file and run the targets of their own decoders; so an input
//! that found something, or that reaches far, is tried in every run of the tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// A target's name and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Runs every kept input of every target; says which one fails.
#[expect(clippy::disallowed_methods, reason = "it reads our own sources")]
pub fn replay(targets: &[Target]) {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/fuzz/corpus");
    for (name, run) in targets {
        let folder = std::fs::read_dir(corpus.join(name)).expect("a folder for each target");
        let mut files: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        assert!(files.len() >= 3, "{name}: {} inputs are kept", files.len());
        for file in files {
            let input = std::fs::read(&file).expect("an input");
            let done = catch_unwind(AssertUnwindSafe(|| run(&input)));
            assert!(done.is_ok(), "target {name} fails on {}", file.display());
        }
    }
}
