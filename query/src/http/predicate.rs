//! The predicate of `POST /api/v2/delete`.
//!
//! ```text
//! predicate  := comparison [AND comparison ..]      parentheses around any of it
//! comparison := key (= | ==  | !=) value            key and value bare or in quotes
//! ```
//!
//! `_measurement` and `_field` are names; any other key is a tag. InfluxDB 2.x knows no `OR` and
//! refuses `_field`; here a field may be named, and then it alone goes.

use firndb_tsdb::model::TagPredicate;

/// What a predicate means.
#[derive(Debug, Clone, Default)]
pub struct Predicate {
    /// Measurements: `_measurement` is this, or is not.
    measurements: Vec<(String, bool)>,
    /// Conditions on tags; all must hold.
    pub tags: Vec<TagPredicate>,
    /// `_field`; empty: whole rows.
    pub fields: Vec<String>,
}

impl Predicate {
    /// Whether points of this measurement are meant.
    pub fn is_of(&self, measurement: &str) -> bool {
        self.measurements.iter().all(|(name, is_it)| (name == measurement) == *is_it)
    }
}

/// Reads a predicate; the error says what is wrong with it.
pub fn parse(text: &str) -> Result<Predicate, String> {
    let mut reader = Reader { text, at: 0 };
    let mut predicate = Predicate::default();
    let mut depth = 0usize;
    if reader.peek().is_none() {
        return Ok(predicate);
    }
    loop {
        while reader.accept("(") {
            depth += 1;
        }
        reader.comparison(&mut predicate)?;
        while depth > 0 && reader.accept(")") {
            depth -= 1;
        }
        if reader.peek().is_none() {
            return match depth {
                0 => Ok(predicate),
                _ => Err(format!("extra ( seen at position {}", reader.at)),
            };
        }
        let at = reader.at;
        match reader.word("")?.to_ascii_uppercase().as_str() {
            "AND" => {}
            "OR" => {
                return Err(format!(
                    "the logical operator OR is not supported yet at position {at}"
                ));
            }
            other => return Err(format!("bad logical expression, at position {at}: {other:?}")),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next character that is no blank; stands at it.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn accept(&mut self, sign: &str) -> bool {
        self.peek();
        let found = self.text[self.at..].starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    fn comparison(&mut self, predicate: &mut Predicate) -> Result<(), String> {
        let key = self.word("key")?;
        let at = self.at;
        let is_equal = match (self.accept("!="), self.accept("=~"), self.accept("==")) {
            (true, ..) => false,
            (_, true, _) => {
                return Err(format!("operator: \"=~\" at position: {at} is not supported yet"));
            }
            (_, _, true) => true,
            _ if self.accept("=") => true,
            _ => return Err(format!("invalid operator, at position: {at}")),
        };
        let value = self.word("value")?;
        match key.as_str() {
            "_measurement" => predicate.measurements.push((value, is_equal)),
            "_field" if !is_equal => {
                return Err(format!(
                    "operator: \"!=\" at position: {at} is not supported for _field"
                ));
            }
            "_field" => predicate.fields.push(value),
            _ if is_equal => predicate.tags.push(TagPredicate::Equal(key, value)),
            _ => predicate.tags.push(TagPredicate::NotEqual(key, value)),
        }
        Ok(())
    }

    /// A word, bare or in quotes, where a backslash takes the next character as it is.
    fn word(&mut self, what: &str) -> Result<String, String> {
        let start = self.peek().map(|first| (first, self.at));
        let Some((first, start)) = start else {
            return Err(format!("bad {what}: the predicate ends early"));
        };
        let mut word = String::new();
        if !matches!(first, '"' | '\'') {
            let is_bare = |c: char| !c.is_whitespace() && !"=!()\"'<>~".contains(c);
            word.extend(self.text[start..].chars().take_while(|c| is_bare(*c)));
            self.at += word.len();
            return match word.is_empty() {
                true => Err(format!("bad {what} at position {start}")),
                false => Ok(word),
            };
        }
        let mut chars = self.text[start + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => word.extend(chars.next().map(|(_, c)| c)),
                c if c == first => {
                    self.at = start + 1 + at + c.len_utf8();
                    return Ok(word);
                }
                c => word.push(c),
            }
        }
        Err(format!("bad {what}: a quote at position {start} has no end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates() {
        type Case =
            (&'static str, &'static [(&'static str, bool)], &'static str, &'static [&'static str]);
        let cases: [Case; 8] = [
            ("", &[], "[]", &[]),
            ("  ", &[], "[]", &[]),
            (r#"_measurement="m""#, &[("m", true)], "[]", &[]),
            (
                r#"_measurement = 'm n' AND host="a" and zone != "z""#,
                &[("m n", true)],
                r#"[Equal("host", "a"), NotEqual("zone", "z")]"#,
                &[],
            ),
            (r#"(host="a") AND (_field="f")"#, &[], r#"[Equal("host", "a")]"#, &["f"]),
            (r#"((h=a AND _measurement!="m"))"#, &[("m", false)], r#"[Equal("h", "a")]"#, &[]),
            (r#""my tag"=="a \"b\"""#, &[], r#"[Equal("my tag", "a \"b\"")]"#, &[]),
            ("t=\"\u{e9}\"", &[], "[Equal(\"t\", \"\u{e9}\")]", &[]),
        ];
        for (text, measurements, tags, fields) in cases {
            let found = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let named: Vec<_> =
                found.measurements.iter().map(|(n, is)| (n.as_str(), *is)).collect();
            assert_eq!(named, measurements, "{text}");
            assert_eq!(format!("{:?}", found.tags), tags, "{text}");
            assert_eq!(found.fields, fields, "{text}");
        }
    }

    #[test]
    fn refused() {
        let cases = [
            (
                r#"host="a" OR host="b""#,
                "the logical operator OR is not supported yet at position 9",
            ),
            (r#"host=~"a""#, "operator: \"=~\" at position: 4 is not supported yet"),
            (r#"_field!="a""#, "operator: \"!=\" at position: 6 is not supported for _field"),
            (r#"(host="a""#, "extra ( seen at position 9"),
            (r#"host="a")"#, "bad  at position 8"),
            (r#"host="a"#, "bad value: a quote at position 5 has no end"),
            ("host", "invalid operator, at position: 4"),
            ("host >5", "invalid operator, at position: 4"),
            ("host=", "bad value: the predicate ends early"),
            (r#"host="a" AND"#, "bad key: the predicate ends early"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
        for cut in 0..30 {
            let text = r#"a="\u{e9}\\" AND (_field='x')"#;
            let _ = text.get(..cut).map(parse);
        }
    }
}
