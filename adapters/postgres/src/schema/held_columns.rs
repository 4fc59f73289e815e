//! `--hold`: columns that the clauses drop and that stay for now. Their clauses are taken out of
//! the text before anything else reads it.

use crate::schema::lexer::{self, Token};
use crate::schema::set_columns::name_of;
use crate::schema::statements::without_alter_table;
use crate::server::names::Names;
use altergeist_contract::{Code, Finding};

/// Returns the clauses without those that drop the columns to hold.
pub(crate) fn without_drops(
    text: &str,
    holds: &[String],
    names: &Names,
) -> Result<String, Finding> {
    if holds.is_empty() {
        return Ok(text.to_owned());
    }
    let unread = |why: String| {
        let object = format!("the clauses for {}", names.display);
        let reason = format!("they cannot be read: {why}");
        Finding::error(Code::ClauseRejected, object, reason, "write them more plainly")
    };
    let mut left: Vec<String> = holds
        .iter()
        .map(|hold| name_of(hold).ok_or_else(|| not_dropped(hold)))
        .collect::<Result<_, _>>()?;
    let mut statements = Vec::new();
    for statement in lexer::statements(text).map_err(unread)? {
        let mut kept = Vec::new();
        for clause in split(&without_alter_table(statement, names).map_err(unread)?) {
            let held = dropped(clause).and_then(|name| left.iter().position(|hold| *hold == name));
            match (held, clause) {
                (Some(place), _) => drop(left.remove(place)),
                (None, [first, .., last]) => kept.push(&text[first.start..last.end]),
                (None, [only]) => kept.push(&text[only.start..only.end]),
                (None, []) => kept.push(""),
            }
        }
        statements.extend((!kept.is_empty()).then(|| kept.join(", ")));
    }
    match left.first() {
        Some(hold) => Err(not_dropped(hold)),
        None => Ok(statements.join("; ")),
    }
}

fn not_dropped(hold: &str) -> Finding {
    let remedy = "write the column's name as the clauses do, or leave --hold out";
    Finding::error(Code::Option, format!("--hold {hold}"), "no clause drops this column", remedy)
}

fn split(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    tokens.split(|token| token.depth == 0 && token.is_sign(','))
}

/// The column that a clause drops; None for any other clause.
fn dropped(clause: &[Token]) -> Option<String> {
    let words: Vec<Option<&str>> = clause.iter().map(Token::word).collect();
    let mut rest = match words[..] {
        [Some("drop"), Some("column"), _, ..] => &clause[2..],
        [Some("drop"), Some("constraint"), _, ..] => return None,
        [Some("drop"), _, ..] => &clause[1..],
        _ => return None,
    };
    if let [one, two, _, ..] = rest
        && one.word() == Some("if")
        && two.word() == Some("exists")
    {
        rest = &rest[2..];
    }
    let (name, behind) = rest.split_first()?;
    let is_end = |token: &Token| matches!(token.word(), Some("restrict" | "cascade"));
    (behind.iter().all(is_end)).then(|| name.name().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drop_of_a_held_column_is_taken_out() {
        let names = Names::new("d", "s", "t");
        let held = |text: &str, holds: &[&str]| {
            let holds: Vec<String> = holds.iter().map(|hold| (*hold).to_owned()).collect();
            without_drops(text, &holds, &names).map_err(|refusal| refusal.object)
        };
        assert_eq!(held("DROP a, ADD b numeric(4, 2)", &["A"]).unwrap(), "ADD b numeric(4, 2)");
        assert_eq!(
            held("ALTER TABLE s.t DROP COLUMN IF EXISTS \"A\" CASCADE, DROP a", &["\"A\""])
                .unwrap(),
            "DROP a"
        );
        assert_eq!(held("DROP COLUMN a", &["a"]).unwrap(), "");
        assert_eq!(held("DROP CONSTRAINT a, DROP b", &["a"]).unwrap_err(), "--hold a");
        assert_eq!(held("DROP a", &[]).unwrap(), "DROP a");
    }
}
