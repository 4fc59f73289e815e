//! Splits MySQL's SQL into words, names, texts and signs, so that nothing inside quotes or comments
//! is taken for SQL. Pure.

use altergeist_contract::{Error, Result};
use std::ops::Range;

/// One token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    /// An unquoted word or number.
    Word(String),
    /// A quoted identifier.
    Name(String),
    /// A quoted text; its contents do not matter here.
    Text(String),
    /// Any other sign.
    Sign(char),
}

impl Token {
    /// The keyword this may be, in capitals.
    pub(crate) fn keyword(&self) -> String {
        match self {
            Token::Word(word) => word.to_uppercase(),
            _ => String::new(),
        }
    }

    /// The identifier this may be.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Name(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        *self == Token::Sign(sign)
    }
}

/// Returns the tokens of a statement, or why it cannot be read. Comments that only some servers
/// execute are read as SQL.
pub(crate) fn tokens(text: &str, ansi_quotes: bool) -> Result<Vec<Token>, &'static str> {
    Ok(spanned(text, ansi_quotes)?.into_iter().map(|(token, _)| token).collect())
}

/// Returns the tokens, and the characters of the text that each has.
pub(crate) fn spanned(
    text: &str,
    ansi_quotes: bool,
) -> Result<Vec<(Token, Range<usize>)>, &'static str> {
    let mut scanner = Scanner {
        rest: text.chars().collect(),
        place: 0,
        ansi_quotes,
        in_executed: false,
        tokens: Vec::new(),
    };
    let mut spans = Vec::new();
    while scanner.place < scanner.rest.len() {
        let begin = scanner.place;
        scanner.step()?;
        if scanner.tokens.len() > spans.len() {
            spans.push(begin..scanner.place);
        }
    }
    if scanner.in_executed {
        Err("a comment does not end")
    } else {
        Ok(scanner.tokens.into_iter().zip(spans).collect())
    }
}

struct Scanner {
    rest: Vec<char>,
    place: usize,
    ansi_quotes: bool,
    in_executed: bool,
    tokens: Vec<Token>,
}

impl Scanner {
    fn step(&mut self) -> Result<(), &'static str> {
        let char = self.rest[self.place];
        match char {
            _ if char.is_whitespace() => self.place += 1,
            '#' => self.skip_line(),
            '-' if self.begins("--") && self.at(2).is_none_or(char::is_whitespace) => {
                self.skip_line()
            }
            '/' if self.begins("/*") => self.comment()?,
            '*' if self.in_executed && self.begins("*/") => {
                self.in_executed = false;
                self.place += 2;
            }
            '`' => {
                let name = self.quoted('`', false)?;
                self.tokens.push(Token::Name(name));
            }
            '"' if self.ansi_quotes => {
                let name = self.quoted('"', false)?;
                self.tokens.push(Token::Name(name));
            }
            '\'' | '"' => {
                let text = self.quoted(char, true)?;
                self.tokens.push(Token::Text(text));
            }
            _ if is_of_word(char) => self.word(),
            _ => {
                self.tokens.push(Token::Sign(char));
                self.place += 1;
            }
        }
        Ok(())
    }

    pub(crate) fn at(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.place + ahead).copied()
    }

    fn begins(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, char)| self.at(ahead) == Some(char))
    }

    fn skip_line(&mut self) {
        while self.at(0).is_some_and(|char| char != '\n') {
            self.place += 1;
        }
    }

    /// Skips `/* … */`. Of `/*! …`, `/*!80000 …` and `/*M! …` it skips only the marks.
    fn comment(&mut self) -> Result<(), &'static str> {
        let mark = if self.begins("/*!") {
            3
        } else if self.begins("/*M!") {
            4
        } else {
            0
        };
        if mark > 0 && !self.in_executed {
            self.in_executed = true;
            self.place += mark;
            while self.at(0).is_some_and(|char| char.is_ascii_digit()) {
                self.place += 1;
            }
            return Ok(());
        }
        self.place += 2;
        while !self.begins("*/") {
            self.at(0).ok_or("a comment does not end")?;
            self.place += 1;
        }
        self.place += 2;
        Ok(())
    }

    fn quoted(&mut self, quote: char, escapes: bool) -> Result<String, &'static str> {
        self.place += 1;
        let mut text = String::new();
        loop {
            let char = self.at(0).ok_or("a quote does not end")?;
            self.place += 1;
            if char == '\\' && escapes {
                text.push(self.at(0).ok_or("a quote does not end")?);
                self.place += 1;
            } else if char != quote {
                text.push(char);
            } else if self.at(0) == Some(quote) {
                text.push(quote);
                self.place += 1;
            } else {
                return Ok(text);
            }
        }
    }

    fn word(&mut self) {
        let begin = self.place;
        while self.at(0).is_some_and(is_of_word) {
            self.place += 1;
        }
        self.tokens.push(Token::Word(self.rest[begin..self.place].iter().collect()));
    }
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '$' | '@') || char as u32 > 0x7f
}

pub(crate) type Spanned = (Token, std::ops::Range<usize>);

pub(crate) fn named<'a>(tokens: &'a [Spanned], schema: &str, table: &str) -> Result<&'a [Spanned]> {
    let is = |token: &Token, name: &str| token.name() == Some(name);
    let tokens = match tokens {
        [(first, _), (second, _), rest @ ..] if first.is("IF") && second.is("EXISTS") => rest,
        _ => tokens,
    };
    match tokens {
        [(first, _), (dot, _), (second, _), rest @ ..]
            if dot.is_sign('.') && is(first, schema) && is(second, table) =>
        {
            Ok(rest)
        }
        [(first, _), rest @ ..]
            if is(first, table) && !rest.first().is_some_and(|(token, _)| token.is_sign('.')) =>
        {
            Ok(rest)
        }
        _ => Err(Error::refused(
            "read the clauses",
            format!("the statement alters another table than {schema}.{table}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let shown = |token: &Token| match token {
            Token::Word(text) => text.clone(),
            Token::Name(text) => format!("`{text}`"),
            Token::Text(text) => format!("'{text}'"),
            Token::Sign(sign) => sign.to_string(),
        };
        tokens(text, false).unwrap().iter().map(shown).collect()
    }

    #[test]
    fn quotes_hide_what_they_hold() {
        assert_eq!(
            words("add `a``b, c` int comment 'it''s, \\' \"x\"'"),
            ["add", "`a`b, c`", "int", "comment", "'it's, ' \"x\"'"]
        );
        assert_eq!(tokens("\"a\"", true).unwrap(), [Token::Name("a".into())]);
        assert_eq!(tokens("\"a\"", false).unwrap(), [Token::Text("a".into())]);
    }

    #[test]
    fn comments_are_nothing_unless_they_are_executed() {
        assert_eq!(words("a /* drop b, */ -- c\n# d\n e--f"), ["a", "e", "-", "-", "f"]);
        assert_eq!(words("a /*!80000 drop */ b /*M!100600 c*/"), ["a", "drop", "b", "c"]);
    }

    #[test]
    fn what_does_not_end_is_an_error() {
        for text in ["'a", "`a", "/* a", "/*! a", "'a\\"] {
            assert!(tokens(text, false).is_err(), "{text}");
        }
    }
}
