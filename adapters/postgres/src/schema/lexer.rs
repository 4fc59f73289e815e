//! Splits SQL text into tokens, as the server does.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    /// Where the token begins and ends.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// How many brackets are around it.
    pub(crate) depth: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A word without quotes, in lower case.
    Word(String),
    /// An identifier in double quotes, without them.
    Quoted(String),
    /// Anything else: a literal, a sign.
    Other(char),
}

/// The statements of a text, as tokens.
pub(crate) fn statements(text: &str) -> Result<Vec<Vec<Token>>, String> {
    let mut statements = Vec::new();
    let mut tokens = Vec::new();
    for token in lex(text)? {
        match token.kind {
            TokenKind::Other(';') if token.depth == 0 => {
                statements.push(std::mem::take(&mut tokens))
            }
            _ => tokens.push(token),
        }
    }
    statements.push(tokens);
    statements.retain(|tokens| !tokens.is_empty());
    Ok(statements)
}

impl Token {
    pub(crate) fn word(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(crate) fn is_sign(&self, sign: char) -> bool {
        self.kind == TokenKind::Other(sign)
    }

    pub(crate) fn name(&self) -> Option<&str> {
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

    /// Reads the text between two quotes. A doubled quote does not end it. Nor does one after `\`,
    /// if `backslash` is set.
    fn quoted(&mut self, quote: char, backslash: bool) -> Result<String, String> {
        let inside = self.at + 1;
        let mut characters = self.text[inside..].char_indices().peekable();
        while let Some((offset, character)) = characters.next() {
            if backslash && character == '\\' {
                characters.next();
            } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none()
            {
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
        let tag = rest[1..]
            .find('$')
            .map(|end| &rest[..end + 2])
            .filter(|tag| is_tag(&tag[1..tag.len() - 1]));
        let Some(tag) = tag else { return self.sign('$') };
        let end = rest[tag.len()..].find(tag).ok_or("a dollar quote is never closed")?;
        self.at += tag.len() + end + tag.len();
        Ok(TokenKind::Other('\''))
    }

    /// Reads a word. A prefix of a literal goes with the literal.
    fn word(&mut self) -> Result<TokenKind, String> {
        let rest = self.rest();
        let goes_on =
            |character: char| character.is_alphanumeric() || character == '_' || character == '$';
        let length = rest.find(|character| !goes_on(character)).unwrap_or(rest.len());
        let word = rest[..length].to_lowercase();
        let next = rest[length..].chars().next();
        let is_unicode =
            word == "u" && (rest[1..].starts_with("&'") || rest[1..].starts_with("&\""));
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
        self.at += rest
            .find(|character: char| !character.is_ascii_alphanumeric() && character != '.')
            .unwrap_or(rest.len());
        TokenKind::Other('0')
    }

    fn sign(&mut self, sign: char) -> Result<TokenKind, String> {
        self.at += sign.len_utf8();
        match sign {
            '(' | '[' => self.depth += 1,
            ')' | ']' => {
                self.depth =
                    self.depth.checked_sub(1).ok_or("a bracket is closed that was never opened")?
            }
            _ => {}
        }
        Ok(TokenKind::Other(sign))
    }
}

fn is_tag(tag: &str) -> bool {
    !tag.starts_with(|first: char| first.is_ascii_digit())
        && tag.chars().all(|c| c.is_alphanumeric() || c == '_')
}
