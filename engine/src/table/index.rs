//! The index of a table: for each data block a separator and where the block lies.
//!
//! The index is itself a block. The key of entry `i` is at or after every entry of data block `i`
//! and before every entry of block `i + 1`; it is the shortest key that is, not one that exists.
//! Where versions of one user key straddle two blocks no user key lies between them: then the
//! separator is the last entry of the first block, sequence number included.
//!
//! ```text
//! value := offset varint | len varint
//! ```

use super::block::{Damage, common_prefix_len};
use super::footer::Handle;
use crate::coding::{DecodeError, Decoder, put_varint};
use crate::key::Seq;

/// How often the index stores a key whole. Lower than in data blocks: it is searched by every
/// read, and its keys are short already.
pub(super) const INDEX_RESTART_INTERVAL: usize = 4;

/// Appends the value of an index entry.
pub(super) fn put_handle(out: &mut Vec<u8>, handle: Handle) {
    put_varint(out, handle.offset);
    put_varint(out, handle.len.into());
}

/// Reads the value of an index entry.
pub(super) fn handle(value: &[u8]) -> Result<Handle, Damage> {
    let parse = || -> Result<Handle, DecodeError> {
        let mut decoder = Decoder::new(value);
        let handle = Handle { offset: decoder.varint()?, len: decoder.varint_u32()? };
        decoder.finish()?;
        Ok(handle)
    };
    parse().map_err(|error| error.reason)
}

/// Makes `last`, with its sequence number, a short separator before the user key `next`.
pub(super) fn separate(last: &mut Vec<u8>, seq: &mut Seq, next: &[u8]) {
    if last == next {
        return; // versions of one key straddle the blocks
    }
    *seq = 0;
    let common = common_prefix_len(last, next);
    if common == last.len() {
        return; // a prefix of `next`: nothing shorter is at or after it
    }
    if next.len() > common + 1 {
        last.truncate(common);
        last.push(next[common]);
    } else if last[common] + 1 < next[common] {
        last.truncate(common + 1);
        last[common] += 1;
    } else if let Some(up) = last[common + 1..].iter().position(|byte| *byte < u8::MAX) {
        last.truncate(common + 1 + up + 1);
        last[common + 1 + up] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators() {
        type Case = (&'static [u8], &'static [u8], &'static [u8], Seq);
        let cases: [Case; 9] = [
            (b"same", b"same", b"same", 7),
            (b"a", b"ab", b"a", 0),
            (b"abc", b"b", b"ac", 0),
            (b"abc", b"bcd", b"b", 0),
            (b"abc", b"c", b"b", 0),
            (b"a\xff\xffz", b"b", b"a\xff\xff{", 0),
            (b"a\xff\xff", b"b", b"a\xff\xff", 0),
            (b"user0000123", b"user0000999", b"user00009", 0),
            (b"", b"a", b"", 0),
        ];
        for (last, next, expected, expected_seq) in cases {
            let (mut separator, mut seq) = (last.to_vec(), 7);
            separate(&mut separator, &mut seq, next);
            assert_eq!((separator.as_slice(), seq), (expected, expected_seq), "{last:?} {next:?}");
            assert!(separator.as_slice() >= last && (last == next || separator.as_slice() < next));
        }
    }

    #[test]
    fn handles() {
        let mut bytes = Vec::new();
        put_handle(&mut bytes, Handle { offset: 1 << 40, len: 4096 });
        assert_eq!(handle(&bytes), Ok(Handle { offset: 1 << 40, len: 4096 }));
        assert!(handle(&bytes[..bytes.len() - 1]).is_err());
        assert!(handle(&[bytes.as_slice(), &[0]].concat()).is_err());
        assert!(handle(&[]).is_err());
    }
}
