//! Clauses about objects that only the swap creates.

use crate::schema::clause::Clause;

/// A clause about objects that only the swap creates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LateClause {
    pub(crate) clause: String,
    /// A trigger that it names. No clone has it.
    pub(crate) trigger: Option<String>,
    /// A rule that it names.
    pub(crate) rule: Option<String>,
    /// The role that becomes the owner, as given.
    pub(crate) owner: Option<String>,
}

/// Reads a clause about triggers, rules, row security, the owner, or the next number of a sequence.
pub(crate) fn late(clause: &Clause<'_>) -> Option<LateClause> {
    let words = clause.words();
    let mut late =
        LateClause { clause: clause.whole().to_owned(), trigger: None, rule: None, owner: None };
    let last = clause.tokens.last()?;
    match words[..] {
        ["enable" | "disable", .., "all" | "user"] if words.contains(&"trigger") => Some(late),
        ["enable" | "disable" | "force" | "no", ..]
            if words.ends_with(&["row", "level", "security"]) =>
        {
            Some(late)
        }
        ["enable" | "disable", "trigger", ..] | ["enable", "always" | "replica", "trigger", ..] => {
            late.trigger = last.name().map(str::to_owned);
            Some(late)
        }
        ["enable" | "disable", "rule", ..] | ["enable", "always" | "replica", "rule", ..] => {
            late.rule = last.name().map(str::to_owned);
            Some(late)
        }
        ["owner", "to", ..] => {
            late.owner = Some(clause.text[clause.tokens[2..].first()?.start..last.end].to_owned());
            Some(late)
        }
        ["alter", ..] if clause.has("restart") => Some(late),
        _ => None,
    }
}
