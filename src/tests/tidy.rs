//! The architecture invariants of ARCHITECTURE.md and the rules of style, held by a test.
//!
//! Each rule walks the tracked sources and gives one line per finding, with file and line, so
//! that a failure says what to mend. Limits only go down (see `LONG_FUNCTIONS`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest function that needs no argument, in lines: what fits a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions longer than that, with the length they had when they were let in: a ratchet.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

struct Source {
    path: PathBuf,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for top in ["src", "engine", "tsdb", "ingest", "query", "examples", "benches"] {
        walk(&root().join(top), &mut sources);
    }
    assert!(sources.len() > 20, "the walk found the sources");
    sources
}

#[expect(clippy::disallowed_methods, reason = "it walks our own sources")]
fn walk(dir: &Path, out: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "corpus" && name != "artifacts" {
                walk(&path, out);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let path = path.strip_prefix(root()).expect("below the root").to_owned();
            out.push(Source { path, text });
        }
    }
}

fn is_test_code(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.contains("/tests/") || path.ends_with("tests.rs") || path.starts_with("benches/")
}

/// Lines outside `#[cfg(test)] mod tests { .. }` at the end of a file.
fn production_lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let end = source.text.find("#[cfg(test)]\nmod ").unwrap_or(source.text.len());
    source.text[..end].lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn report(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn every_file_says_why_it_exists() {
    let lacks = rust_sources().into_iter().filter(|s| !s.text.starts_with("//! "));
    report("files without a module doc", lacks.map(|s| s.path.display().to_string()).collect());
}

#[test]
fn lines_fit_and_are_ascii() {
    let mut findings = Vec::new();
    for source in rust_sources() {
        for (index, line) in source.text.lines().enumerate() {
            let at = format!("{}:{}", source.path.display(), index + 1);
            if line.chars().count() > 100 && !line.contains('"') {
                findings.push(format!("{at}: {} columns", line.chars().count()));
            }
            if !line.is_ascii() && !is_test_code(&source.path) && !line.contains('"') {
                findings.push(format!("{at}: not ASCII"));
            }
        }
    }
    report("lines over 100 columns or not ASCII", findings);
}

#[test]
fn nothing_is_left_open() {
    // Spelled apart, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!("], ["unimpl", "emented!"]];
    let mut findings = Vec::new();
    for source in rust_sources() {
        for (index, line) in source.text.lines().enumerate() {
            for word in words.iter().map(|w| w.concat()) {
                if line.contains(&word) {
                    findings.push(format!("{}:{}: {word}", source.path.display(), index + 1));
                }
            }
        }
        let stem = source.path.file_stem().unwrap_or_default().to_string_lossy();
        if stem.ends_with("_v2") || ["utils", "common", "helpers", "misc"].contains(&&*stem) {
            findings.push(format!("{}: name", source.path.display()));
        }
    }
    report("left open, or named for nothing", findings);
}

#[test]
fn only_the_file_system_seam_touches_files() {
    let mut findings = Vec::new();
    for source in rust_sources().iter().filter(|s| !is_test_code(&s.path)) {
        let path = source.path.to_string_lossy();
        let is_below = !path.starts_with("src/") && !path.starts_with("examples/");
        if !is_below || path.starts_with("engine/src/fs/") {
            continue;
        }
        for (line, text) in production_lines(source) {
            let code = text.split("//").next().unwrap_or_default();
            if code.contains("std::fs") || code.contains("fs::File") && code.contains("std") {
                findings.push(format!("{path}:{line}: {}", text.trim()));
            }
        }
    }
    report("std::fs outside engine/src/fs/", findings);
}

#[test]
fn nothing_below_the_process_reads_a_clock_or_spawns_threads() {
    let mut findings = Vec::new();
    for source in rust_sources().iter().filter(|s| !is_test_code(&s.path)) {
        let path = source.path.to_string_lossy();
        if path.starts_with("src/") || path.starts_with("examples/") {
            continue;
        }
        for (line, text) in production_lines(source) {
            let code = text.split("//").next().unwrap_or_default();
            let clock = ["SystemTime::now", "Instant::now", "Utc::now", "Local::now"];
            let thread = ["thread::spawn", "thread::Builder", "thread::sleep"];
            let spawns = thread.iter().any(|w| code.contains(w));
            if clock.iter().any(|w| code.contains(w))
                || spawns && path != "engine/src/background.rs"
            {
                findings.push(format!("{path}:{line}: {}", text.trim()));
            }
        }
    }
    report("clocks and threads below src/", findings);
}

#[test]
fn dependency_trees_keep_to_their_floor() {
    let floors: [(&str, &[&str]); 4] = [
        ("firndb-engine", &["tokio", "axum", "arrow", "parquet", "chrono", "firndb-tsdb"]),
        ("firndb-tsdb", &["tokio", "axum", "arrow", "parquet", "firndb-ingest", "firndb-query"]),
        ("firndb-ingest", &["arrow", "parquet", "firndb-query"]),
        ("firndb-query", &["firndb-ingest"]),
    ];
    let mut findings = Vec::new();
    for (package, absent) in floors {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "-p", package])
            .current_dir(root())
            .output()
            .expect("cargo tree runs");
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let text = String::from_utf8_lossy(&tree.stdout);
        assert!(text.starts_with(package), "cargo tree printed the tree of {package}");
        for name in text.lines().filter_map(|line| line.split(' ').next()) {
            let is_absent = |a: &&&str| name == **a || name.starts_with(&format!("{a}-"));
            if let Some(word) = absent.iter().find(is_absent) {
                findings.push(format!("{package} depends on {name} ({word} belongs above it)"));
            }
        }
    }
    report("dependencies that break a wall", findings);
}

