//! What is measured: CPU, device bytes, memory, disk, latency.

use std::collections::BTreeMap;
use std::path::Path;

pub fn proc_io() -> (u64, u64) {
    let s = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let g = |k: &str| {
        s.lines()
            .find_map(|l| l.strip_prefix(k))
            .and_then(|v| v.trim().parse::<u64>().ok())
            .unwrap_or(0)
    };
    (g("write_bytes:").saturating_sub(g("cancelled_write_bytes:")), g("write_bytes:"))
}
pub fn hwm_mb() -> f64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    s.lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .and_then(|v| v.trim().trim_end_matches("kB").trim().parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1024.0
}
pub fn cpu_secs() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let t: Vec<&str> = s.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let n = |i: usize| t.get(i).and_then(|x| x.parse::<f64>().ok()).unwrap_or(0.0);
    (n(11) + n(12)) / 100.0
}
/// Blocks in use, not apparent size (preallocated or sparse logs count what they hold).
pub fn du(p: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut n = 0;
    if let Ok(d) = std::fs::read_dir(p) {
        for e in d.flatten() {
            match e.metadata() {
                Ok(m) if m.is_dir() => n += du(&e.path()),
                Ok(m) => n += m.blocks() * 512,
                _ => {}
            }
        }
    }
    n
}

pub struct Out(pub BTreeMap<String, f64>);
impl Out {
    pub fn put(&mut self, k: &str, v: f64) {
        eprintln!("  {k:<24} {v:>14.2}");
        self.0.insert(k.into(), v);
    }
}

/// Latency histogram: 1/16-octave buckets of nanoseconds.
pub struct Hist(Vec<u64>, u64);
impl Hist {
    pub fn new() -> Self {
        Hist(vec![0; 64 * 16], 0)
    }
    pub fn add(&mut self, ns: u64) {
        let ns = ns.max(16);
        let o = 63 - ns.leading_zeros() as usize;
        let sub = ((ns >> (o - 4)) & 15) as usize;
        self.0[o * 16 + sub] += 1;
        self.1 += 1;
    }
    pub fn pct(&self, p: f64) -> f64 {
        let want = (self.1 as f64 * p).ceil() as u64;
        let mut c = 0;
        for (i, n) in self.0.iter().enumerate() {
            c += n;
            if c >= want {
                let (o, s) = (i / 16, i % 16);
                return ((16 + s) as f64) * 2f64.powi(o as i32 - 4) / 1000.0;
            }
        }
        0.0
    }
    pub fn merge(&mut self, o: &Hist) {
        for (a, b) in self.0.iter_mut().zip(&o.0) {
            *a += b;
        }
        self.1 += o.1;
    }
}
