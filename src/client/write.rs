//! `firndb write`: line protocol from a file or stdin to a server.
//!
//! Sent in requests of some thousand lines, cut where lines end. Bad lines are told and counted;
//! the good ones of the same request are stored, and sending goes on.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use firndb::engine::fs;
use firndb::engine::fs::real::RealFs;
use firndb::ingest::line_protocol::line_end;
use indicatif::{ProgressBar, ProgressStyle};

use super::{ServerArgs, accepted, agent, message_of};
use crate::cli::{Exit, complain};

/// Bytes of a request: some 10,000 lines, well below the server's limit.
const REQUEST_BYTES: usize = 2 << 20;

/// Arguments of `firndb write`.
#[derive(Debug, Args)]
pub struct WriteArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Database; created when it does not exist.
    #[arg(long)]
    db: String,
    /// Retention policy; the default one when left out.
    #[arg(long)]
    rp: Option<String>,
    /// Unit of the timestamps: ns, us, ms, s, m, h.
    #[arg(long, default_value = "ns")]
    precision: String,
    /// File with line protocol; `-` for stdin.
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// Runs the command.
pub fn run(args: &WriteArgs) -> Exit {
    let text = match read(args) {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("cannot read {}: {error}", args.file.display()));
            return Exit::Failed;
        }
    };
    let bar = progress_bar(text.len() as u64);
    let agent = agent();
    let mut has_refusals = false;
    for part in requests(&text) {
        let mut request = agent
            .post(args.server.at("/write"))
            .query("db", &args.db)
            .query("precision", &args.precision);
        if let Some(rp) = &args.rp {
            request = request.query("rp", rp);
        }
        match request.send(part) {
            Ok(mut answer) if answer.status().as_u16() == 400 => {
                let body = answer.body_mut().read_to_string().unwrap_or_default();
                bar.suspend(|| complain(&message_of(&body)));
                has_refusals = true;
            }
            answer => {
                if let Err(exit) = accepted(&args.server, answer) {
                    return exit;
                }
            }
        }
        bar.inc(part.len() as u64);
    }
    bar.finish_and_clear();
    if has_refusals { Exit::Failed } else { Exit::Done }
}

/// Sends one text with times in nanoseconds.
pub fn send_once(url: &str, db: &str, text: &[u8]) -> Result<(), String> {
    let answer = agent().post(format!("{url}/write")).query("db", db).send(text);
    let mut answer = answer.map_err(|error| format!("cannot reach {url}: {error}"))?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(message_of(&answer.body_mut().read_to_string().unwrap_or_default()))
}

fn read(args: &WriteArgs) -> std::io::Result<Vec<u8>> {
    if args.file.as_os_str() != "-" {
        return fs::read_all(&RealFs, &args.file);
    }
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

/// Parts of about [`REQUEST_BYTES`], each of whole lines.
fn requests(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        at = line_end(text, at);
        if at - start >= REQUEST_BYTES || at >= text.len() {
            parts.push(&text[start..at]);
            start = at;
        }
    }
    parts
}

/// A bar on a terminal; nothing elsewhere.
pub(super) fn progress_bar(bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    ProgressBar::new(bytes).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_where_lines_end() {
        let line = format!("m f=\"a\nb{}\" 1\n", "x".repeat(1000));
        let text = line.repeat(5000);
        let parts = requests(text.as_bytes());
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.concat(), text.as_bytes());
        for part in parts {
            assert_eq!(part.len() % line.len(), 0);
        }
        assert_eq!(requests(b"m f=1"), [b"m f=1"]);
        assert!(requests(b"").is_empty());
    }
}