#[test]
fn functions_fit_a_screen() {
    let mut findings = Vec::new();
    for source in rust_sources().iter().filter(|s| !is_test_code(&s.path)) {
        for (name, length) in function_lengths(source) {
            let key = format!("{}::{name}", source.path.display());
            let allowed = LONG_FUNCTIONS.iter().find(|(k, _)| *k == key).map(|(_, n)| *n);
            if length > allowed.unwrap_or(FUNCTION_LINES_MAX) {
                findings.push(format!("{key}: {length} lines"));
            }
        }
    }
    report("functions over 70 lines", findings);
}

/// Functions and their lengths, by indentation: rustfmt closes a body where it opened it.
fn function_lengths(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = production_lines(source).map(|(_, line)| line).collect();
    let indent_of = |line: &str| line.len() - line.trim_start().len();
    let qualifiers = ["", "pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
    let mut out = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((before, after)) = line.trim_start().split_once("fn ") else { continue };
        if !before.split(' ').all(|word| qualifiers.contains(&word)) {
            continue;
        }
        let mut outer = lines[index..].iter().enumerate().filter(|(at, l)| {
            (*at == 0 || !l.trim().is_empty()) && indent_of(l) == indent_of(line)
        });
        let ends = |l: &str| l.ends_with(';') || l.ends_with('}');
        let closed = outer.find(|(_, l)| ends(l));
        if let Some((length, _)) = closed.filter(|(_, l)| l.ends_with('}')) {
            let name = after.split(['(', '<']).next().unwrap_or_default().to_owned();
            out.push((name, length + 1));
        }
    }
    out
}

#[test]
fn unsafe_stays_in_its_rooms() {
    // A hint to the processor; a list in an arena; a cursor that owns the list it borrows from; the
    // allocator's knob; LMDB maps a file.
    let rooms = [
        "engine/src/prefetch.rs",
        "engine/src/memtable/arena/",
        "engine/src/memtable/skiplist.rs",
        "src/allocator.rs",
        "benches/peers/src/engines/heed_.rs",
    ];
    let mut findings = Vec::new();
    for source in rust_sources() {
        let path = source.path.to_string_lossy();
        let word = ["unsafe", " {"].concat();
        if source.text.contains(&word) && !rooms.iter().any(|room| path.starts_with(room)) {
            findings.push(path.into_owned());
        }
    }
    report("unsafe code outside its modules", findings);
}

#[test]
fn no_text_names_a_machine() {
    // Spelled apart, so that this file does not find itself.
    let words = [["/wo", "rk/"], ["artif", "actory"], ["/tmp", "/wt"]].map(|word| word.concat());
    let tracked = Command::new("git").args(["ls-files"]).current_dir(root()).output();
    let Ok(tracked) = tracked else { return };
    let mut findings = Vec::new();
    for name in String::from_utf8_lossy(&tracked.stdout).lines() {
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        for (index, line) in text.lines().enumerate() {
            if words.iter().any(|w| line.contains(w.as_str())) {
                findings.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    report("paths and hosts of one machine", findings);
}
