//! Keys and values of the measurement: the same for every engine and every run.

/// Bijective shuffle of 0..n (4-round Feistel with cycle walking), so each key comes once.
pub struct Perm {
    n: u64,
    half: u32,
    seed: u64,
}
impl Perm {
    pub fn new(n: u64, seed: u64) -> Self {
        let bits = (64 - (n.max(2) - 1).leading_zeros()).max(2);
        Perm { n, half: bits.div_ceil(2), seed }
    }
    pub fn get(&self, i: u64) -> u64 {
        let m = (1u64 << self.half) - 1;
        let mut x = i;
        loop {
            let (mut l, mut r) = (x >> self.half, x & m);
            for k in 0..4u64 {
                let f = mix(r ^ self.seed.wrapping_add(k.wrapping_mul(0x9E37_79B9_7F4A_7C15))) & m;
                (l, r) = (r, l ^ f);
            }
            x = (l << self.half) | r;
            if x < self.n {
                return x;
            }
        }
    }
}
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
pub struct Rng(pub u64);
impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
}

/// 16-byte key: big-endian counter in a fixed frame. Present keys are even, absent ones odd, so
/// a miss falls between two present keys and no bound check answers it.
pub fn key(id: u64) -> [u8; 16] {
    let mut k = *b"key:00000000\0\0\0\0";
    k[8..16].copy_from_slice(&id.to_be_bytes());
    k
}
pub struct Vals {
    pool: Vec<u8>,
    len: usize,
}
impl Vals {
    pub fn new(len: usize, half_compressible: bool) -> Self {
        let mut r = Rng(7);
        let mut pool = Vec::with_capacity((1 << 20) + len + 8);
        while pool.len() < (1 << 20) + len {
            pool.extend_from_slice(&r.next().to_le_bytes());
            if half_compressible {
                pool.extend_from_slice(&[0u8; 8]);
            }
        }
        Vals { pool, len }
    }
    /// First 8 bytes: the id (checked on read); rest: bytes of the pool.
    pub fn fill(&self, id: u64, generation: u64, out: &mut [u8]) {
        let off = (mix(id ^ (generation << 48)) & 0xF_FFFF) as usize;
        out.copy_from_slice(&self.pool[off..off + self.len]);
        out[..8].copy_from_slice(&id.to_le_bytes());
    }
}
