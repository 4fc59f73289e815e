//! One clause of an ALTER TABLE: its words, its foreign keys and checks, and the expression after
//! USING.

use crate::schema::lexer::{Token, TokenKind};
use crate::sql;

/// One clause of an ALTER TABLE: its tokens.
pub(crate) struct Clause<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: Vec<Token>,
}

/// A value that the copy computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Using {
    /// The column, as the clause names it.
    pub(crate) column: String,
    /// The expression over the source's columns.
    pub(crate) expression: String,
}

/// A foreign key that the clauses add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    /// Its name, quoted as given. Empty if the server chooses one.
    pub(crate) name: String,
    /// `FOREIGN KEY (columns) REFERENCES`.
    pub(crate) begin: String,
    /// The table it points to, as given.
    pub(crate) parent: String,
    /// The rest, without `NOT VALID`.
    pub(crate) end: String,
    /// Whether existing rows must satisfy it.
    pub(crate) is_validated: bool,
}

impl ForeignKey {
    /// Returns the clause that adds it with a name and a parent, without a check of the rows.
    pub(crate) fn add(&self, name: &str, parent: &str) -> String {
        let named = if name.is_empty() { String::new() } else { format!("CONSTRAINT {name} ") };
        let skip = if self.is_enforced() { " NOT VALID" } else { "" };
        sql::add_foreign_key(&named, &self.begin, parent, &format!("{}{skip}", self.end))
    }

    pub(crate) fn is_enforced(&self) -> bool {
        !self.end.to_lowercase().ends_with("not enforced")
    }
}

/// A range of a clause's tokens: the first, and the one after the last.
type Stretch = (usize, usize);

/// Reads a foreign key that is a clause of its own.
pub(crate) fn foreign_key(clause: &Clause<'_>) -> Result<Option<ForeignKey>, String> {
    let rest = clause.behind_constraint_name();
    if !clause.is(&["add"]) || rest.first().and_then(Token::word) != Some("foreign") {
        return Ok(None);
    }
    let references =
        rest.iter().position(|token| token.depth == 0 && token.word() == Some("references"));
    let references = references.ok_or("a FOREIGN KEY without REFERENCES")?;
    let name = clause.constraint_name().unwrap_or_default();
    let begin = &clause.text[rest[0].start..rest[references].end];
    clause.foreign_key(name, begin.to_owned(), &rest[references + 1..]).map(Some)
}

/// Reads the foreign keys in an added column's definition, with their ranges.
pub(crate) fn inline_foreign_keys(
    clause: &Clause<'_>,
) -> Result<(Vec<Stretch>, Vec<ForeignKey>), String> {
    let (mut places, mut keys) = (Vec::new(), Vec::new());
    let Some((column, after)) = clause.added_column() else { return Ok((places, keys)) };
    for at in after..clause.tokens.len() {
        let token = &clause.tokens[at];
        if token.depth > 0 || token.word() != Some("references") {
            continue;
        }
        let (first, name) = clause.inline_name(at);
        let rest = &clause.tokens[at + 1..];
        let length = references_length(rest);
        keys.push(clause.foreign_key(
            name,
            format!("FOREIGN KEY ({column}) REFERENCES"),
            &rest[..length],
        )?);
        places.push((first, at + 1 + length));
    }
    Ok((places, keys))
}

/// Returns the ranges of CHECK constraints in an added column's definition.
pub(crate) fn inline_checks(clause: &Clause<'_>) -> Vec<Stretch> {
    let Some((_, after)) = clause.added_column() else { return Vec::new() };
    let tokens = &clause.tokens;
    let mut places = Vec::new();
    for at in after..tokens.len() {
        if tokens[at].depth > 0 || tokens[at].word() != Some("check") {
            continue;
        }
        let mut end = at + 1 + group(&tokens[at + 1..]);
        let follows = |end: usize, pair: [&str; 2]| {
            tokens.get(end).and_then(Token::word) == Some(pair[0])
                && tokens.get(end + 1).and_then(Token::word) == Some(pair[1])
        };
        if follows(end, ["not", "enforced"]) {
            continue;
        }
        if follows(end, ["no", "inherit"]) {
            end += 2;
        }
        places.push((clause.inline_name(at).0, end));
    }
    places
}

/// Returns the number of tokens of a bracket with its content. 0 if there is no bracket.
fn group(tokens: &[Token]) -> usize {
    let Some(first) = tokens.first().filter(|token| token.kind == TokenKind::Other('(')) else {
        return 0;
    };
    let end = tokens
        .iter()
        .position(|token| token.kind == TokenKind::Other(')') && token.depth == first.depth);
    end.map_or(0, |end| end + 1)
}

/// Returns the number of tokens that belong to REFERENCES.
fn references_length(tokens: &[Token]) -> usize {
    let word = |at: usize| tokens.get(at).and_then(Token::word);
    let mut at = 1;
    while tokens.get(at).is_some_and(|token| token.kind == TokenKind::Other('.')) {
        at += 2;
    }
    at += group(&tokens[at.min(tokens.len())..]);
    loop {
        at += match (word(at), word(at + 1)) {
            (Some("match" | "initially"), _) | (Some("not"), Some("deferrable" | "enforced")) => 2,
            (Some("deferrable" | "enforced"), _) => 1,
            (Some("on"), Some("delete" | "update")) => match word(at + 2) {
                Some("no") => 4,
                Some("set") => 4 + group(tokens.get(at + 4..).unwrap_or_default()),
                _ => 3,
            },
            _ => return at.min(tokens.len()),
        };
    }
}

