//! Edits of the manifest: decoded, they encode to bytes that decode to the same.
#![no_main]

use firndb_engine::manifest::edit::Edit;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(edit) = Edit::decode(bytes) {
        let mut again = Vec::new();
        edit.encode(&mut again);
        assert_eq!(Edit::decode(&again).as_ref(), Ok(&edit));
    }
});
