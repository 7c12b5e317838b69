//! Order of the sources, and the words of every mistake.

use super::settings::Settings;
use super::value::{Kind, duration_ns, percent, size};
use super::*;
use firndb::engine::fs::real::RealFs;

const GIB: u64 = 1 << 30;

fn load(
    file: Option<&Path>,
    env: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let env =
        |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let flags: Vec<_> = flags
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), format!("--set {k}={v}")))
        .collect();
    Config::load(&Sources { fs: &RealFs, file, env: &env, flags: &flags })
}

fn load_text(text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::defaults();
    config.read_toml(Path::new("f.toml"), text).map(|()| config)
}

#[test]
fn later_sources_win_and_origins_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.toml");
    let text = b"[http]\naddr = \"0.0.0.0:1\"\n\n[wal]\nsync = \"os\"\nsegment_bytes = 65536\n";
    let file = RealFs.create(&path).unwrap();
    fs::write_all_at(&*file, text, 0).unwrap();
    let env = [("FIRNDB_WAL_SYNC", "interval"), ("FIRNDB_LOG_LEVEL", "debug")];
    let config = load(Some(&path), &env, &[("log.level", "warn")]).unwrap();
    let origin = |key: &str| {
        let (_, value, origin) = config.iter().find(|(s, ..)| s.key == key).unwrap();
        format!("{value} {origin}")
    };
    let place = path.display();
    assert_eq!(origin("http.addr"), format!("0.0.0.0:1 {place}:2"));
    assert_eq!(origin("wal.sync"), "interval env FIRNDB_WAL_SYNC");
    assert_eq!(origin("wal.segment_bytes"), format!("65536 {place}:6"));
    assert_eq!(origin("log.level"), "warn flag --set log.level=warn");
    assert_eq!(origin("data.dir"), "firndb-data default");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let cases = [
        (
            "[http]\nadr = \"x\"",
            "unknown setting \"http.adr\"; did you mean \"http.addr\"?\n  --> f.toml:2\n  |\n2 | \
             adr = \"x\"\n  | ^^^",
        ),
        (
            "[htp]\naddr = 1",
            "unknown setting \"htp\"; `firndb config example` lists them all\n  --> f.toml:1\n  \
             |\n1 | [htp]\n  |  ^^^",
        ),
        (
            "[wal]\n\n  sync = \"never\"",
            "wal.sync = \"never\": expected one of always, interval, os\n  from f.toml:3\n  --> \
             f.toml:3\n  |\n3 |   sync = \"never\"\n  |   ^^^^",
        ),
        (
            "[http]\naddr = [1]",
            "http.addr must be a text, a number, true or false\n  --> f.toml:2\n  |\n2 | addr = \
             [1]\n  | ^^^^",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(load_text(text).unwrap_err().0, expected, "{text}");
    }
    assert!(load_text("[http\n").unwrap_err().0.starts_with("f.toml is not TOML: "));
    assert_eq!(
        load(None, &[("FIRNDB_HTTP_DRAIN", "5")], &[]).unwrap_err().0,
        "http.drain = \"5\": expected a duration like 250ms, 30s, 1h30m or 7d\n  from env \
         FIRNDB_HTTP_DRAIN"
    );
    assert_eq!(
        load(None, &[], &[("memory.limt", "1")]).unwrap_err().0,
        "unknown setting \"memory.limt\"; did you mean \"memory.limit\"?\n  in --set memory.limt=1"
    );
    assert!(load(Some(Path::new("/no/such.toml")), &[], &[]).is_err());
}

#[test]
fn every_default_is_a_value_and_every_setting_is_used() {
    for setting in SETTINGS {
        assert_eq!(setting.kind.check(setting.default), Ok(()), "{}", setting.key);
        assert!(setting.help.ends_with('.'), "{}", setting.key);
    }
    let settings = Settings::of(&Config::defaults(), 4 * GIB).unwrap();
    assert_eq!(settings.memory_bytes / 1000, 2 * GIB / 1000);
    assert_eq!(settings.memtable_bytes, 48 << 20);
    let used = include_str!("settings.rs");
    for setting in SETTINGS {
        assert!(used.contains(&format!("\"{}\"", setting.key)), "{} is used", setting.key);
    }
}

#[test]
fn memory_that_does_not_fit_is_refused() {
    let config = load(None, &[], &[("memory.limit", "1GiB"), ("storage.cache_bytes", "2GiB")]);
    let error = Settings::of(&config.unwrap(), GIB).unwrap_err();
    assert!(error.0.contains("more than memory.limit"), "{error}");
}

#[test]
fn values() {
    for (text, bytes) in [
        ("0", Some(0)),
        ("4096", Some(4096)),
        ("64MiB", Some(64 << 20)),
        ("64 MiB", Some(64 << 20)),
        ("512MB", Some(512_000_000)),
        ("1.5k", Some(1536)),
        ("1.5", None),
        ("-1", None),
        ("MiB", None),
        ("1XB", None),
        ("99999999999TiB", None),
    ] {
        assert_eq!(size(text), bytes, "{text}");
    }
    for (text, ns) in [
        ("0", Some(0)),
        ("1s", Some(1_000_000_000)),
        ("1h30m", Some(5_400_000_000_000)),
        ("7d", Some(604_800_000_000_000)),
        ("5", None),
        ("s", None),
        ("", None),
        ("1 s", None),
        ("99999999999999w", None),
    ] {
        assert_eq!(duration_ns(text), ns, "{text}");
    }
    assert_eq!((percent("25%"), percent("0%"), percent("101%")), (Some(25), None, None));
    assert!(Kind::Memory.check("0").is_err());
}
