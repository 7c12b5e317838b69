//! Columns of chunks in every encoding, beneath their checksum.
#![no_main]

use firndb_tsdb::chunk::{ColumnHead, Encoding, decode_unverified};
use firndb_tsdb::model::{Column, FieldId, FieldType};
use libfuzzer_sys::fuzz_target;

/// Type, encoding, mask, length of the mask, values, rows without a value, rows wanted, bytes.
type Input<'a> = (u8, u8, u8, u8, u16, u8, (u16, u16), &'a [u8]);

fuzz_target!(|input: Input| {
    let (field_type, encoding, mask, mask_len, count, nulls, (a, b), bytes) = input;
    let Some(field_type) = FieldType::from_byte(field_type % 5 + 1) else { return };
    let encoding = Encoding::ALL[usize::from(encoding) % Encoding::ALL.len()];
    let count = usize::from(count) % 8192;
    let rows = (count + usize::from(nulls)).clamp(1, 8192);
    let mask_len = if count < rows { usize::from(mask_len) } else { 0 };
    let head = ColumnHead::assembled(field_type, encoding, mask % 4, mask_len, count, rows);
    let Some(head) = head else { return };
    let (a, b) = (usize::from(a) % (rows + 1), usize::from(b) % (rows + 1));
    let wanted = a.min(b)..a.max(b);
    let mut out = Column::missing(FieldId(0), 0);
    if decode_unverified(&head, bytes, wanted.clone(), &mut out).is_ok() {
        assert_eq!(out.values.len(), wanted.len());
    }
});
