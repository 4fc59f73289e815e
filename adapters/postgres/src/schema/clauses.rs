//! Reads the few things in the user's clauses that the server cannot report afterwards: the
//! expressions after `USING`, clauses that must wait for the swap, clauses that online steps can do
//! without blocking, and clauses that would move the table. It lexes as the server does, and
//! understands no more than it must.

use crate::schema::cascades::{Cascades, cascade};
use crate::schema::clause::{self, Clause, ForeignKey, Using};
use crate::schema::key_clauses::{KeyClause, key_clause};
use crate::schema::late_clauses::{LateClause, late};
use crate::schema::lexer::{Token, TokenKind};
use crate::schema::statements::without_alter_table;
use crate::server::names::Names;

/// The clauses, sorted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Clauses {
    /// The statements: for each the clauses after the table's name, as given.
    pub(crate) native: Vec<String>,
    /// The same for a copy: without foreign keys, and without clauses that wait for the swap.
    pub(crate) statements: Vec<String>,
    /// The same without clauses that get online steps of their own.
    pub(crate) instant: Vec<String>,
    /// Whether any clause needs online steps.
    pub(crate) has_steps: bool,
    /// Constraints to validate, as given.
    pub(crate) validated: Vec<String>,
    /// Clauses for the end of the swap.
    pub(crate) late: Vec<LateClause>,
    /// Foreign keys that the clauses add.
    pub(crate) foreign_keys: Vec<ForeignKey>,
    /// Clauses about existing foreign keys.
    pub(crate) keys: Vec<KeyClause>,
    /// Columns with a USING expression.
    pub(crate) using: Vec<Using>,
    /// Clauses that are refused, and why.
    pub(crate) refused: Vec<(String, &'static str)>,
    /// Clauses that only a native change can do, and why.
    pub(crate) native_only: Vec<(String, &'static str)>,
    /// Columns and constraints that CASCADE drops with their dependents.
    pub(crate) cascades: Cascades,
}

/// Reads clauses, or returns why it cannot. Each statement is either the clauses alone or a whole
/// `ALTER TABLE` of the table. `keys` are the names of the table's foreign keys, which no clone
/// has.
pub(crate) fn read(
    text: &str,
    statements: &[Vec<Token>],
    names: &Names,
    keys: &[String],
) -> Result<Clauses, String> {
    let mut clauses = Clauses::default();
    let mut changed_types = Vec::new();
    let mut renames = false;
    for statement in statements {
        let parts = split(text, without_alter_table(statement.clone(), names)?);
        let mut for_copy = Vec::new();
        let mut instant = Vec::new();
        if parts.iter().any(|clause| clause.tokens.is_empty()) {
            return Err("a clause is empty".to_owned());
        }
        for clause in &parts {
            renames |= clause.is(&["rename"]);
            changed_types.extend(clause.changed_type());
            match key_clause(clause, keys)? {
                Some(key) => clauses.keys.push(key),
                None => read_clause(clause, &mut clauses, &mut for_copy, &mut instant)?,
            }
        }
        let given: Vec<&str> = parts.iter().map(Clause::whole).collect();
        clauses.native.push(given.join(", "));
        clauses.statements.extend(joined(for_copy));
        clauses.instant.extend(joined(instant));
    }
    if renames && !clauses.cascades.is_empty() {
        let why = "the objects that depend on a renamed column are ambiguous; make it two changes";
        clauses.native_only.push(("DROP … CASCADE".to_owned(), why));
    }
    if renames && !clauses.using.is_empty() {
        return Err(
            "columns are renamed, and others computed by USING; make them two changes".to_owned()
        );
    }
    changed_types.sort();
    if changed_types.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a column's type is changed twice".to_owned());
    }
    Ok(clauses)
}

fn joined(clauses: Vec<String>) -> Option<String> {
    (!clauses.is_empty()).then(|| clauses.join(", "))
}

/// Sorts one clause by when and how it can be done.
fn read_clause(
    clause: &Clause<'_>,
    clauses: &mut Clauses,
    for_copy: &mut Vec<String>,
    instant: &mut Vec<String>,
) -> Result<(), String> {
    let whole = clause.whole().to_owned();
    if let Some(why) = refusal(clause) {
        clauses.refused.push((whole.clone(), why));
    }
    clauses.cascades.0.extend(cascade(clause));
    if let Some(late) = late(clause) {
        clauses.late.push(late);
        instant.push(whole);
        return Ok(());
    }
    if let Some(foreign_key) = clause::foreign_key(clause)? {
        clauses.foreign_keys.push(foreign_key);
        return Ok(());
    }
    if let Some(constraint) = clause.validated() {
        clauses.validated.push(constraint);
        clauses.has_steps = true;
        return Ok(());
    }
    if is_step(clause) {
        clauses.has_steps = true;
        for_copy.push(whole);
        return Ok(());
    }
    clauses.using.extend(clause::using(clause)?);
    let (references, foreign_keys) = clause::inline_foreign_keys(clause)?;
    clauses.foreign_keys.extend(foreign_keys);
    let checks = clause::inline_checks(clause);
    clauses.has_steps |= !checks.is_empty();
    for_copy.push(clause.without(&references));
    instant.push(clause.without(&[references, checks].concat()));
    Ok(())
}

