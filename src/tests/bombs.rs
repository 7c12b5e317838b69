//! One memory budget: a real server of a small limit under everything that eats memory. It is
//! never above its limit by more than the documented margin, never dies, never panics; who asks
//! for too much gets a clear refusal, and a writer that behaves goes on.
//!
//! The peak is the kernel's own (`VmHWM`), so nothing is missed between two looks. Where we may
//! make a memory cgroup, the server runs in one of its limit and the margin, so that the kernel
//! would kill it for a page more that it can't take back.

#![allow(clippy::print_stdout)] // the peaks are worth seeing

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::cgroup::MemoryCgroup;
use super::server::Server;

const LIMIT_BYTES: u64 = 128 << 20;

/// What a server of this limit may hold: as the documents say, 32 MiB and a sixteenth more.
const fn held_max(limit_bytes: u64) -> u64 {
    limit_bytes + (32 << 20) + limit_bytes / 16
}

const BATCH_POINTS: u64 = 20;

/// A server of a small limit, its log, and a writer that behaves.
struct Bombed {
    server: Server,
    acknowledged: AtomicU64,
}

fn start(dir: &Path, limit_bytes: u64, cgroup: Option<&MemoryCgroup>) -> Server {
    let limit = limit_bytes.to_string();
    let args = ["--memory-limit", &limit, "--set", "wal.segment_bytes=4MiB"];
    Server::start_in(dir, &args, cgroup.map(MemoryCgroup::folder))
}

fn cgroup(name: &str, limit_bytes: u64) -> Option<MemoryCgroup> {
    let cgroup = MemoryCgroup::new(name, held_max(limit_bytes));
    println!("{name}: in a cgroup of its own: {}", cgroup.is_some());
    cgroup
}

/// The most that the server ever held, pages of files left aside: the system takes those back.
fn peak_bytes(server: &Server) -> u64 {
    let file = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(file).expect("the server runs");
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("Linux says it");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    (kib("VmHWM:") - kib("RssFile:")) * 1024
}

/// Ends the writer that behaves, also when a bomb fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Bombed {
    fn new(server: Server) -> Self {
        Bombed { server, acknowledged: AtomicU64::new(0) }
    }

    /// Runs `bomb` while the writer that behaves goes on; it must get something stored meanwhile.
    fn under(&self, name: &str, bomb: impl FnOnce(&Server) + Send) {
        let before = self.acknowledged.load(Ordering::SeqCst);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _over = SetOnDrop(&is_over);
                bomb(&self.server);
            });
            // At least one batch after the bomb began, however short it was.
            while !is_over.load(Ordering::SeqCst)
                || self.acknowledged.load(Ordering::SeqCst) == before
            {
                self.write_one();
            }
        });
        let stored = self.acknowledged.load(Ordering::SeqCst) - before;
        let peak = peak_bytes(&self.server);
        println!("{name}: peak {} MiB, {stored} batches stored meanwhile", peak >> 20);
        assert!(
            peak <= held_max(LIMIT_BYTES),
            "{name}: {} MiB with a limit of {} MiB: {}",
            peak >> 20,
            LIMIT_BYTES >> 20,
            shares(&self.server)
        );
    }

    /// A batch of the writer that behaves, sent again until it is stored.
    fn write_one(&self) {
        let batch = self.acknowledged.load(Ordering::SeqCst);
        let body: String = (batch * BATCH_POINTS..(batch + 1) * BATCH_POINTS)
            .map(|n| format!("good,w=a n={n}i {}\n", 1_000_000 + n))
            .collect();
        for _ in 0..100_000 {
            let answer = self.server.post("/write?db=bombs", body.as_bytes());
            match answer.status {
                204 => {
                    self.acknowledged.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                503 => assert!(answer.header("retry-after").is_some(), "{}", answer.text()),
                other => panic!("{other}: {}", answer.text()),
            }
        }
        panic!("a writer that behaves was starved: {}", shares(&self.server));
    }

    /// Every acknowledged point is there.
    fn verify(&self) {
        let points = self.acknowledged.load(Ordering::SeqCst) * BATCH_POINTS;
        let answer = self.server.query("bombs", "SELECT count(n), sum(n) FROM good");
        let row = &answer["series"][0]["values"][0];
        let sum = points * (points - 1) / 2;
        assert_eq!((row[1].as_u64(), row[2].as_u64()), (Some(points), Some(sum)), "{answer}");
    }
}

