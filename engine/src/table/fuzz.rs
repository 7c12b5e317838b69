//! A table file from whatever blocks, with right checksums, and its parts one by one: what fuzzing
//! puts beneath them.

use super::filter::{self, FilterBuilder, FilterKind};
use super::footer::{Footer, Handle, put_frame};
use super::properties::TableProperties;
use crate::coding::DecodeError;
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

/// The file `number` of whatever bytes, and a footer whose handles are any offsets and lengths.
pub fn end_with_footer(number: FileNumber, before: &[u8], handles: [(u64, u32); 3]) -> Vec<u8> {
    let [index, filter, properties] = handles.map(|(offset, len)| Handle { offset, len });
    let mut file = before.to_vec();
    Footer { index, filter, properties }.encode(number, &mut file);
    file
}

/// Whether the filter `bytes` lets a key with this hash through.
///
/// # Errors
/// Where they are no filter.
pub fn filter_may_contain(bytes: &[u8], hash: u64) -> Result<bool, &'static str> {
    filter::may_contain(bytes, hash)
}

/// The bytes of the filter of these keys.
pub fn filter_of(kind: FilterKind, bits_per_key: u32, keys: &[&[u8]]) -> Vec<u8> {
    let mut builder = FilterBuilder::new(kind, bits_per_key);
    keys.iter().for_each(|key| builder.add(key));
    builder.finish().unwrap_or_default()
}

/// Properties from their block, of a file without bytes.
///
/// # Errors
/// Where they are none.
pub fn decode_properties(bytes: &[u8]) -> Result<TableProperties, DecodeError> {
    TableProperties::decode(bytes, 0)
}

/// The block of properties.
pub fn encode_properties(properties: &TableProperties) -> Vec<u8> {
    properties.encode()
}
