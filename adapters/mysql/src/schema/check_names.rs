//! Names of CHECK constraints on MySQL. They are unique in a schema, so a copy of a table cannot
//! have the same ones.
//!
//! Names that the server chose, such as `orders_chk_1`, follow a renamed table by themselves. The
//! copy gets the same numbers under its own name. A name that a user chose stays with the source,
//! which becomes the old table. The copy has it with an ending. The next change, once the old table
//! is gone, restores the plain name. Pure.

use crate::schema::index_definition::quoted;
use crate::schema::lexer::spanned;
use crate::server::names::hash;
use crate::sql::{clauses, quote};

/// The ending of a name that is taken.
const ENDING: &str = "_ag";
/// The longest name that a server takes, in characters.
const LONGEST: usize = 64;

/// A constraint of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Check {
    pub name: String,
    /// `CHECK ((`a` > 0))`, as the server prints it.
    pub clause: String,
}

/// A constraint's name in the source, and in the copy.
pub(crate) type Renamed = (String, String);

/// Returns the constraints in a SHOW CREATE TABLE.
pub(crate) fn checks(definition: &str) -> Vec<Check> {
    let read = |line: &str| {
        let rest = line.strip_prefix("  CONSTRAINT ")?;
        let sign = rest.chars().next().filter(|sign| matches!(sign, '`' | '"'))?;
        let (name, clause) = rest[1..].split_once(&format!("{sign} CHECK "))?;
        let clause = clause.strip_suffix(',').unwrap_or(clause);
        Some(Check {
            name: name.replace(&format!("{sign}{sign}"), &sign.to_string()),
            clause: format!("CHECK {clause}"),
        })
    };
    definition.lines().filter_map(read).collect()
}

/// Returns the constraints that are part of a column's definition (MariaDB). They bear the column's
/// name.
pub(crate) fn column_checks(definition: &str) -> Vec<Check> {
    let read = |line: &str| {
        let column = quoted(line.strip_prefix("  ")?)?;
        let at = line.find(" CHECK (")?;
        let clause = line[at + 1..].strip_suffix(',').unwrap_or(&line[at + 1..]);
        Some(Check { name: column, clause: clause.to_owned() })
    };
    definition.lines().filter_map(read).collect()
}

/// Returns the names of the source's constraints in a copy called `copy`. `is_free` says whether no
/// constraint of the schema has a name.
pub(crate) fn renamed(
    checks: &[Check],
    source: &str,
    copy: &str,
    is_free: impl Fn(&str) -> bool,
) -> Vec<Renamed> {
    let name = |check: &Check| match number(&check.name, source) {
        Some(number) => format!("{copy}_chk_{number}"),
        None => match check.name.strip_suffix(ENDING) {
            Some(plain) if !plain.is_empty() && is_free(plain) => plain.to_owned(),
            _ => ended(&check.name),
        },
    };
    checks.iter().map(|check| (check.name.clone(), name(check))).collect()
}

/// Returns whether a user chose the name.
pub(crate) fn is_given(name: &str, table: &str) -> bool {
    number(name, table).is_none()
}

fn number<'a>(name: &'a str, table: &str) -> Option<&'a str> {
    let number = name.strip_prefix(table)?.strip_prefix("_chk_")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

fn ended(name: &str) -> String {
    if name.chars().count() + ENDING.len() <= LONGEST {
        return format!("{name}{ENDING}");
    }
    let kept: String = name.chars().take(LONGEST - ENDING.len() - 9).collect();
    format!("{kept}_{:08x}{ENDING}", hash(name) as u32)
}

/// Returns the clauses that drop all constraints.
pub(crate) fn dropping(checks: &[Check]) -> String {
    let drops = checks.iter().map(|check| clauses::drop_check(&check.name));
    drops.collect::<Vec<_>>().join(", ")
}

/// Returns the clauses that add the constraints under their names in the copy.
pub(crate) fn adding(checks: &[Check], names: &[Renamed]) -> String {
    let adds = checks.iter().zip(names);
    let adds = adds.map(|(check, (_, name))| clauses::add_constraint(name, &check.clause));
    adds.collect::<Vec<_>>().join(", ")
}