/// The lines of the metrics that say who holds what.
fn shares(server: &Server) -> String {
    let page = server.get("/metrics");
    page.text()
        .lines()
        .filter(|line| line.starts_with("firndb_memory_bytes"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Runs `work` on several threads until each has done its `rounds`.
fn together(threads: u64, rounds: u64, work: impl Fn(u64, u64) + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let work = &work;
            scope.spawn(move || (0..rounds).for_each(|round| work(thread, round)));
        }
    });
}

/// What was answered, by status.
#[derive(Default)]
struct Statuses(Mutex<BTreeMap<u16, u64>>);

impl Statuses {
    fn add(&self, status: u16) {
        *self.0.lock().expect("no thread panics").entry(status).or_default() += 1;
    }

    /// Only these were given, and each of `needed` at least once.
    fn check(&self, name: &str, allowed: &[u16], needed: &[u16]) {
        let seen = self.0.lock().expect("no thread panics");
        println!("{name}: {seen:?}");
        assert!(seen.keys().all(|status| allowed.contains(status)), "{name}: {seen:?}");
        assert!(needed.iter().all(|status| seen.contains_key(status)), "{name}: {seen:?}");
    }
}

/// Every line a new series, of three tags that are all new.
fn cardinality(server: &Server) {
    let statuses = Statuses::default();
    together(4, 10, |thread, round| {
        let lines: String = (0..5000)
            .map(|line| {
                let n = (thread * 10 + round) * 5000 + line;
                format!("bomb,session=s{n:012},user=u{n:012},request=r{n:012} v={n}i {n}\n")
            })
            .collect();
        statuses.add(server.post("/write?db=bombs", lines.as_bytes()).status);
    });
    statuses.check("cardinality", &[204, 503], &[204]);
}

/// Every line a new measurement with a new field: schema, which is held whole.
fn schema(server: &Server) {
    let statuses = Statuses::default();
    together(2, 6, |thread, round| {
        let lines: String = (0..5000)
            .map(|line| {
                let n = (thread * 6 + round) * 5000 + line;
                format!("measurement_{n:010},tag_{n:010}=a field_{n:010}=1 {n}\n")
            })
            .collect();
        statuses.add(server.post("/write?db=bombs", lines.as_bytes()).status);
    });
    statuses.check("schema", &[204, 400, 503], &[204]);
}

/// Everything at once, several times.
fn queries(server: &Server) {
    let texts = [
        "SELECT * FROM /.*/",
        "SELECT * FROM bomb GROUP BY *",
        "SELECT mean(v), max(v) FROM bomb GROUP BY session, user",
        "SELECT count(*) FROM /.*/ GROUP BY time(1u), *",
        "SELECT median(v), stddev(v) FROM bomb",
        "SHOW SERIES",
        "SHOW TAG VALUES WITH KEY IN (session, user, request)",
        "SHOW FIELD KEYS",
    ];
    let statuses = Statuses::default();
    together(texts.len() as u64, 1, |thread, _| {
        let path = format!(
            "/query?db=bombs&epoch=ns&chunked=true&q={}",
            super::server::percent(texts[thread as usize])
        );
        // Read and dropped: it may be large.
        let url = server.url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&url).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {url}\r\nConnection: close\r\n\r\n")
            .expect("it takes the request");
        let mut answer = BufReader::new(stream);
        statuses.add(status_of(&mut answer));
        std::io::copy(&mut answer, &mut std::io::sink()).expect("a whole answer");
    });
    // Of a plain query an error is a 400; of one that has begun it stands in the answer.
    statuses.check("queries", &[200, 400, 503], &[200]);
}

