//! The command line: exit codes, what stands on stdout, and the words of refusals.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::server::Server;

/// Runs `firndb` with arguments and text on stdin, in an environment without settings.
pub fn firndb(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_firndb"))
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut pipe = child.stdin.take().expect("stdin is a pipe");
    // A command that does not read its stdin may have ended.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("the command ends")
}

pub fn outcome(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

pub fn path(dir: &Path) -> &str {
    dir.to_str().expect("a UTF-8 path")
}

#[test]
fn settings_are_shown_and_refused() {
    let (code, out, _) =
        outcome(&firndb(&["config", "print", "--origins", "--wal-sync", "os"], ""));
    assert_eq!(code, Some(0));
    let line = |key: &str| {
        let line = out.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("wal.sync "), "wal.sync \"os\" flag --wal-sync");
    assert_eq!(line("http.addr "), "http.addr \"127.0.0.1:8086\" default");

    let (code, out, _) = outcome(&firndb(&["config", "example"], ""));
    assert_eq!(code, Some(0));
    assert!(out.contains("[wal]\n") && out.contains("#sync = \"always\"\n"));

    let cases: [(&[&str], &str); 4] = [
        (&["serve", "--set", "wal.snyc=os"], "did you mean \"wal.sync\"?"),
        (&["serve", "--memory-limit", "much"], "expected a size like 1GiB"),
        (&["serve", "--log-level", "no such=level"], "log.level"),
        (&["serve", "--config", "/no/such.toml"], "cannot read /no/such.toml"),
    ];
    for (args, words) in cases {
        let (code, out, err) = outcome(&firndb(args, ""));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.starts_with("firndb: ") && err.contains(words), "{args:?}: {err}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a file of this test")]
fn points_go_in_and_come_out_by_commands() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let address = server.url().to_owned();
    let url = ["--url", &address, "--db", "d"];
    let run = |head: &[&str], tail: &[&str], stdin: &str| {
        let args: Vec<&str> = [head, &url, tail].concat();
        outcome(&firndb(&args, stdin))
    };
    let text = "m,h=a f=1.5 1\nm,h=b f=2 2\n";
    assert_eq!(run(&["write"], &[], text), (Some(0), String::new(), String::new()));
    let (code, _, err) = run(&["write"], &["--precision", "s", "-"], "m f=3 3\nbad\n");
    assert_eq!(code, Some(1));
    assert!(err.contains("unable to parse 'bad': missing fields"), "{err}");

    let (code, out, _) = run(&["query", "--epoch", "ns"], &["SELECT f FROM m"], "");
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "m\ntime        f\n1           1.5\n2           2\n3000000000  3\n")
    );
    let (code, _, err) = run(&["query"], &["SELEC f FROM m"], "");
    assert_eq!(code, Some(1));
    assert!(err.contains("error parsing query"), "{err}");
    let (code, out, _) = run(&["query", "--format", "csv"], &["SELECT f FROM m LIMIT 1"], "");
    assert_eq!((code, out.lines().next()), (Some(0), Some("name,tags,time,f")));

    let out = tempfile::tempdir().expect("a folder");
    let file = out.path().join("m.csv");
    let some = ["--measurement", "m", "--from", "2", "--to", "never", "--format", "csv"];
    let to_file = [&some[..], &["--output", path(&file)]].concat();
    let (code, _, err) = run(&["export"], &to_file, "");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("parameter \"to\""), "{err}");
    let to_file: Vec<&str> =
        to_file.into_iter().map(|word| if word == "never" { "3000000000" } else { word }).collect();
    let (code, _, err) = run(&["export"], &to_file, "");
    assert_eq!(code, Some(0), "{err}");
    let text = std::fs::read_to_string(&file).expect("it was written");
    assert_eq!(text.lines().count(), 2, "a header, and the row at 2: {text}");
    let (code, _, err) = run(&["export"], &to_file, "");
    assert_eq!((code, err.contains("exists")), (Some(1), true), "{err}");

    let folder = out.path().join("all/");
    let day = 86_400_000_000_000_i64;
    let later = format!("m,h=a f=1 {day}\nother,h=a s=\"x\" {day}\n");
    assert_eq!(run(&["write"], &[], &later).0, Some(0));
    let (code, _, err) = run(&["export"], &["--output", path(&folder)], "");
    assert_eq!(code, Some(0), "{err}");
    for name in ["m/date=1970-01-01", "m/date=1970-01-02", "other/date=1970-01-02"] {
        let file = folder.join(format!("measurement={name}/part-0.parquet"));
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{name} is Parquet");
    }
    let csv = ["--format", "csv", "--output", path(&folder)];
    assert_eq!(run(&["export"], &csv, "").0, Some(2), "a folder is Parquet");

    // The server holds the lock.
    let (code, _, err) = outcome(&firndb(&["check", path(dir.path())], ""));
    assert_eq!(code, Some(5), "{err}");
    assert!(err.contains("locked by another process"), "{err}");
    let data = path(dir.path()).to_owned();
    let second = ["serve", "--http-addr", "127.0.0.1:0", "--data-dir", &data];
    let (code, _, err) = outcome(&firndb(&second, ""));
    assert_eq!(code, Some(5), "{err}");
    assert!(err.contains("choose another --data-dir"), "{err}");
    assert_eq!(server.stop(), Some(0), "a clean stop");

    let (code, out, err) = outcome(&firndb(&["check", &data], ""));
    assert_eq!((code, out.ends_with("ok\n")), (Some(0), true), "{out} {err}");
    let (code, _, _) = run(&["query"], &["SHOW DATABASES"], "");
    assert_eq!(code, Some(4), "nobody listens");
    let (code, _, _) = outcome(&firndb(&["check", "/no/such/folder"], ""));
    assert_eq!(code, Some(2));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "looks at the files of this test")]
fn a_check_changes_no_byte() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    for n in 0..20 {
        assert_eq!(server.post("/write?db=d", format!("m f={n} {n}").as_bytes()).status, 204);
    }
    assert_eq!(server.post("/api/v1/flush", b"").status, 204);
    assert_eq!(server.post("/write?db=d", b"m f=1 100").status, 204);
    server.kill_now();
    drop(server);
    let contents = || {
        let entries = std::fs::read_dir(dir.path()).expect("the folder can be listed");
        let mut files: Vec<_> = entries
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let bytes = std::fs::read(&path).expect("a file");
                (path, bytes)
            })
            .collect();
        files.sort();
        files
    };
    let before = contents();
    for flags in [&[][..], &["--quick"], &["--json"]] {
        let args = [&["check", path(dir.path())], flags].concat();
        let (code, out, err) = outcome(&firndb(&args, ""));
        assert_eq!(code, Some(0), "{out} {err}");
        assert!(contents() == before, "{args:?} changed a file");
    }
    let server = Server::start(dir.path(), &[]);
    let rows = server.query("d", "SELECT count(f) FROM m");
    assert_eq!(rows["series"][0]["values"][0][1], 21, "{rows}");
}
