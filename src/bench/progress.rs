//! Tells on stderr how far a bench is.

use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::report::time;
use super::run::{Load, SECOND_NS};
use crate::cli::complain;

/// Time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(200);

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A bar on a terminal, else a line now and then, see --interval.
    Auto,
    /// A bar.
    Bar,
    /// Lines.
    Plain,
    /// Not at all.
    None,
}

/// Tells how far it is until all connections are done.
pub fn tell(load: &Load<'_>, start_ns: u64) {
    use std::io::IsTerminal;
    let args = load.args;
    let is_bar = match args.progress {
        Progress::Auto => std::io::stderr().is_terminal(),
        Progress::Bar => true,
        Progress::Plain | Progress::None => false,
    };
    let is_plain = !is_bar && args.progress != Progress::None;
    let length = args.ops.unwrap_or((args.warmup + args.duration) / 1_000_000);
    let bar = if is_bar { ProgressBar::new(length) } else { ProgressBar::hidden() };
    let style = "{elapsed_precise} [{bar:32}] {percent:>3}%  {msg}  eta {eta}";
    bar.set_style(ProgressStyle::with_template(style).expect("a template of ours"));
    let (mut line_ns, mut before) = (0, 0);
    // Of the last second, or of the time since the last line.
    let mut p99 = "-".to_owned();
    while !load.is_over.load(Ordering::Acquire) {
        std::thread::park_timeout(LOOK.min(Duration::from_nanos(args.interval)));
        let done = load.done.load(Ordering::Relaxed);
        let errors = load.errors.load(Ordering::Relaxed);
        let ns = load.clock.monotonic_ns().saturating_sub(start_ns).max(1);
        let position = if args.ops.is_some() { done } else { ns / 1_000_000 };
        bar.set_position(position.min(length));
        let is_line = is_plain && ns >= line_ns + args.interval;
        if (is_bar || is_line)
            && let Some(ns) = load.seconds.recent_p99_ns()
        {
            p99 = time(ns);
        }
        bar.set_message(format!("{} ops/s  p99 {p99}  errors {errors}", rate(done, ns)));
        if is_line {
            let of_line = rate(done - before, ns - line_ns);
            let seconds = ns as f64 / SECOND_NS as f64;
            complain(&format!(
                "{seconds:.0} s: {done} operations, {of_line} ops/s, p99 {p99}, {errors} errors"
            ));
            (line_ns, before) = (ns, done);
        }
    }
    bar.finish_and_clear();
}

fn rate(count: u64, ns: u64) -> u64 {
    (u128::from(count) * u128::from(SECOND_NS) / u128::from(ns.max(1))) as u64
}
