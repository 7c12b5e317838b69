//! What the documents name exists: metrics, settings, commands.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::commands::{firndb, outcome};
use super::server::Server;

fn document(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(path).expect("a document")
}

/// Words of a text that begin so.
fn words(text: &str, start: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with(start));
    words.map(|word| word.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn metrics_and_settings_of_the_tuning_guide_exist() {
    let guide = document("tuning.md");
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let metrics = server.get("/metrics");
    let metrics = metrics.text();
    let named = words(&guide, "firndb_");
    assert!(named.len() > 8, "the guide names metrics: {named:?}");
    for name in named {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "no metric {name}");
    }
    let (_, settings, _) = outcome(&firndb(&["config", "print"], ""));
    for section in ["storage.", "wal.", "memory."] {
        for name in words(&guide, section) {
            assert!(settings.contains(&format!("{name} ")), "no setting {name}");
        }
    }
}

#[test]
fn commands_of_the_documents_exist() {
    for name in ["tuning.md", "formats.md", "kv.md"] {
        let text = document(name);
        for after in text.split("firndb ").skip(1) {
            let mut words = after.split([' ', '`', '\n', '|', '\\', ';']);
            let command = words.next().unwrap_or_default();
            if command.is_empty() || !command.chars().all(|c| c.is_ascii_lowercase()) {
                continue;
            }
            let (code, _, err) = outcome(&firndb(&[command, "--help"], ""));
            assert_eq!(code, Some(0), "{name}: firndb {command}: {err}");
        }
    }
}
