//! Takes a string of SQL apart: into statements, and these into words. Comments go.

use crate::interface::console::refusal::Refusal;

/// A word of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// A bare word, in lower case.
    Word(String),
    /// A name in double quotes.
    Name(String),
    /// A text in single quotes, or in dollars.
    Text(String),
    /// A number without a sign.
    Number(String),
    /// `$1`.
    Parameter(u16),
    /// Any other character.
    Symbol(char),
}

/// A statement.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Piece {
    /// Its text, with a space for each comment.
    pub text: String,
    /// Its words.
    pub tokens: Vec<Token>,
}

/// Takes a string apart. Statements without a word are left out.
///
/// # Errors
/// That a quotation mark or a comment is not closed.
pub fn pieces(sql: &str) -> Result<Vec<Piece>, Refusal> {
    let mut lexer = Lexer { sql, at: 0 };
    let mut pieces = Vec::new();
    let mut piece = Piece::default();
    loop {
        let begin = lexer.at;
        match lexer.next()? {
            Found::End => break,
            Found::Semicolon => pieces.push(std::mem::take(&mut piece)),
            Found::Space => piece.text.push(' '),
            Found::Token(token) => {
                piece.tokens.push(token);
                piece.text.push_str(&sql[begin..lexer.at]);
            }
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.tokens.is_empty());
    for piece in &mut pieces {
        piece.text = piece.text.trim().to_owned();
    }
    Ok(pieces)
}

enum Found {
    End,
    Semicolon,
    Space,
    Token(Token),
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn next(&mut self) -> Result<Found, Refusal> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Found::End) };
        if first.is_whitespace() {
            self.at += first.len_utf8();
            return Ok(Found::Space);
        }
        if rest.starts_with("--") {
            self.at += rest.find('\n').unwrap_or(rest.len());
            return Ok(Found::Space);
        }
        if rest.starts_with("/*") {
            self.at += comment(rest).ok_or_else(|| Refusal::syntax("a comment is not closed"))?;
            return Ok(Found::Space);
        }
        if first == ';' {
            self.at += 1;
            return Ok(Found::Semicolon);
        }
        self.token(first).map(Found::Token)
    }

    fn token(&mut self, first: char) -> Result<Token, Refusal> {
        let open = || Refusal::syntax("a quotation mark is not closed");
        let rest = self.rest();
        let (token, length) = match first {
            '\'' => {
                let (text, length) = quoted(rest, '\'', false).ok_or_else(open)?;
                (Token::Text(text), length)
            }
            '"' => {
                let (text, length) = quoted(rest, '"', false).ok_or_else(open)?;
                (Token::Name(text), length)
            }
            'e' | 'E' if rest[1..].starts_with('\'') => {
                let (text, length) = quoted(&rest[1..], '\'', true).ok_or_else(open)?;
                (Token::Text(text), length + 1)
            }
            '$' => dollar(rest).ok_or_else(open)?,
            '0'..='9' => {
                let length = run(rest, |c| c.is_ascii_digit() || c == '.');
                (Token::Number(rest[..length].to_owned()), length)
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = run(rest, |c| c.is_alphanumeric() || c == '_' || c == '$');
                (Token::Word(rest[..length].to_lowercase()), length)
            }
            c => (Token::Symbol(c), c.len_utf8()),
        };
        self.at += length;
        Ok(token)
    }
}

/// The length of what belongs together.
fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// The length of a comment, which may hold others.
fn comment(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        match rest {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// A text between marks, and the length with its marks. A mark within is written twice, or behind
/// a backslash if that escapes.
fn quoted(text: &str, mark: char, escapes: bool) -> Option<(String, usize)> {
    let mut found = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' if escapes => found.push(letters.next()?.1),
            letter if letter != mark => found.push(letter),
            _ if letters.next_if(|(_, next)| *next == mark).is_some() => found.push(mark),
            _ => return Some((found, at + 1)),
        }
    }
    None
}

/// `$1`, or `$tag$ a text $tag$`.
fn dollar(text: &str) -> Option<(Token, usize)> {
    let digits = run(&text[1..], |c| c.is_ascii_digit());
    if digits > 0 {
        // A number that is too great is as wrong as none.
        let number = text[1..=digits].parse().unwrap_or(u16::MAX);
        return Some((Token::Parameter(number), digits + 1));
    }
    let tag = run(&text[1..], |c| c.is_alphanumeric() || c == '_') + 1;
    if !text[tag..].starts_with('$') {
        return Some((Token::Symbol('$'), 1));
    }
    let mark = &text[..=tag];
    let inner = &text[mark.len()..];
    let end = inner.find(mark)?;
    Some((Token::Text(inner[..end].to_owned()), end + 2 * mark.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<String> {
        pieces(sql).expect("it is well formed").into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn a_string_is_taken_apart_at_its_semicolons() {
        assert_eq!(texts("PAUSE; show status ;; "), ["PAUSE", "show status"]);
        assert_eq!(texts("SET a = 'x;''y'; \"b;\""), ["SET a = 'x;''y'", "\"b;\""]);
        assert_eq!(texts("$a$;$a$ $1;E'\\';'"), ["$a$;$a$ $1", "E'\\';'"]);
        for nothing in ["", " ; ", "-- ping", "/* a /* b */ c */;", "--\n--x;y"] {
            assert_eq!(texts(nothing), Vec::<String>::new(), "{nothing:?}");
        }
    }

    #[test]
    fn words_are_told_from_texts_and_comments_go() {
        let piece = pieces("Select 'It''s' /* x */ AS \"A\", $2 -- y").expect("it is well formed");
        let word = |word: &str| Token::Word(word.into());
        let expected = [
            word("select"),
            Token::Text("It's".into()),
            word("as"),
            Token::Name("A".into()),
            Token::Symbol(','),
            Token::Parameter(2),
        ];
        assert_eq!(piece[0].tokens, expected);
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        for wrong in ["'", "a \"b", "/* /* */", "$a$ x", "E'\\'"] {
            assert!(pieces(wrong).is_err(), "{wrong:?}");
        }
    }
}
