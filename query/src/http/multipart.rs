//! `multipart/form-data` bodies: the names and texts of their parts, files too.
//!
//! ```text
//! --BOUNDARY \r\n headers \r\n\r\n content \r\n --BOUNDARY ... \r\n --BOUNDARY--
//! ```

use super::request::Pairs;

/// The boundary that a Content-Type names.
pub fn boundary(content_type: &str) -> Option<String> {
    let rest = content_type.strip_prefix("multipart/form-data")?;
    let value = rest.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    let value = value.trim_matches('"');
    (!value.is_empty()).then(|| value.to_string())
}

/// Adds the parts of `body`. What is not a part is left out.
pub fn parse(body: &[u8], boundary: &str, pairs: &mut Pairs) {
    let delimiter = format!("--{boundary}");
    let Some(begin) = find(body, delimiter.as_bytes()) else { return };
    let mut rest = &body[begin + delimiter.len()..];
    let delimiter = format!("\r\n{delimiter}");
    while let Some(end) = find(rest, delimiter.as_bytes()) {
        if let Some((name, value)) = part(&rest[..end]) {
            pairs.0.push((name, value));
        }
        rest = &rest[end + delimiter.len()..];
    }
}

/// Name and content of a part: the bytes after its boundary.
fn part(bytes: &[u8]) -> Option<(String, String)> {
    let bytes = bytes.strip_prefix(b"\r\n")?;
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let name = head.lines().find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.eq_ignore_ascii_case("content-disposition").then_some(())?;
        let name = value.split(';').find_map(|p| p.trim().strip_prefix("name="))?;
        Some(name.trim_matches('"').to_string())
    })?;
    Some((name, String::from_utf8_lossy(&bytes[end + 4..]).into_owned()))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_files() {
        let kind = "multipart/form-data; boundary=\"xx\"";
        let boundary = boundary(kind).unwrap();
        let body = "preamble\r\n--xx\r\nContent-Disposition: form-data; name=\"db\"\r\n\r\nd\r\n\
                    --xx\r\nContent-Disposition: form-data; name=\"q\"; filename=\"q.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\nSHOW\r\nDATABASES\r\n--xx--\r\n";
        let mut pairs = Pairs::default();
        parse(body.as_bytes(), &boundary, &mut pairs);
        let expected = [("db", "d"), ("q", "SHOW\r\nDATABASES")];
        assert_eq!(pairs.0, expected.map(|(name, value)| (name.to_string(), value.to_string())));
    }

    #[test]
    fn broken_bodies_have_no_parts() {
        for body in ["", "--xx", "--xx\r\n", "--xx\r\n\r\n\r\n--xx--", "\r\n--xx\r\nname=q\r\n--xx"]
        {
            let mut pairs = Pairs::default();
            parse(body.as_bytes(), "xx", &mut pairs);
            assert!(pairs.0.is_empty(), "{body:?}");
        }
        assert_eq!(boundary("application/json"), None);
        assert_eq!(boundary("multipart/form-data"), None);
    }
}
