//! Every engine in a process of its own, rounds interleaved, medians in one Markdown table.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::engines::R;
use crate::{Cfg, arg};

const ROWS: &[(&str, &str)] = &[
    ("fillrandom_ops", "fillrandom, no sync, 1 op per commit (op/s)"),
    ("fillrandom_p9999_us", "— p99.99 of one put (µs)"),
    ("fill_settled_s", "— all keys in and background work idle (s)"),
    ("fill_cpu_us_op", "— CPU per key, all threads, until idle (µs)"),
    ("fill_capped_at_pct", "— share of keys put singly before the time cap (%)"),
    ("fill_write_amp", "— write amp (device bytes / logical)"),
    ("disk_after_fill_mb", "— disk after (MB)"),
    ("readrandom_hit_ops", "readrandom hit, 1 thread (op/s)"),
    ("readrandom_hit_cpu_us_op", "— CPU per op (µs)"),
    ("readrandom_hit_p99_us", "— p99 (µs)"),
    ("readrandom_hit_4t_ops", "readrandom hit, 4 threads (op/s)"),
    ("readrandom_miss_ops", "readrandom miss, 1 thread (op/s)"),
    ("readrandom_miss_cpu_us_op", "— CPU per op (µs)"),
    ("scan100_ops", "seek + scan 100 (op/s)"),
    ("scan100_cpu_us_op", "— CPU per op (µs)"),
    ("scan_rows_per_s", "— rows/s"),
    ("overwrite_ops", "overwrite, no sync (op/s)"),
    ("overwrite_cpu_us_op", "— CPU per op, all threads, until idle (µs)"),
    ("overwrite_p9999_us", "— p99.99 (µs)"),
    ("overwrite_write_amp", "— write amp"),
    ("compact_s", "full compaction (s)"),
    ("disk_after_compact_mb", "disk after compaction (MB)"),
    ("peak_rss_mb", "peak RSS (MB)"),
    ("sync_1t_ops", "synced put, 1 thread (op/s)"),
    ("sync_1t_p99_us", "— p99 (µs)"),
    ("sync_4t_ops", "synced put, 4 threads (op/s)"),
    ("sync_16t_ops", "synced put, 16 threads (op/s)"),
    ("sync_16t_p99_us", "— p99 (µs)"),
];

fn fmt(v: f64) -> String {
    if v >= 10_000.0 {
        let s = format!("{:.0}", v);
        let mut o = String::new();
        for (i, ch) in s.chars().enumerate() {
            if i > 0 && (s.len() - i) % 3 == 0 {
                o.push(' ');
            }
            o.push(ch);
        }
        o
    } else if v >= 100.0 {
        format!("{v:.0}")
    } else {
        format!("{v:.2}")
    }
}

fn table(
    c: &Cfg,
    rounds: usize,
    got: &BTreeMap<(String, String), Vec<f64>>,
    floors: &[f64],
) -> String {
    use std::fmt::Write as _;
    let med = |v: &[f64]| -> (f64, f64, f64) {
        let mut v = v.to_vec();
        v.sort_by(|a, b| a.total_cmp(b));
        (v[v.len() / 2], v[0], v[v.len() - 1])
    };
    let mut o = String::new();
    let _ = writeln!(
        o,
        "| {} keys × (16 + {}) B, median of {} | {} |",
        fmt(c.keys as f64),
        c.val,
        rounds,
        c.engines.join(" | ")
    );
    let _ = writeln!(o, "|---|{}", "---:|".repeat(c.engines.len()));
    for (k, label) in ROWS {
        let _ = write!(o, "| {label} |");
        for e in &c.engines {
            match got.get(&(k.to_string(), e.clone())) {
                Some(v) => {
                    let (m, lo, hi) = med(v);
                    let spread = if m > 0.0 { (hi - lo) / m * 100.0 } else { 0.0 };
                    let _ = if spread > 20.0 {
                        write!(o, " {} ±{:.0}% |", fmt(m), spread / 2.0)
                    } else {
                        write!(o, " {} |", fmt(m))
                    };
                }
                None => {
                    let _ = write!(o, " – |");
                }
            }
        }
        o.push('\n');
    }
    let _ = writeln!(
        o,
        "\nBare 128 B append + fdatasync on the same disk: {} op/s (median of {}).",
        fmt(med(floors).0),
        floors.len()
    );
    o
}

pub fn run(a: &[String], c: &Cfg) -> R<()> {
    let me = std::env::current_exe()?;
    let mut got: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    let mut floors = Vec::new();
    for round in 0..c.rounds {
        floors.push(fsync_floor(&c.dir, 2.0));
        let mut es = c.engines.clone();
        let n = es.len().max(1);
        es.rotate_left(round % n);
        for e in &es {
            let t = Instant::now();
            // KV_BIN_<engine>: another build of this program that has that engine
            let exe = std::env::var_os(format!("KV_BIN_{e}"))
                .map(PathBuf::from)
                .unwrap_or_else(|| me.clone());
            let out = std::process::Command::new(&exe)
                .arg("one")
                .arg(e)
                .args(&a[2..])
                .stderr(std::process::Stdio::null())
                .output()?;
            if !out.status.success() {
                eprintln!("round {round} {e}: FAILED {}", out.status);
                continue;
            }
            eprintln!("round {round} {e}: {:.0} s", t.elapsed().as_secs_f64());
            for l in String::from_utf8_lossy(&out.stdout).lines() {
                if let Some((k, v)) = l.split_once('\t') {
                    got.entry((k.into(), e.clone())).or_default().push(v.parse()?);
                }
            }
        }
        if let Some(p) = arg(a, "--out") {
            std::fs::write(p, table(c, round + 1, &got, &floors))?;
        }
    }
    print!("{}", table(c, c.rounds, &got, &floors));
    Ok(())
}

/// Bare append + fdatasync of 128 B on the same disk: the floor for one synced writer.
fn fsync_floor(dir: &Path, secs: f64) -> f64 {
    let _ = std::fs::create_dir_all(dir);
    let p = dir.join("floor");
    let mut f = std::fs::File::create(&p).unwrap();
    let buf = [7u8; 128];
    let t = Instant::now();
    let mut n = 0u64;
    while t.elapsed().as_secs_f64() < secs {
        f.write_all(&buf).unwrap();
        f.sync_data().unwrap();
        n += 1;
    }
    let _ = std::fs::remove_file(&p);
    n as f64 / t.elapsed().as_secs_f64()
}
