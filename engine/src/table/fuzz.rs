//! A table file from whatever blocks, with right checksums: what fuzzing puts beneath them.

use super::footer::{Footer, Handle, put_frame};
use crate::compress::TAG_PLAIN;
use crate::key::FileNumber;

/// The file `number` of one data block, an index, a filter (none when empty) and properties.
pub fn assemble(
    number: FileNumber,
    data: &[u8],
    index: &[u8],
    filter: &[u8],
    properties: &[u8],
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut put = |block: &[u8]| {
        let offset = file.len() as u64;
        put_frame(&mut file, number, offset, TAG_PLAIN, block)
    };
    put(data);
    let index = put(index);
    let filter = if filter.is_empty() { Handle::default() } else { put(filter) };
    let properties = put(properties);
    Footer { index, filter, properties }.encode(number, &mut file);
    file
}
