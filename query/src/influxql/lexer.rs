//! Text to tokens, on demand: the parser says where a pattern may stand, and asks for it by name.
//!
//! Tokens carry byte offsets; lines and characters are counted only when an error is written.
//! Places are those of InfluxDB 1.x, which tools and people compare: a token in quotes is placed
//! one character before its quote, and the end of the text one further when a name or a look-ahead
//! has already run into it.

use std::borrow::Cow;

use super::keyword::Keyword;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token<'a> {
    /// The end of the text.
    End,
    /// A name, quoted or not.
    Ident(Cow<'a, str>),
    /// A word of the language.
    Keyword(Keyword),
    /// Text in single quotes.
    String(Cow<'a, str>),
    /// Digits.
    Integer(Cow<'a, str>),
    /// Digits with a point.
    Number(Cow<'a, str>),
    /// Digits and units; not checked yet.
    Duration(Cow<'a, str>),
    /// A pattern handed in as a parameter.
    Regex(String),
    /// `$name`
    Parameter(Cow<'a, str>),
    /// An operator or other punctuation.
    Sign(&'static str),
    /// One or more blanks; only [`Lexer::token_or_blank`] gives them.
    Blank,
    /// Text whose quote does not end.
    BadString(Cow<'a, str>),
    /// An escape that is not one.
    BadEscape(String),
    /// A character that begins nothing.
    Illegal(char),
}

impl Token<'_> {
    /// Whether it is a name that reads `word`, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Ident(name) if name.eq_ignore_ascii_case(word))
    }

    /// The token as error messages show it.
    pub fn found(&self) -> String {
        let or = |text: &str, kind: &str| if text.is_empty() { kind.into() } else { text.into() };
        match self {
            Token::End => "EOF".into(),
            Token::Ident(text) => or(text, "IDENT"),
            Token::Keyword(keyword) => keyword.text().into(),
            Token::String(text) => or(text, "STRING"),
            Token::Integer(text) | Token::Number(text) | Token::Duration(text) => text.to_string(),
            Token::Parameter(text) => format!("${text}"),
            Token::Regex(text) | Token::BadEscape(text) => text.clone(),
            Token::Sign(text) => (*text).into(),
            Token::Blank => " ".into(),
            Token::BadString(text) => or(text, "BADSTRING"),
            Token::Illegal(c) => c.to_string(),
        }
    }
}

/// A token and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Lexed<'a> {
    /// The token.
    pub token: Token<'a>,
    /// Where messages place it: a byte offset, which may lie past the end of the text.
    pub at: usize,
}

/// A pattern that does not end.
#[derive(Debug, PartialEq, Eq)]
pub struct BadRegex;

/// Reads tokens from a text. A copy is a place to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Lexer<'a> {
    text: &'a str,
    offset: usize,
    end_was_read: bool,
}

impl<'a> Lexer<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Lexer { text, offset: 0, end_was_read: false }
    }

    /// Byte offset of the next token.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether something has run into the end of the text and not stepped back from it.
    pub fn end_was_read(&self) -> bool {
        self.end_was_read
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn second(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset + 1).copied()
    }

    fn skip_while(&mut self, mut wanted: impl FnMut(u8) -> bool) {
        while self.peek().is_some_and(&mut wanted) {
            self.offset += 1;
        }
    }

    /// Skips blanks and comments. A comment that does not end runs to the end of the text.
    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(is_blank);
            let rest = &self.text[self.offset..];
            let (opening, closing) = match rest.as_bytes() {
                [b'-', b'-', ..] => ("--", "\n"),
                [b'/', b'*', ..] => ("/*", "*/"),
                _ => return,
            };
            self.offset = match rest[2..].find(closing) {
                Some(at) => self.offset + opening.len() + at + closing.len(),
                None => self.text.len(),
            };
        }
    }

    /// The next token after blanks and comments.
    pub fn token(&mut self) -> Lexed<'a> {
        self.skip_blanks();
        self.token_or_blank()
    }

    /// The next token; blanks are one too.
    pub fn token_or_blank(&mut self) -> Lexed<'a> {
        let at = self.offset;
        let Some(byte) = self.peek() else {
            let past = usize::from(std::mem::replace(&mut self.end_was_read, true));
            return Lexed { token: Token::End, at: at + past };
        };
        let token = match byte {
            b'"' | b'a'..=b'z' | b'A'..=b'Z' | b'_' => return self.name(true),
            b'\'' => {
                let token = self.quoted(Token::String);
                return Lexed { at: self.quoted_at(&token, self.before(at)), token };
            }
            b'0'..=b'9' => self.number(),
            b'.' if self.second().is_some_and(|b| b.is_ascii_digit()) => self.number(),
            b'$' => {
                self.offset += 1;
                match self.name(false).token {
                    Token::Ident(name) => Token::Parameter(name),
                    bad => bad,
                }
            }
            _ if is_blank(byte) => {
                self.skip_while(is_blank);
                Token::Blank
            }
            _ => self.sign(),
        };
        Lexed { token, at }
    }

    /// Where a token in quotes is placed: at its bad escape, or as usual.
    fn quoted_at(&self, token: &Token<'_>, usual: usize) -> usize {
        if matches!(token, Token::BadEscape(_)) { self.offset } else { usual }
    }

    /// The offset of the character before `at`, or `at` at the beginning.
    fn before(&self, at: usize) -> usize {
        self.text[..at].char_indices().next_back().map_or(at, |(before, _)| before)
    }

    fn sign(&mut self) -> Token<'a> {
        const SIGNS: [&str; 25] = [
            "=~", "!~", "!=", "<>", "<=", ">=", "::", "=", "<", ">", "+", "-", "*", "/", "%", "&",
            "|", "^", "(", ")", ",", ";", ".", ":", "",
        ];
        let rest = &self.text[self.offset..];
        let sign = SIGNS.into_iter().find(|s| rest.starts_with(s)).unwrap_or("");
        self.offset += sign.len();
        if !sign.is_empty() {
            return Token::Sign(if sign == "<>" { "!=" } else { sign });
        }
        let illegal = rest.chars().next().unwrap_or('\u{fffd}');
        self.offset += illegal.len_utf8();
        Token::Illegal(illegal)
    }

    /// A name; a word of the language when `keywords` and not in quotes. Without a single letter
    /// it is the empty name, which only a lone `$` leads to.
    fn name(&mut self, keywords: bool) -> Lexed<'a> {
        let at = self.offset;
        if self.peek() == Some(b'"') {
            let token = self.quoted(Token::Ident);
            let good = matches!(token, Token::Ident(_));
            let at = self.quoted_at(&token, if good { at } else { self.before(at) });
            return Lexed { token, at };
        }
        self.skip_while(|b| b.is_ascii_alphanumeric() || b == b'_');
        self.end_was_read |= self.offset == self.text.len();
        let name = &self.text[at..self.offset];
        let token = match Keyword::of(name).filter(|_| keywords) {
            Some(keyword) => Token::Keyword(keyword),
            None => Token::Ident(name.into()),
        };
        Lexed { token, at }
    }

    /// Text in quotes of the kind that stands here.
    fn quoted(&mut self, good: fn(Cow<'a, str>) -> Token<'a>) -> Token<'a> {
        let quote = self.text.as_bytes()[self.offset];
        self.offset += 1;
        let mut unescaped = String::new();
        let mut from = self.offset;
        loop {
            self.skip_while(|b| b != quote && b != b'\\' && b != b'\n');
            let run = &self.text[from..self.offset];
            match self.peek() {
                Some(b'\\') => {
                    unescaped.push_str(run);
                    self.offset += 1;
                    let escaped = self.text[self.offset..].chars().next();
                    let Some(c) = unescape(escaped) else {
                        return Token::BadEscape(format!("\\{}", escaped.unwrap_or('\0')));
                    };
                    unescaped.push(c);
                    self.offset += 1; // every escape is one byte
                    from = self.offset;
                }
                end => {
                    let text = if unescaped.is_empty() {
                        Cow::Borrowed(run)
                    } else {
                        Cow::Owned(unescaped + run)
                    };
                    if end != Some(quote) {
                        self.end_was_read |= end.is_none();
                        return Token::BadString(text);
                    }
                    self.offset += 1;
                    return good(text);
                }
            }
        }
    }

    fn number(&mut self) -> Token<'a> {
        let from = self.offset;
        let unit = |b: u8| b.is_ascii_alphabetic() || b == 0xc2 || b == 0xb5; // and the micro sign
        self.skip_while(|b| b.is_ascii_digit());
        if self.peek() == Some(b'.') && self.second().is_some_and(|b| b.is_ascii_digit()) {
            self.offset += 1;
            self.skip_while(|b| b.is_ascii_digit());
            return Token::Number(self.text[from..self.offset].into());
        }
        if self.text[self.offset..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '\u{b5}')
        {
            self.skip_while(|b| unit(b) || b.is_ascii_digit());
            while !self.text.is_char_boundary(self.offset) {
                self.offset -= 1; // another character that shares a byte with the micro sign
            }
            return Token::Duration(self.text[from..self.offset].into());
        }
        Token::Integer(self.text[from..self.offset].into())
    }

    /// A pattern between slashes, if a slash comes next after blanks. `\/` stands for a slash.
    pub fn regex(&mut self) -> Option<Result<(String, usize), (BadRegex, usize)>> {
        let back = self.offset;
        self.skip_while(is_blank);
        if self.peek() != Some(b'/') {
            self.end_was_read |= self.peek().is_none();
            self.offset = back;
            return None;
        }
        let at = self.before(self.offset);
        self.offset += 1;
        let mut pattern = String::new();
        let mut from = self.offset;
        loop {
            self.skip_while(|b| b != b'/' && b != b'\\' && b != b'\n');
            pattern.push_str(&self.text[from..self.offset]);
            match (self.peek(), self.second()) {
                (Some(b'/'), _) => {
                    self.offset += 1;
                    return Some(Ok((pattern, at)));
                }
                (Some(b'\\'), Some(b'/')) => {
                    pattern.push('/');
                    self.offset += 2;
                }
                (Some(b'\\'), Some(_)) => {
                    pattern.push('\\');
                    self.offset += 1;
                    // What follows is no end, whatever it is.
                    let escaped = self.text[self.offset..].chars().next().unwrap_or('\n');
                    pattern.push(escaped);
                    self.offset += escaped.len_utf8();
                }
                _ => return Some(Err((BadRegex, at))),
            }
            from = self.offset;
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn unescape(escaped: Option<char>) -> Option<char> {
    match escaped? {
        'n' => Some('\n'),
        c @ ('\\' | '"' | '\'') => Some(c),
        _ => None,
    }
}

/// Line and character of byte `at` of `text`, both from 1.
pub fn place(text: &str, at: usize) -> (usize, usize) {
    let mut inside = at.min(text.len());
    while !text.is_char_boundary(inside) {
        inside -= 1;
    }
    let before = &text[..inside];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1 + (at - inside))
}
