//! Reads the few things in the user's clauses that the server cannot tell us afterwards: the expressions behind `USING`,
//! and clauses that would take the table somewhere else. Lexes as the server does; understands no more than it must.

/// One clause of an ALTER TABLE: its tokens, and where it stands.
struct Clause<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    start: usize,
    end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    kind: TokenKind,
    /// Where the token begins and ends.
    start: usize,
    end: usize,
    /// How many brackets it stands in.
    depth: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TokenKind {
    /// A word without quotes, in lower case.
    Word(String),
    /// An identifier in double quotes, without them.
    Quoted(String),
    /// Anything else: a literal, a sign.
    Other(char),
}

/// A value that is computed while rows are copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Using {
    /// The column, as the clause names it.
    pub(crate) column: String,
    /// The expression over the source's columns.
    pub(crate) expression: String,
}

/// What the clauses say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Clauses {
    /// The computed columns.
    pub(crate) using: Vec<Using>,
    /// Clauses that cannot be done by a copy, and why.
    pub(crate) refused: Vec<(String, &'static str)>,
}

/// Reads clauses, or says why they cannot be read.
pub(crate) fn read(text: &str) -> Result<Clauses, String> {
    let mut clauses = Clauses::default();
    for clause in split(text)? {
        if let Some(why) = refusal(&clause) {
            clauses.refused.push((text[clause.start..clause.end].trim().to_owned(), why));
        }
        if let Some(using) = using(&clause)? {
            clauses.using.push(using);
        }
    }
    Ok(clauses)
}

fn split(text: &str) -> Result<Vec<Clause<'_>>, String> {
    let mut clauses = Vec::new();
    let mut tokens = Vec::new();
    let mut start = 0;
    for token in lex(text)? {
        match token.kind {
            TokenKind::Other(';') => return Err("it holds more than one statement".to_owned()),
            TokenKind::Other(',') if token.depth == 0 => {
                clauses.push(Clause { text, tokens: std::mem::take(&mut tokens), start, end: token.start });
                start = token.end;
            }
            _ => tokens.push(token),
        }
    }
    if !tokens.is_empty() {
        clauses.push(Clause { text, tokens, start, end: text.len() });
    }
    Ok(clauses)
}

/// Why a clause cannot be done by swapping two tables.
fn refusal(clause: &Clause<'_>) -> Option<&'static str> {
    let words: Vec<&str> = clause.tokens.iter().filter_map(Token::word).collect();
    let has = |word: &str| clause.tokens.iter().any(|token| token.word() == Some(word));
    match words.get(..2).unwrap_or(&words[..]) {
        ["rename", "to"] | ["set", "schema"] => {
            Some("it gives the table another name, by which the swap could not find it")
        }
        ["attach" | "detach", ..] | ["inherit", ..] | ["no", "inherit"] | ["of", ..] | ["not", "of"] => {
            Some("tables with parents, children or a type of their own are not copied yet")
        }
        ["set", "unlogged" | "logged"] => Some("a table that is not logged cannot be followed"),
        ["enable" | "disable" | "force" | "no", ..] => Some("triggers, rules and row security are not carried yet"),
        _ if has("references") || words.windows(2).any(|pair| pair == ["foreign", "key"]) => Some(
            "a foreign key on a table that still lags behind would refuse the application's own writes; add it \
             afterwards, NOT VALID, and validate it",
        ),
        ["alter", ..] if has("restart") => Some("the copy takes over what the old sequence has counted"),
        _ => None,
    }
}

/// The expression of `ALTER [COLUMN] name [SET DATA] TYPE type USING expression`.
fn using(clause: &Clause<'_>) -> Result<Option<Using>, String> {
    let mut tokens = clause.tokens.iter().peekable();
    if tokens.next().and_then(Token::word) != Some("alter") {
        return Ok(None);
    }
    tokens.next_if(|token| token.word() == Some("column"));
    let column = tokens.next().and_then(Token::name).map(str::to_owned);
    let Some(word) = tokens.find(|token| token.depth == 0 && token.word() == Some("using")) else { return Ok(None) };
    let column = column.ok_or("the column before USING cannot be read")?;
    let expression = clause.text[word.end..clause.end].trim().to_owned();
    if expression.is_empty() { Err("nothing follows USING".to_owned()) } else { Ok(Some(Using { column, expression })) }
}

impl Token {
    fn word(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn name(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(name) | TokenKind::Quoted(name) => Some(name),
            TokenKind::Other(_) => None,
        }
    }
}

fn lex(text: &str) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { text, at: 0, depth: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.token()? {
        tokens.push(token);
    }
    if lexer.depth == 0 { Ok(tokens) } else { Err("a bracket is never closed".to_owned()) }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Lexer<'_> {
    fn token(&mut self) -> Result<Option<Token>, String> {
        self.skip_blanks()?;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let start = self.at;
        let depth = self.depth;
        let kind = match first {
            '"' => TokenKind::Quoted(self.quoted('"', false)?.replace("\"\"", "\"")),
            '\'' => self.string(false)?,
            '$' => self.dollar()?,
            _ if first.is_alphabetic() || first == '_' => self.word()?,
            _ if first.is_ascii_digit() => self.number(),
            _ => self.sign(first)?,
        };
        let depth = if matches!(kind, TokenKind::Other(')' | ']')) { self.depth } else { depth };
        Ok(Some(Token { kind, start, end: self.at, depth }))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// White space and comments, which nest.
    fn skip_blanks(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            if blank > 0 {
                self.at += blank;
            } else if rest.starts_with("--") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let mut open = 0;
        while !self.rest().is_empty() {
            if self.rest().starts_with("/*") {
                open += 1;
                self.at += 2;
            } else if self.rest().starts_with("*/") {
                open -= 1;
                self.at += 2;
            } else {
                self.at += self.rest().chars().next().map_or(0, char::len_utf8);
            }
            if open == 0 {
                return Ok(());
            }
        }
        Err("a comment is never closed".to_owned())
    }

    /// What stands between two quotes; a doubled quote does not end it, nor, where it counts, does one after `\`.
    fn quoted(&mut self, quote: char, backslash: bool) -> Result<String, String> {
        let inside = self.at + 1;
        let mut characters = self.text[inside..].char_indices().peekable();
        while let Some((offset, character)) = characters.next() {
            if backslash && character == '\\' {
                characters.next();
            } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
                self.at = inside + offset + 1;
                return Ok(self.text[inside..inside + offset].to_owned());
            }
        }
        Err("a quote is never closed".to_owned())
    }

    fn string(&mut self, backslash: bool) -> Result<TokenKind, String> {
        self.quoted('\'', backslash).map(|_| TokenKind::Other('\''))
    }

    /// A literal between dollar signs, or a lone sign.
    fn dollar(&mut self) -> Result<TokenKind, String> {
        let rest = self.rest();
        let tag = rest[1..].find('$').map(|end| &rest[..end + 2]).filter(|tag| is_tag(&tag[1..tag.len() - 1]));
        let Some(tag) = tag else { return self.sign('$') };
        let end = rest[tag.len()..].find(tag).ok_or("a dollar quote is never closed")?;
        self.at += tag.len() + end + tag.len();
        Ok(TokenKind::Other('\''))
    }

    /// A word; one that is only the prefix of a literal goes with it.
    fn word(&mut self) -> Result<TokenKind, String> {
        let rest = self.rest();
        let goes_on = |character: char| character.is_alphanumeric() || character == '_' || character == '$';
        let length = rest.find(|character| !goes_on(character)).unwrap_or(rest.len());
        let word = rest[..length].to_lowercase();
        let next = rest[length..].chars().next();
        let is_unicode = word == "u" && (rest[1..].starts_with("&'") || rest[1..].starts_with("&\""));
        if is_unicode {
            return Err("it uses U& escapes".to_owned());
        }
        self.at += length;
        match (word.as_str(), next) {
            ("e", Some('\'')) => self.string(true),
            ("b" | "x" | "n", Some('\'')) => self.string(false),
            _ => Ok(TokenKind::Word(word)),
        }
    }

    fn number(&mut self) -> TokenKind {
        let rest = self.rest();
        self.at +=
            rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '.').unwrap_or(rest.len());
        TokenKind::Other('0')
    }

    fn sign(&mut self, sign: char) -> Result<TokenKind, String> {
        self.at += sign.len_utf8();
        match sign {
            '(' | '[' => self.depth += 1,
            ')' | ']' => self.depth = self.depth.checked_sub(1).ok_or("a bracket is closed that was never opened")?,
            _ => {}
        }
        Ok(TokenKind::Other(sign))
    }
}

