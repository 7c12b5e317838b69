//! Cuts the bytes that a fuzzer gives into what a target needs.
//!
//! ```text
//! byte   := u8
//! number := u16, little-endian
//! long   := u64, little-endian
//! part   := len u16, modulo what is left and one | bytes
//! ```
//!
//! At the end of the bytes there are zeros and empty parts, so that every input means something.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// The next two bytes.
    pub fn number(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next eight bytes.
    pub fn long(&mut self) -> u64 {
        let mut bytes = [0; 8];
        bytes.fill_with(|| self.byte());
        u64::from_le_bytes(bytes)
    }

    /// The next length, and as many bytes.
    pub fn part(&mut self) -> &'a [u8] {
        let len = usize::from(self.number());
        let (part, rest) = self.0.split_at(len % (self.0.len() + 1));
        self.0 = rest;
        part
    }
}
