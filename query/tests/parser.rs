//! InfluxQL texts and what the parser makes of them.

use firndb_query::influxql::{Param, Params, Statement, parse};

use super::case_file;

fn params() -> Params {
    [
        ("s", Param::String("it's".into())),
        ("n", Param::Integer(-5)),
        ("f", Param::Number(0.5)),
        ("b", Param::Boolean(true)),
        ("d", Param::Duration("5m".into())),
        ("r", Param::Regex("^a.*".into())),
        ("i", Param::Identifier("host".into())),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into()
}

/// The words that do not parse, and why: in the words of InfluxDB 1.x, place included.
#[test]
fn refused_texts() {
    case_file::run("refused.test", |case| {
        let text = case.input.replace("\\n", "\n");
        match parse(&text, &params()) {
            Ok(statements) => format!("parsed: {statements:?}"),
            Err(error) => error.to_string(),
        }
    });
}

/// Texts that parse, written out again.
#[test]
fn accepted_texts() {
    case_file::run("accepted.test", |case| match parse(case.input, &params()) {
        Ok(statements) => {
            let written = statements.iter().map(|(statement, _)| match statement {
                Statement::Select(select) => select.to_string(),
                other => format!("{other:?}"),
            });
            written.collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("refused: {error}"),
    });
}

/// Any text is answered with statements or an error, and a text made of the language's own words
/// reaches every corner of the parser.
#[test]
fn no_text_panics() {
    const WORDS: &[&str] = &[
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP BY",
        "time(",
        "(",
        ")",
        ",",
        "*",
        "::",
        "tag",
        "field",
        "mean(",
        "distinct",
        "'a'",
        "'",
        "\"b\"",
        "\"",
        "/x/",
        "/",
        "=~",
        "!~",
        "=",
        "<>",
        "!",
        "-",
        "+",
        "1",
        "2.5",
        "10s",
        "1\u{b5}",
        "$s",
        "$",
        "fill(",
        "null",
        "ORDER BY time DESC",
        "LIMIT",
        "OFFSET",
        "tz(",
        "SHOW",
        "TAG",
        "VALUES",
        "KEYS",
        "WITH",
        "KEY",
        "IN",
        "CREATE",
        "DATABASE",
        "RETENTION POLICY",
        "ON",
        "DURATION",
        "ALTER",
        "DROP",
        "SERIES",
        ";",
        ".",
        "..",
        "AND",
        "OR",
        "now()",
        "\u{e9}",
        "\\",
        "\n",
        "--",
        "/*",
        "*/",
        "INTO",
        "EXPLAIN",
        "AS",
        "true",
        "99999999999999999999",
        "0x",
        "e",
        "%",
        "&",
        "|",
        "^",
        ":",
        "#",
    ];
    let seed = 0x5eed_0001_u64;
    let mut state = seed;
    let mut random = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let params = params();
    for _ in 0..30_000 {
        let mut text = String::new();
        for _ in 0..random(25) {
            text.push_str(WORDS[random(WORDS.len())]);
            if random(3) > 0 {
                text.push(' ');
            }
        }
        let _ = parse(&text, &params);
        let bytes: Vec<u8> = (0..random(40)).map(|_| random(256) as u8).collect();
        let _ = parse(&String::from_utf8_lossy(&bytes), &params);
    }
}

/// What would exhaust the stack is refused; what is only long is not.
#[test]
fn depth_is_bounded_and_length_is_not() {
    let deep = [
        format!("SELECT {}a{} FROM m", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}a FROM m", "-(".repeat(100_000)),
        format!("SELECT {}a FROM m", "f(".repeat(100_000)),
        format!("SELECT a FROM {}m", "(SELECT a FROM ".repeat(100_000)),
        format!("SELECT a{} FROM m", " + a".repeat(100_000)),
        format!("SELECT a FROM m WHERE a{}", " = a".repeat(100_000)),
    ];
    for text in deep {
        let error = parse(&text, &Params::new()).expect_err("too deep");
        assert!(
            error.reason.contains("nested too deeply") || error.reason.contains("too many"),
            "{error}"
        );
    }
    let hosts: Vec<String> = (0..50_000).map(|i| format!("host = 'h{i}'")).collect();
    let long = format!("SELECT a FROM m WHERE {}", hosts.join(" OR "));
    assert_eq!(parse(&long, &Params::new()).map(|s| s.len()).ok(), Some(1));
}
