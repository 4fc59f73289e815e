//! What `DROP … CASCADE` names in the clauses.

use crate::schema::clause::Clause;
use crate::schema::lexer::Token;

/// What `DROP … CASCADE` names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Cascades(pub(crate) Vec<Dropped>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    Column(String),
    Constraint(String),
}

impl Cascades {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The columns.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let columns = self.0.iter().filter(|dropped| matches!(dropped, Dropped::Column(_)));
        columns.map(Dropped::name).collect()
    }

    /// The constraints.
    pub(crate) fn constraints(&self) -> Vec<&str> {
        let constraints = self.0.iter().filter(|dropped| matches!(dropped, Dropped::Constraint(_)));
        constraints.map(Dropped::name).collect()
    }
}

impl Dropped {
    fn name(&self) -> &str {
        match self {
            Dropped::Column(name) | Dropped::Constraint(name) => name,
        }
    }
}

/// Returns what a clause drops by CASCADE.
pub(crate) fn cascade(clause: &Clause<'_>) -> Option<Dropped> {
    if !clause.is(&["drop"]) || clause.tokens.last().and_then(Token::word) != Some("cascade") {
        return None;
    }
    let mut names = clause.tokens[1..clause.tokens.len() - 1].iter().peekable();
    // A column may have the name `column`, `constraint` or `if`.
    let is_followed = |names: &std::iter::Peekable<std::slice::Iter<'_, Token>>| names.len() > 1;
    let is_constraint =
        is_followed(&names) && names.next_if(|token| token.word() == Some("constraint")).is_some();
    if !is_constraint && is_followed(&names) {
        names.next_if(|token| token.word() == Some("column"));
    }
    if names.len() == 3 {
        names.nth(1);
    }
    let name = names.next().and_then(Token::name)?.to_owned();
    Some(if is_constraint { Dropped::Constraint(name) } else { Dropped::Column(name) })
}
