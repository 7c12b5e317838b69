//! Bytes of a segment: header and record header, drawn in [`super`].
use crate::key::FileNumber;
/// Name of the segment `number`.
pub fn file_name(number: FileNumber) -> String {
    format!("{:06}.log", number.0)
}