/// Large bodies on many connections at once.
fn bodies(server: &Server, connections: u64, body_bytes: usize) {
    let body = large_body(body_bytes);
    let statuses = Statuses::default();
    let address = server.url().trim_start_matches("http://").to_owned();
    together(connections, 1, |_, _| {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(
            stream,
            "POST /write?db=bombs HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .expect("it takes the head");
        stream.write_all(&body).expect("it takes the body, or drops it");
        statuses.add(status_of(&mut BufReader::new(stream)));
    });
    statuses.check("bodies", &[204, 503], &[503]);
}

fn large_body(bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes + 100);
    for n in 0.. {
        if body.len() >= bytes {
            break;
        }
        let _ = writeln!(body, "large,s=s{} a={n}i,b={n}.25,c=\"text {n}\" {n}", n % 100);
    }
    body
}

fn status_of(answer: &mut impl BufRead) -> u16 {
    let mut line = String::new();
    answer.read_line(&mut line).expect("an answer");
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}

fn huge_line(row: u64, at: u64) -> String {
    let fields: Vec<String> = (0..10).map(|f| format!("f{f}={}.5", row * f)).collect();
    format!("huge,s=a {} {at}\n", fields.join(","))
}

/// One series whose rows come all over a day, so that every chunk overlaps every run; then one
/// compaction of it all.
fn huge_partition(server: &Server) {
    let statuses = Statuses::default();
    const ROUNDS: u64 = 40;
    const ROWS: u64 = 4000;
    for round in 0..ROUNDS {
        let line = |row| huge_line(row, (row * ROUNDS + round) * 500_000_000);
        let lines: String = (0..ROWS).map(line).collect();
        statuses.add(server.post("/write?db=bombs", lines.as_bytes()).status);
        if round % 4 == 3 {
            statuses.add(server.post("/api/v1/flush", b"").status);
        }
    }
    statuses.add(server.post("/api/v1/compact", b"").status);
    statuses.check("huge partition", &[200, 204, 503], &[204]);
}

#[test]
fn a_small_limit_holds_under_every_bomb() {
    let dir = tempfile::tempdir().expect("a folder");
    let cgroup = cgroup("bombs", LIMIT_BYTES);
    let bombed = Bombed::new(start(dir.path(), LIMIT_BYTES, cgroup.as_ref()));
    // Known before the bombs leave no room for new names.
    for known in [huge_line(0, 0).into_bytes(), large_body(1)] {
        assert_eq!(bombed.server.post("/write?db=bombs", &known).status, 204);
    }
    bombed.under("cardinality", cardinality);
    bombed.under("schema", schema);
    bombed.under("queries", queries);
    bombed.under("bodies", |server| bodies(server, 500, 24_900_000));
    bombed.under("huge partition", huge_partition);
    bombed.under("queries", queries);
    println!("{}", shares(&bombed.server));
    bombed.verify();
    assert_eq!(bombed.server.panics(), "", "no thread panicked");
    assert_eq!(bombed.server.stop(), Some(0), "a clean stop");
}

#[test]
fn a_log_larger_than_memory_is_replayed_within_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let large = start(dir.path(), 2 << 30, None);
    let mut points = 0u64;
    for round in 0..24 {
        let lines: String = (0..20_000u64)
            .map(|row| {
                let n = round * 20_000 + row;
                format!("log,s=s{} a={n}i,b={n}i,c={n}i,d={n}i,e={n}i {n}\n", n % 1000)
            })
            .collect();
        let answer = large.post("/write?db=bombs", lines.as_bytes());
        assert_eq!(answer.status, 204, "{}", answer.text());
        points += 20_000;
    }
    large.kill_now();
    drop(large);
    let limit_bytes = 64 << 20;
    let cgroup = cgroup("replay", limit_bytes);
    let server = start(dir.path(), limit_bytes, cgroup.as_ref());
    let peak = peak_bytes(&server);
    println!("replay: peak {} MiB", peak >> 20);
    assert!(peak <= held_max(limit_bytes), "{} MiB: {}", peak >> 20, shares(&server));
    let answer = server.query("bombs", "SELECT count(a) FROM log");
    assert_eq!(answer["series"][0]["values"][0][1].as_u64(), Some(points), "{answer}");
    assert_eq!(server.panics(), "");
    assert_eq!(server.stop(), Some(0));
}
