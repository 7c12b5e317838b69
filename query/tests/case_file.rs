//! Cases in text files.
//!
//! ```text
//! # a comment
//! command [arguments]
//! input, any number of lines
//! ----
//! expected output, up to an empty line
//! ```
//!
//! With `REWRITE_CASES=1` in the environment the files are written anew from what the code answers:
//! look at the difference before keeping it.

use std::fmt::Write;
use std::path::Path;

/// A case: the command and its arguments, and the input.
pub struct Case<'a> {
    pub command: &'a str,
    pub input: &'a str,
}

/// Runs every case of `tests/cases/<name>` through `answer`.
pub fn run(name: &str, mut answer: impl FnMut(&Case<'_>) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    #[expect(clippy::disallowed_methods, reason = "test data is a file")]
    let bytes = std::fs::read(&path).expect("the case file");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let mut rewritten = String::new();
    let mut wrong = String::new();
    for block in text.split("\n\n") {
        let mut lines = block.trim_matches('\n');
        while lines.starts_with('#') {
            let (comment, rest) = lines.split_once('\n').unwrap_or((lines, ""));
            let _ = writeln!(rewritten, "{comment}");
            lines = rest;
        }
        if lines.is_empty() {
            rewritten.push('\n');
            continue;
        }
        let (command, rest) = lines.split_once('\n').expect("an input after the command");
        let (input, expected) = match rest.strip_prefix("----") {
            Some(expected) => ("", expected),
            None => rest.split_once("\n----").expect("a line of dashes"),
        };
        let got = answer(&Case { command, input });
        let got = got.trim_end();
        assert!(!got.contains("\n\n"), "an empty line would end the case: {got:?}");
        let expected = expected.trim_matches('\n');
        if got != expected {
            let _ =
                write!(wrong, "{command}\n{input}\n---- expected\n{expected}\n---- got\n{got}\n\n");
        }
        let separator = if input.is_empty() { "" } else { "\n" };
        let _ = write!(rewritten, "{command}\n{input}{separator}----\n{got}\n\n");
    }
    if std::env::var_os("REWRITE_CASES").is_some() {
        let rewritten = format!("{}\n", rewritten.trim_end());
        #[expect(clippy::disallowed_methods, reason = "test data is a file")]
        std::fs::write(&path, rewritten).expect("the case file");
        return;
    }
    assert!(wrong.is_empty(), "{name} differs:\n\n{wrong}");
}