fn split(text: &str, tokens: Vec<Token>) -> Vec<Clause<'_>> {
    let mut clauses = vec![Clause { text, tokens: Vec::new() }];
    for token in tokens {
        if token.kind == TokenKind::Other(',') && token.depth == 0 {
            clauses.push(Clause { text, tokens: Vec::new() });
        } else if let Some(last) = clauses.last_mut() {
            last.tokens.push(token);
        }
    }
    clauses
}

/// Returns why this tool refuses a clause.
fn refusal(clause: &Clause<'_>) -> Option<&'static str> {
    let words = clause.words();
    match words.get(..2).unwrap_or(&words[..]) {
        ["rename", "to"] | ["set", "schema"] => Some(
            "it gives the table another name, and this run, its journal and a second start could \
             not find it by the old one; it touches only the catalogue",
        ),
        ["attach" | "detach", ..]
        | ["inherit", ..]
        | ["no", "inherit"]
        | ["of", ..]
        | ["not", "of"] => Some(
            "it binds the table to another table or type, or frees it; it touches only the \
             catalogue or scans once",
        ),
        _ => None,
    }
}

/// Whether a clause only demands something of the rows. Online steps can prove that without
/// blocking.
fn is_step(clause: &Clause<'_>) -> bool {
    let rest = clause.behind_constraint_name();
    let words: Vec<&str> =
        rest.iter().filter(|token| token.depth == 0).filter_map(Token::word).collect();
    let has = |pair: [&str; 2]| words.windows(2).any(|two| two == pair);
    if clause.is(&["alter"]) {
        return clause.words().ends_with(&["set", "not", "null"]);
    }
    if !clause.is(&["add"]) || has(["not", "valid"]) || has(["not", "enforced"]) {
        return false;
    }
    match words[..] {
        ["check", ..] | ["not", "null", ..] => true,
        ["unique" | "primary", ..] => !has(["using", "index"]) && !clause.mentions("overlaps"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::key_clauses::KeyAction;
    use crate::schema::lexer;
    use crate::server::names::Names;

    fn read_text(text: &str, names: &Names, keys: &[String]) -> Result<Clauses, String> {
        read(text, &lexer::statements(text)?, names, keys)
    }

    fn clauses(text: &str) -> Clauses {
        read_text(text, &Names::new("db", "s", "t"), &["k".to_owned(), "K".to_owned()]).unwrap()
    }

    fn expressions(text: &str) -> Vec<(String, String)> {
        clauses(text).using.into_iter().map(|using| (using.column, using.expression)).collect()
    }

    #[test]
    fn an_expression_ends_at_the_comma_of_its_own_depth() {
        assert_eq!(
            expressions(
                "ALTER a TYPE int USING coalesce(b, 1), ADD c int, ALTER COLUMN \"D\"\"\" SET \
                 DATA TYPE text USING d||','"
            ),
            [("a".into(), "coalesce(b, 1)".into()), ("D\"".into(), "d||','".into())]
        );
    }

    #[test]
    fn using_inside_quotes_comments_and_brackets_is_no_using() {
        assert_eq!(
            expressions(
                "ALTER a SET DEFAULT 'x using y', ALTER b TYPE int /* using /* z */ , */ -- using q"
            ),
            []
        );
        assert_eq!(
            expressions("ADD CONSTRAINT x UNIQUE USING INDEX i, ADD EXCLUDE USING gist (a WITH =)"),
            []
        );
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
            "ATTACH PARTITION p DEFAULT",
        ] {
            assert_eq!(clauses(clause).refused.len(), 1, "{clause}");
        }
        for clause in [
            "RENAME COLUMN a TO b",
            "RENAME a TO b",
            "SET (fillfactor = 70)",
            "SET TABLESPACE x",
            "ADD c int",
        ] {
            assert_eq!(clauses(clause).refused, [], "{clause}");
            assert_eq!(clauses(clause).statements, [clause], "{clause}");
        }
    }

    #[test]
    fn what_the_swap_puts_in_place_is_altered_after_it() {
        for clause in [
            "DISABLE TRIGGER ALL",
            "ENABLE REPLICA TRIGGER \"T\"",
            "ENABLE ROW LEVEL SECURITY",
            "NO FORCE ROW LEVEL SECURITY",
            "OWNER TO bob",
            "ALTER id RESTART WITH 7",
        ] {
            let read = clauses(clause);
            assert_eq!((read.late.len(), read.statements.len()), (1, 0), "{clause}");
        }
        assert_eq!(clauses("ENABLE REPLICA TRIGGER \"T\"").late[0].trigger.as_deref(), Some("T"));
    }

    #[test]
    fn foreign_keys_are_lifted_out_wherever_they_stand() {
        let read = clauses(
            "ADD COLUMN a int DEFAULT 1 CONSTRAINT f REFERENCES s.p (id) ON DELETE SET NULL NOT \
             NULL, ADD FOREIGN KEY (b, c) REFERENCES q MATCH FULL NOT VALID, ADD d int REFERENCES \
             t",
        );
        assert_eq!(read.statements, ["ADD COLUMN a int DEFAULT 1 NOT NULL, ADD d int"]);
        let added: Vec<String> =
            read.foreign_keys.iter().map(|key| key.add(&key.name, &key.parent)).collect();
        assert_eq!(
            added,
            [
                "ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES s.p (id) ON DELETE SET NULL NOT VALID",
                "ADD FOREIGN KEY (b, c) REFERENCES q MATCH FULL NOT VALID",
                "ADD FOREIGN KEY (d) REFERENCES t  NOT VALID",
            ]
        );
        assert_eq!(
            read.foreign_keys.iter().map(|key| key.is_validated).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn what_becomes_of_a_foreign_key_is_not_tried_on_a_clone_that_has_none() {
        for (clause, action) in [
            ("DROP CONSTRAINT k", KeyAction::Drop),
            ("drop constraint if exists \"K\" restrict", KeyAction::Drop),
            ("VALIDATE CONSTRAINT k", KeyAction::Validate),
            ("RENAME CONSTRAINT k TO \"L\"", KeyAction::Rename("\"L\"".to_owned())),
            (
                "ALTER CONSTRAINT k DEFERRABLE INITIALLY DEFERRED",
                KeyAction::Alter { is_enforced: true },
            ),
            ("ALTER CONSTRAINT k NOT ENFORCED", KeyAction::Alter { is_enforced: false }),
        ] {
            let read = clauses(clause);
            assert_eq!(
                read.keys.iter().map(|key| &key.action).collect::<Vec<_>>(),
                [&action],
                "{clause}"
            );
            assert!(
                read.statements.is_empty() && read.instant.is_empty() && read.native == [clause],
                "{clause}"
            );
        }
        for clause in
            ["DROP CONSTRAINT other", "DROP CONSTRAINT \"other\"", "RENAME CONSTRAINT other TO k"]
        {
            let read = clauses(clause);
            assert_eq!((read.keys.len(), read.statements.len()), (0, 1), "{clause}");
        }
    }

    #[test]
    fn what_only_asks_something_of_the_rows_is_a_step_of_its_own() {
        for (clause, instant) in [
            ("ALTER a SET NOT NULL", vec![]),
            ("ADD CONSTRAINT c CHECK (a > 0)", vec![]),
            ("ADD PRIMARY KEY (a)", vec![]),
            ("ADD a int CONSTRAINT c CHECK (a > 0) DEFAULT 1", vec!["ADD a int DEFAULT 1"]),
        ] {
            let read = clauses(clause);
            assert!(read.has_steps, "{clause}");
            assert_eq!(read.instant, instant, "{clause}");
            assert_eq!(read.statements, [clause], "{clause}");
        }
        assert_eq!(clauses("VALIDATE CONSTRAINT \"C\"").validated, ["\"C\""]);
        for clause in [
            "ADD CHECK (a > 0) NOT VALID",
            "ADD UNIQUE USING INDEX i",
            "ADD EXCLUDE (a WITH =)",
            "ADD a int",
        ] {
            assert!(!clauses(clause).has_steps, "{clause}");
        }
    }

    #[test]
    fn a_whole_statement_of_the_table_is_as_good_as_its_clauses() {
        for text in [
            "ALTER TABLE t ADD a int;",
            "alter table if exists only s.t * ADD a int",
            "ALTER TABLE \"t\" ADD a int",
        ] {
            assert_eq!(clauses(text).native, ["ADD a int"], "{text}");
        }
        assert_eq!(clauses("RENAME a TO b; ALTER TABLE t RENAME b TO a").native.len(), 2);
        let names = Names::new("db", "s", "t");
        for text in
            ["ALTER TABLE u ADD a int", "ALTER TABLE x.t ADD a int", "ADD a int; DROP TABLE t"]
        {
            assert!(read_text(text, &names, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for text in [
            "ALTER a TYPE int USING (b",
            "ALTER a TYPE x USING",
            "ALTER U&\"a\" TYPE int USING 1",
            "ADD a int)",
            "ALTER a TYPE int USING 1; ALTER a TYPE text USING 2",
            "RENAME a TO b; ALTER b TYPE text USING a",
        ] {
            assert!(read_text(text, &Names::new("db", "s", "t"), &[]).is_err(), "{text}");
        }
    }
}
