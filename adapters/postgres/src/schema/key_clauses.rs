//! Clauses about foreign keys that the table has.

use crate::schema::clause::Clause;
use crate::schema::lexer::Token;

/// A clause about a foreign key that the table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyClause {
    /// The foreign key's name.
    pub(crate) name: String,
    pub(crate) clause: String,
    pub(crate) action: KeyAction,
}

/// What a clause does with a foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyAction {
    Drop,
    /// Gives it a new name, quoted as given.
    Rename(String),
    /// Makes it deferrable or not, or no longer enforced.
    Alter {
        is_enforced: bool,
    },
    Validate,
}

/// Reads a clause about one of the table's foreign keys.
pub(crate) fn key_clause(
    clause: &Clause<'_>,
    keys: &[String],
) -> Result<Option<KeyClause>, String> {
    let words = clause.words();
    if words.get(1) != Some(&"constraint") {
        return Ok(None);
    }
    let at = if words.get(2..4) == Some(&["if", "exists"]) { 4 } else { 2 };
    let Some(name) = clause
        .tokens
        .get(at)
        .and_then(Token::name)
        .filter(|name| keys.iter().any(|key| key == name))
    else {
        return Ok(None);
    };
    let action = match words[0] {
        "drop" => KeyAction::Drop,
        "validate" => KeyAction::Validate,
        "rename" => {
            let new = clause
                .tokens
                .get(4)
                .filter(|token| token.name().is_some())
                .ok_or("TO is missing after RENAME CONSTRAINT")?;
            KeyAction::Rename(clause.text[new.start..new.end].to_owned())
        }
        "alter" if words.ends_with(&["not", "enforced"]) => KeyAction::Alter { is_enforced: false },
        "alter" if words.ends_with(&["enforced"]) => {
            return Err(format!(
                "all rows would be read under the lock to have {name} ENFORCED; write DROP \
                 CONSTRAINT and ADD CONSTRAINT instead"
            ));
        }
        "alter" => KeyAction::Alter { is_enforced: true },
        _ => return Ok(None),
    };
    Ok(Some(KeyClause { name: name.to_owned(), clause: clause.whole().to_owned(), action }))
}