/// Returns the user's clauses with the names that the constraints have in the copy.
pub(crate) fn reworded(clauses: &str, ansi_quotes: bool, names: &[Renamed]) -> String {
    let Ok(tokens) = spanned(clauses, ansi_quotes) else { return clauses.to_owned() };
    let chars: Vec<char> = clauses.chars().collect();
    let (mut text, mut taken) = (String::new(), 0);
    for (place, (token, span)) in tokens.iter().enumerate() {
        let before = |back: usize| place.checked_sub(back).map(|place| &tokens[place].0);
        let is_constraint = before(1)
            .is_some_and(|token| token.is("CHECK") || token.is("CONSTRAINT"))
            && before(2).is_some_and(|token| {
                ["DROP", "ALTER", "ADD"].iter().any(|keyword| token.is(keyword))
            });
        let renamed = token.name().filter(|_| is_constraint);
        let renamed =
            renamed.and_then(|name| names.iter().find(|(old, _)| old.eq_ignore_ascii_case(name)));
        if let Some((_, new)) = renamed {
            text.extend(&chars[taken..span.start]);
            text.push_str(&quote(new));
            taken = span.end;
        }
    }
    text.extend(&chars[taken..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "CREATE TABLE `t` (\n  `a` int DEFAULT NULL,\n  CONSTRAINT `low` CHECK \
                        ((`a` > 0)),\n  CONSTRAINT `t_chk_2` CHECK ((`a` < 9)) /*!80016 NOT \
                        ENFORCED */\n) ENGINE=InnoDB";

    #[test]
    fn constraints_are_read_from_the_definition() {
        let found = checks(MADE);
        assert_eq!(found[0], Check { name: "low".into(), clause: "CHECK ((`a` > 0))".into() });
        assert_eq!(found[1].clause, "CHECK ((`a` < 9)) /*!80016 NOT ENFORCED */");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn made_names_keep_their_numbers_and_given_ones_go_to_and_fro() {
        let names = renamed(&checks(MADE), "t", "s", |_| false);
        assert_eq!(
            names,
            [("low".to_owned(), "low_ag".to_owned()), ("t_chk_2".to_owned(), "s_chk_2".to_owned())]
        );
        let ended = vec![Check { name: "low_ag".into(), clause: String::new() }];
        assert_eq!(renamed(&ended, "t", "s", |name| name == "low")[0].1, "low");
        assert_eq!(renamed(&ended, "t", "s", |_| false)[0].1, "low_ag_ag");
        assert_eq!(ended_length(), LONGEST);
    }

    fn ended_length() -> usize {
        ended(&"é".repeat(64)).chars().count()
    }

    #[test]
    fn clauses_name_constraints_as_the_copy_does() {
        let names =
            [("low".to_owned(), "low_ag".to_owned()), ("t_chk_2".to_owned(), "s_chk_2".to_owned())];
        assert_eq!(
            reworded(
                "DROP CHECK low, DROP CONSTRAINT `t_chk_2`, DROP COLUMN low COMMENT 'DROP CHECK \
                 low'",
                false,
                &names
            ),
            "DROP CHECK `low_ag`, DROP CONSTRAINT `s_chk_2`, DROP COLUMN low COMMENT 'DROP CHECK \
             low'"
        );
        assert_eq!(
            reworded("ALTER CHECK LOW NOT ENFORCED", false, &names),
            "ALTER CHECK `low_ag` NOT ENFORCED"
        );
        assert_eq!(
            reworded("ADD CONSTRAINT high CHECK (a < 5)", false, &names),
            "ADD CONSTRAINT high CHECK (a < 5)"
        );
    }

    #[test]
    fn a_fresh_copy_is_given_its_names() {
        let wanted = [Check { name: "low".into(), clause: "CHECK (x)".into() }];
        assert_eq!(dropping(&wanted), "DROP CHECK `low`");
        let names = [("low".to_owned(), "low_ag".to_owned())];
        assert_eq!(adding(&wanted, &names), "ADD CONSTRAINT `low_ag` CHECK (x)");
    }
}
