//! The kept inputs of the fuzz targets of the time series.

#[path = "../../benches/fuzz/src/input.rs"]
mod input;
#[path = "../../benches/fuzz/src/corpus.rs"]
mod kept;
#[path = "../../benches/fuzz/src/tsdb.rs"]
mod tsdb;

#[test]
fn kept_inputs_of_the_fuzz_targets_pass() {
    kept::replay(&[
        ("chunk_column", tsdb::chunk_column),
        ("chunk_head", tsdb::chunk_head),
        ("chunk_round_trip", tsdb::chunk_round_trip),
        ("points_payload", tsdb::points_payload),
        ("posting_list", tsdb::posting_list),
        ("series_key", tsdb::series_key),
    ]);
}
