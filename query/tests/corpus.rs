//! The kept inputs of the fuzz target of this crate.

#[path = "../../benches/fuzz/src/corpus.rs"]
mod kept;
#[path = "../../benches/fuzz/src/query.rs"]
mod query;

#[test]
fn kept_inputs_of_the_fuzz_target_pass() {
    kept::replay(&[("influxql", query::influxql)]);
}