/// Reads the expression of `ALTER [COLUMN] name [SET DATA] TYPE type USING expression`.
pub(crate) fn using(clause: &Clause<'_>) -> Result<Option<Using>, String> {
    let mut tokens = clause.tokens.iter().peekable();
    if tokens.next().and_then(Token::word) != Some("alter") {
        return Ok(None);
    }
    tokens.next_if(|token| token.word() == Some("column"));
    let column = tokens.next().and_then(Token::name).map(str::to_owned);
    let Some(word) = tokens.find(|token| token.depth == 0 && token.word() == Some("using")) else {
        return Ok(None);
    };
    let column = column.ok_or("the column before USING cannot be read")?;
    let end = clause.tokens.last().map_or(word.end, |token| token.end);
    let expression = clause.text[word.end..end].trim().to_owned();
    if expression.is_empty() {
        Err("nothing follows USING".to_owned())
    } else {
        Ok(Some(Using { column, expression }))
    }
}

impl<'a> Clause<'a> {
    /// The clause as given.
    pub(crate) fn whole(&self) -> &'a str {
        match (self.tokens.first(), self.tokens.last()) {
            (Some(first), Some(last)) => &self.text[first.start..last.end],
            _ => "",
        }
    }

    pub(crate) fn words(&self) -> Vec<&str> {
        self.tokens.iter().filter_map(Token::word).collect()
    }

    pub(crate) fn is(&self, beginning: &[&str]) -> bool {
        self.words().starts_with(beginning)
    }

    /// Whether a word occurs outside all brackets.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| token.depth == 0 && token.word() == Some(word))
    }

    /// Whether a word occurs anywhere.
    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.tokens.iter().any(|token| token.word() == Some(word))
    }

    /// Returns the clause without some ranges of tokens.
    pub(crate) fn without(&self, places: &[Stretch]) -> String {
        let kept = |at: usize| !places.iter().any(|(first, end)| (*first..*end).contains(&at));
        let mut text = String::new();
        let mut last = None;
        for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| kept(*at)) {
            let follows = at > 0 && last == Some(at - 1);
            let from = if follows { self.tokens[at - 1].end } else { token.start };
            if last.is_some() && !follows {
                text.push(' ');
            }
            text.push_str(&self.text[from..token.end]);
            last = Some(at);
        }
        text
    }

    /// Returns the tokens after `ADD [CONSTRAINT name]`.
    pub(crate) fn behind_constraint_name(&self) -> &[Token] {
        let start = if self.is(&["add", "constraint"]) { 3 } else { 1 };
        self.tokens.get(start..).unwrap_or_default()
    }

    /// The name in `ADD CONSTRAINT name`, as given.
    pub(crate) fn constraint_name(&self) -> Option<String> {
        let token = self.is(&["add", "constraint"]).then(|| self.tokens.get(2)).flatten()?;
        Some(self.text[token.start..token.end].to_owned())
    }

    /// The constraint in `VALIDATE CONSTRAINT name`, as given.
    pub(crate) fn validated(&self) -> Option<String> {
        let token = self.is(&["validate", "constraint"]).then(|| self.tokens.get(2)).flatten()?;
        Some(self.text[token.start..token.end].to_owned())
    }

    /// Returns the column with the changed type.
    pub(crate) fn changed_type(&self) -> Option<String> {
        if !self.is(&["alter"]) || !(self.has("type")) {
            return None;
        }
        let at = if self.is(&["alter", "column"]) { 2 } else { 1 };
        self.tokens.get(at).and_then(Token::name).map(str::to_owned)
    }

    /// Returns the column that it adds, as given, and where its definition begins.
    pub(crate) fn added_column(&self) -> Option<(String, usize)> {
        let words = self.words();
        if words.first() != Some(&"add") || matches!(words.get(1), Some(&"constraint")) {
            return None;
        }
        let mut at = 1;
        at += usize::from(self.tokens.get(at).and_then(Token::word) == Some("column"));
        if self.tokens.get(at).and_then(Token::word) == Some("if") {
            at += 3;
        }
        let name = self.tokens.get(at).filter(|token| token.name().is_some())?;
        Some((self.text[name.start..name.end].to_owned(), at + 1))
    }

    /// Returns where a constraint inside a column's definition begins, and its name as given.
    pub(crate) fn inline_name(&self, at: usize) -> (usize, String) {
        let is_named = at >= 2
            && self.tokens[at - 2].depth == 0
            && self.tokens[at - 2].word() == Some("constraint");
        if !is_named {
            return (at, String::new());
        }
        (at - 2, self.text[self.tokens[at - 1].start..self.tokens[at - 1].end].to_owned())
    }

    /// Reads a foreign key from the tokens after REFERENCES.
    pub(crate) fn foreign_key(
        &self,
        name: String,
        begin: String,
        rest: &[Token],
    ) -> Result<ForeignKey, String> {
        let unreadable = || "the table behind REFERENCES cannot be read".to_owned();
        let first = rest.first().filter(|token| token.name().is_some()).ok_or_else(unreadable)?;
        let mut parent = 1;
        while rest.get(parent).is_some_and(|token| token.kind == TokenKind::Other('.')) {
            parent += 2;
        }
        let last = rest.get(parent - 1).ok_or_else(unreadable)?;
        let words: Vec<Option<&str>> = rest.iter().map(Token::word).collect();
        let is_unvalidated = words.ends_with(&[Some("not"), Some("valid")]);
        let end = &rest[parent..rest.len() - if is_unvalidated { 2 } else { 0 }];
        let end = match (end.first(), end.last()) {
            (Some(first), Some(last)) => self.text[first.start..last.end].to_owned(),
            _ => String::new(),
        };
        let parent = self.text[first.start..last.end].to_owned();
        let mut key = ForeignKey { name, begin, parent, end, is_validated: !is_unvalidated };
        key.is_validated &= key.is_enforced();
        Ok(key)
    }
}
