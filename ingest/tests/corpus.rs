//! The kept inputs of the fuzz target of this crate.

#[path = "../../benches/fuzz/src/ingest.rs"]
mod ingest;
#[path = "../../benches/fuzz/src/corpus.rs"]
mod kept;

#[test]
fn kept_inputs_of_the_fuzz_target_pass() {
    kept::replay(&[("line_protocol", ingest::line_protocol)]);
}