fn is_tag(tag: &str) -> bool {
    !tag.starts_with(|first: char| first.is_ascii_digit()) && tag.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expressions(text: &str) -> Vec<(String, String)> {
        read(text).unwrap().using.into_iter().map(|using| (using.column, using.expression)).collect()
    }

    #[test]
    fn an_expression_ends_at_the_comma_of_its_own_depth() {
        assert_eq!(
            expressions(
                "ALTER a TYPE int USING coalesce(b, 1), ADD c int, ALTER COLUMN \"D\"\"\" SET DATA TYPE text USING d||','"
            ),
            [("a".into(), "coalesce(b, 1)".into()), ("D\"".into(), "d||','".into())]
        );
    }

    #[test]
    fn using_inside_quotes_comments_and_brackets_is_no_using() {
        assert_eq!(
            expressions("ALTER a SET DEFAULT 'x using y', ALTER b TYPE int /* using /* z */ , */ -- using q"),
            []
        );
        assert_eq!(expressions("ADD CONSTRAINT x UNIQUE USING INDEX i, ADD EXCLUDE USING gist (a WITH =)"), []);
        assert_eq!(
            expressions("ALTER a TYPE text USING $q$ , using $q$ || E'\\', '"),
            [("a".into(), "$q$ , using $q$ || E'\\', '".into())]
        );
    }

    #[test]
    fn names_fold_as_the_server_folds_them() {
        assert_eq!(expressions("alter Column AbC type int using 1"), [("abc".into(), "1".into())]);
    }

    #[test]
    fn clauses_that_move_the_table_are_refused() {
        for clause in [
            "RENAME TO other",
            "SET SCHEMA s",
            "INHERIT p",
            "NO INHERIT p",
            "ADD c int REFERENCES t",
            "ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES t",
            "ALTER id RESTART WITH 7",
            "DISABLE TRIGGER ALL",
        ] {
            assert_eq!(read(clause).unwrap().refused.len(), 1, "{clause}");
        }
        for clause in
            ["RENAME COLUMN a TO b", "RENAME a TO b", "SET (fillfactor = 70)", "SET TABLESPACE x", "ADD c int"]
        {
            assert_eq!(read(clause).unwrap().refused, [], "{clause}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for text in [
            "ALTER a TYPE int USING (b",
            "ADD a int; DROP TABLE t",
            "ALTER a TYPE x USING",
            "ALTER U&\"a\" TYPE int USING 1",
            "ADD a int)",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
