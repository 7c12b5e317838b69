//! The kept inputs of the fuzz targets of the engine.

#[path = "../../benches/fuzz/src/engine.rs"]
mod engine;
#[path = "../../benches/fuzz/src/input.rs"]
mod input;
#[path = "../../benches/fuzz/src/corpus.rs"]
mod kept;

#[test]
fn kept_inputs_of_the_fuzz_targets_pass() {
    kept::replay(&[
        ("compression", engine::compression),
        ("filter", engine::filter),
        ("manifest_edit", engine::manifest_edit),
        ("store", engine::store),
        ("table", engine::table),
        ("table_footer", engine::table_footer),
        ("table_properties", engine::table_properties),
        ("transaction", engine::transaction),
        ("wal", engine::wal),
        ("write_batch", engine::write_batch),
    ]);
}
