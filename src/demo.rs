//! `firndb demo`: a server with an hour of sample points in it, and a first question answered.
//!
//! It goes through the front door: points and question travel over HTTP, as a client's would.

use std::f64::consts::TAU;

use firndb::SystemClock;
use firndb::engine::clock::Clock;

use crate::cli::{Exit, complain, print_lines};
use crate::client;
use crate::config::settings::Settings;
use crate::serve;

/// Points of each host, ten seconds apart: an hour.
const POINTS: i64 = 360;
const STEP_NS: i64 = 10_000_000_000;
const HOSTS: [&str; 3] = ["alpha", "beta", "gamma"];
const QUESTION: &str = "SELECT mean(usage_user), max(usage_user) FROM cpu \
                        GROUP BY time(15m), host fill(none)";

/// Runs the command.
pub fn run(settings: Settings) -> Exit {
    let url = format!("http://{}", settings.http_addr);
    let dir = settings.data_dir.display().to_string();
    serve::run_then(settings, move || show(&url, &dir))
}

fn show(url: &str, dir: &str) {
    let lines = sample(SystemClock::new().unix_ns());
    let count = lines.lines().count();
    if let Err(error) = client::write::send_once(url, "demo", lines.as_bytes()) {
        complain(&error);
        return;
    }
    match client::query::ask(url, "demo", QUESTION) {
        Ok(table) => print_lines(&format!(
            "Wrote {count} points over HTTP into database `demo` (data in {dir}).\n\n\
             > {QUESTION}\n\n{table}\n\
             Serving on {url} until Ctrl-C.\n"
        )),
        Err(error) => complain(&error),
    }
}

/// Three hosts, each with its own daily rhythm, an hour up to `now`.
fn sample(now: i64) -> String {
    let first = now - now.rem_euclid(STEP_NS) - POINTS * STEP_NS;
    let mut lines = String::new();
    for point in 0..POINTS {
        for (index, host) in HOSTS.iter().enumerate() {
            let phase = TAU * (point as f64 / POINTS as f64 + index as f64 / 3.0);
            let user = 40.0 + 30.0 * phase.sin() + (point % 7) as f64;
            let system = 10.0 + 5.0 * (phase * 3.0).cos();
            let time = first + point * STEP_NS;
            lines += &format!(
                "cpu,host={host},region=eu usage_user={user:.2},usage_system={system:.2},\
                 processes={}i {time}\n",
                100 + (point * (index as i64 + 3)) % 50
            );
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use firndb::ingest::line_protocol::parse;
    use firndb::ingest::precision::Precision;

    use super::*;

    #[test]
    fn the_sample_is_line_protocol_up_to_now() {
        let now = 1_700_000_000_123_456_789;
        let text = sample(now);
        let parsed = parse(text.as_bytes(), Precision::Nanosecond, 0, |_| None);
        assert_eq!((parsed.batch.points.len(), parsed.error_count), (1080, 0));
        assert!(parsed.batch.points.iter().all(|p| p.timestamp < now));
    }
}
