//! One engine, one round: fill, read, scan, overwrite, compact, synced writes.
//!
//! Every value read is checked for its key and every scan for order; a wrong answer ends the run.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Cfg;
use crate::data::{Perm, Rng, Vals, key};
use crate::engines::{Kv, Opts, R, open};
use crate::measure::{Hist, Out, cpu_secs, du, hwm_mb, proc_io};

pub fn run(name: &str, c: &Cfg) -> R<()> {
    eprintln!("== {name}: {} keys", c.keys);
    let mut o = Out(BTreeMap::new());
    let dir = c.dir.join(format!("{name}-main"));
    let _ = std::fs::remove_dir_all(&dir);
    let vals = Vals::new(c.val, c.lz4);
    let mut v = vec![0u8; c.val];
    let logical = (16 + c.val) as f64;
    let mut db: Box<dyn Kv> = open(name, &dir, Opts { cache: c.cache, lz4: c.lz4, sync: false })?;

    // fillrandom, one committed op each, not synced
    let perm = Perm::new(c.keys, 1);
    let io0 = proc_io().0;
    let t0 = Instant::now();
    let cpu0 = cpu_secs();
    let mut h = Hist::new();
    let mut i = 0;
    let mut last = t0;
    while i < c.keys {
        let id = perm.get(i) * 2;
        vals.fill(id, 0, &mut v);
        db.put(&key(id), &v, false)?;
        i += 1;
        let now = Instant::now();
        h.add((now - last).as_nanos() as u64);
        last = now;
        if i % 256 == 0 && (now - t0).as_secs_f64() > c.limit {
            break;
        }
    }
    let el = t0.elapsed().as_secs_f64();
    o.put("fillrandom_ops", i as f64 / el);
    o.put("fillrandom_p99_us", h.pct(0.99));
    o.put("fillrandom_p9999_us", h.pct(0.9999));
    let filled = i;
    // the rest of the data set in batches of 1000 (only engines that hit the time cap)
    let mut batch = Vec::with_capacity(1000);
    while i < c.keys {
        batch.clear();
        while batch.len() < 1000 && i < c.keys {
            let id = perm.get(i) * 2;
            vals.fill(id, 0, &mut v);
            batch.push((key(id), v.clone()));
            i += 1;
        }
        db.put_batch(&batch)?;
    }
    db.settle()?;
    let io1 = proc_io().0;
    o.put("fill_settled_s", t0.elapsed().as_secs_f64());
    o.put("fill_cpu_us_op", (cpu_secs() - cpu0) * 1e6 / c.keys as f64);
    o.put("fill_capped_at_pct", 100.0 * filled as f64 / c.keys as f64);
    o.put("fill_write_amp", (io1 - io0) as f64 / (c.keys as f64 * logical));
    o.put("disk_after_fill_mb", du(&dir) as f64 / 1e6);

    let print = |out: &Out| out.0.iter().for_each(|(k, v)| println!("{k}\t{v}"));
    if c.until == "fill" {
        print(&o);
        return Ok(());
    }

    // reads
    let read = |db: &dyn Kv, miss: bool, threads: u64, n: u64| -> R<(f64, f64, f64)> {
        let bad = AtomicU64::new(0);
        let done = AtomicU64::new(0);
        let t = Instant::now();
        let cpu0 = cpu_secs();
        let hist = std::sync::Mutex::new(Hist::new());
        std::thread::scope(|s| {
            for th in 0..threads {
                let (bad, done, hist) = (&bad, &done, &hist);
                s.spawn(move || {
                    let mut r = Rng(th + 100 + miss as u64 * 50);
                    let mut hh = Hist::new();
                    let mut last = Instant::now();
                    let mut k = 0;
                    while k < n / threads {
                        let id = (r.next() % c.keys) * 2 + miss as u64;
                        let hit = db
                            .get(&key(id), &mut |x| {
                                if x.len() != c.val || x[..8] != id.to_le_bytes() {
                                    bad.fetch_add(1, Ordering::Relaxed);
                                }
                            })
                            .unwrap();
                        if hit == miss {
                            bad.fetch_add(1, Ordering::Relaxed);
                        }
                        k += 1;
                        let now = Instant::now();
                        hh.add((now - last).as_nanos() as u64);
                        last = now;
                        if k % 256 == 0 && (now - t).as_secs_f64() > c.limit {
                            break;
                        }
                    }
                    done.fetch_add(k, Ordering::Relaxed);
                    hist.lock().unwrap().merge(&hh);
                });
            }
        });
        let el = t.elapsed().as_secs_f64();
        let b = bad.load(Ordering::Relaxed);
        if b > 0 {
            return Err(format!("{b} wrong answers").into());
        }
        let p99 = hist.lock().unwrap().pct(0.99);
        let n = done.load(Ordering::Relaxed) as f64;
        Ok((n / el, p99, (cpu_secs() - cpu0) * 1e6 / n))
    };
    read(&*db, false, 1, c.reads / 4)?; // warm
    let (q, p, cpu) = read(&*db, false, 1, c.reads)?;
    o.put("readrandom_hit_ops", q);
    o.put("readrandom_hit_cpu_us_op", cpu);
    o.put("readrandom_hit_p99_us", p);
    o.put("readrandom_hit_4t_ops", read(&*db, false, 4, c.reads)?.0);
    let (q, _, cpu) = read(&*db, true, 1, c.reads)?;
    o.put("readrandom_miss_ops", q);
    o.put("readrandom_miss_cpu_us_op", cpu);

    // seek + scan 100
    {
        let mut r = Rng(5);
        let t = Instant::now();
        let cpu0 = cpu_secs();
        let (mut k, mut rows) = (0u64, 0u64);
        let mut sum = 0u64;
        while k < c.scans {
            let id = (r.next() % c.keys) * 2;
            let mut prev = [0u8; 16];
            let mut bad = false;
            rows += db.scan(&key(id), 100, &mut |kk, vv| {
                bad |= kk <= &prev[..] || vv.len() != c.val;
                prev.copy_from_slice(kk);
                sum = sum.wrapping_add(vv[9] as u64);
            })? as u64;
            if bad {
                return Err("scan out of order".into());
            }
            k += 1;
            if k % 64 == 0 && t.elapsed().as_secs_f64() > c.limit {
                break;
            }
        }
        std::hint::black_box(sum);
        o.put("scan100_ops", k as f64 / t.elapsed().as_secs_f64());
        o.put("scan_rows_per_s", rows as f64 / t.elapsed().as_secs_f64());
        o.put("scan100_cpu_us_op", (cpu_secs() - cpu0) * 1e6 / k as f64);
    }

    if c.until == "reads" {
        print(&o);
        return Ok(());
    }

    // overwrite, one committed op each, not synced
    {
        let mut r = Rng(9);
        let io0 = proc_io().0;
        let t0 = Instant::now();
        let cpu0 = cpu_secs();
        let mut h = Hist::new();
        let mut last = t0;
        let mut i = 0;
        while i < c.keys {
            let id = (r.next() % c.keys) * 2;
            vals.fill(id, i + 1, &mut v);
            db.put(&key(id), &v, false)?;
            i += 1;
            let now = Instant::now();
            h.add((now - last).as_nanos() as u64);
            last = now;
            if i % 256 == 0 && (now - t0).as_secs_f64() > c.limit {
                break;
            }
        }
        o.put("overwrite_ops", i as f64 / t0.elapsed().as_secs_f64());
        o.put("overwrite_p9999_us", h.pct(0.9999));
        db.settle()?;
        o.put("overwrite_cpu_us_op", (cpu_secs() - cpu0) * 1e6 / i as f64);
        o.put("overwrite_write_amp", (proc_io().0 - io0) as f64 / (i as f64 * logical));
    }

    // full compaction
    let t = Instant::now();
    db.compact()?;
    db.settle()?;
    o.put("compact_s", t.elapsed().as_secs_f64());
    o.put("disk_after_compact_mb", du(&dir) as f64 / 1e6);
    read(&*db, false, 1, (c.reads / 10).max(1))?; // still right after compaction
    o.put("peak_rss_mb", hwm_mb());
    drop(db);
    let _ = std::fs::remove_dir_all(&dir);

    // synced single-op writes from 1, 4, 16 threads, new database each
    for threads in [1u64, 4, 16] {
        let dir = c.dir.join(format!("{name}-sync{threads}"));
        let _ = std::fs::remove_dir_all(&dir);
        let db = open(name, &dir, Opts { cache: c.cache, lz4: c.lz4, sync: true })?;
        let stop = AtomicBool::new(false);
        let n = AtomicU64::new(0);
        let hist = std::sync::Mutex::new(Hist::new());
        let t = Instant::now();
        std::thread::scope(|s| {
            for th in 0..threads {
                let (db, stop, n, vals, hist) = (&db, &stop, &n, &vals, &hist);
                s.spawn(move || {
                    let mut r = Rng(th * 77 + 3);
                    let mut v = vec![0u8; c.val];
                    let mut hh = Hist::new();
                    let mut k = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let id = r.next() % 100_000_000;
                        vals.fill(id, 0, &mut v);
                        let a = Instant::now();
                        db.put(&key(id), &v, true).unwrap();
                        hh.add(a.elapsed().as_nanos() as u64);
                        k += 1;
                    }
                    n.fetch_add(k, Ordering::Relaxed);
                    hist.lock().unwrap().merge(&hh);
                });
            }
            std::thread::sleep(Duration::from_secs_f64(c.sync_secs));
            stop.store(true, Ordering::Relaxed);
        });
        let el = t.elapsed().as_secs_f64();
        o.put(&format!("sync_{threads}t_ops"), n.load(Ordering::Relaxed) as f64 / el);
        o.put(&format!("sync_{threads}t_p99_us"), hist.lock().unwrap().pct(0.99));
        drop(db);
        let _ = std::fs::remove_dir_all(&dir);
    }
    print(&o);
    Ok(())
}
