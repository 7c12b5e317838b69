//! `pretty=true`: JSON that is compact gets lines and four blanks per level, on its way out.

/// Indents one JSON document after another; bytes may come in any pieces.
#[derive(Debug, Default)]
pub struct Indent {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// An opening bracket came last: whether a line follows depends on what comes next.
    opened: bool,
}

impl Indent {
    /// Appends `bytes`, indented.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if self.in_string {
                self.in_string = byte != b'"' || self.escaped;
                self.escaped = byte == b'\\' && !self.escaped;
                out.push(byte);
                continue;
            }
            let closes = matches!(byte, b'}' | b']');
            let opened = std::mem::take(&mut self.opened);
            if opened && !closes {
                self.line(out);
            }
            match byte {
                b'{' | b'[' => {
                    self.depth += 1;
                    self.opened = true;
                    out.push(byte);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if !opened {
                        self.line(out);
                    }
                    out.push(byte);
                }
                b',' => {
                    out.push(byte);
                    self.line(out);
                }
                b':' => out.extend_from_slice(b": "),
                _ => {
                    self.in_string = byte == b'"';
                    out.push(byte);
                }
            }
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 4 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_in_any_pieces() {
        let compact = br#"{"a":[],"b":{},"c":["x:,\"]",1,{"d":null}]}"#.as_slice();
        let expected = "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        \"x:,\\\"]\",\n        \
                        1,\n        {\n            \"d\": null\n        }\n    ]\n}\n";
        for length in [1, 2, 3, 100] {
            let mut whole = Vec::new();
            let mut indent = Indent::default();
            for piece in compact.chunks(length).chain([b"\n".as_slice()]) {
                let mut out = Vec::new();
                indent.push(piece, &mut out);
                whole.extend(out);
            }
            assert_eq!(String::from_utf8(whole).unwrap(), expected, "pieces of {length}");
        }
    }
}
