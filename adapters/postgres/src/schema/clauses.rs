//! Reads the few things in the user's clauses that the server cannot report afterwards: the
//! expressions after `USING`, clauses that must wait for the swap, clauses that online steps can do
//! without blocking, and clauses that would move the table. It lexes as the server does, and
//! understands no more than it must.

use crate::schema::clause::{self, Clause, ForeignKey, Using};
use crate::schema::lexer::{self, Token, TokenKind};
use crate::schema::pasted;
use crate::server::names::Names;

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

/// Returns the statements of a text that creates a table. Refuses statements of any other kind.
pub(crate) fn table_statements(text: &str) -> Result<Vec<String>, String> {
    let mut making = Vec::new();
    for tokens in lexer::statements(text)? {
        let word = |at: usize| tokens.get(at).and_then(Token::word);
        let is_known = matches!(
            (word(0), word(1), word(2)),
            (Some("create"), Some("table" | "index"), _)
                | (Some("create"), Some("unique"), Some("index"))
                | (Some("comment"), Some("on"), Some("table" | "column" | "index" | "constraint"))
        );
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
        let statement = &text[first.start..last.end];
        if !is_known {
            let begin: String = statement.chars().take(40).collect();
            return Err(format!("it holds a statement of another kind: {begin}"));
        }
        making.push(statement.to_owned());
    }
    if making.is_empty() { Err("it holds no statement".to_owned()) } else { Ok(making) }
}

fn joined(clauses: Vec<String>) -> Option<String> {
    (!clauses.is_empty()).then(|| clauses.join(", "))
}

/// Reads a clause about one of the table's foreign keys.
fn key_clause(clause: &Clause<'_>, keys: &[String]) -> Result<Option<KeyClause>, String> {
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

/// Removes `ALTER TABLE [IF EXISTS] [ONLY] name [*]` from the beginning of a statement. Refuses
/// another table's name.
fn without_alter_table(tokens: Vec<Token>, names: &Names) -> Result<Vec<Token>, String> {
    let word = |at: usize| tokens.get(at).and_then(Token::word);
    if word(0) != Some("alter") || word(1) != Some("table") {
        let is_other =
            matches!(
                word(0),
                Some(
                    "create"
                        | "drop"
                        | "update"
                        | "insert"
                        | "delete"
                        | "truncate"
                        | "select"
                        | "comment"
                        | "grant"
                )
            ) && matches!(word(1), Some("table" | "index" | "into" | "from" | "on" | "unique"));
        return if is_other && !pasted::drops_a_column(&tokens) {
            Err("it holds a statement that is no ALTER TABLE".to_owned())
        } else {
            Ok(tokens)
        };
    }
    if matches!(tokens.get(2).map(|token| &token.kind), Some(TokenKind::Other(_)) | None) {
        return Err("the table's name behind ALTER TABLE cannot be read".to_owned());
    }
    let mut at = 2;
    if word(at) == Some("if") && word(at + 1) == Some("exists") {
        at += 2;
    }
    if word(at) == Some("only") {
        at += 1;
    }
    let mut parts = Vec::new();
    loop {
        parts.push(tokens.get(at).and_then(Token::name).ok_or("the table's name cannot be read")?);
        at += 1;
        if tokens.get(at).is_none_or(|token| token.kind != TokenKind::Other('.')) {
            break;
        }
        at += 1;
    }
    let is_ours = match parts[..] {
        [table] => table == names.table,
        [schema, table] => table == names.table && schema == names.schema,
        _ => false,
    };
    if !is_ours {
        return Err(format!("it is an ALTER TABLE of another table than {}", names.display));
    }
    if tokens.get(at).is_some_and(|token| token.kind == TokenKind::Other('*')) {
        at += 1;
    }
    Ok(tokens[at..].to_vec())
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

/// Returns what a clause drops by CASCADE.
fn cascade(clause: &Clause<'_>) -> Option<Dropped> {
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

/// Reads a clause about triggers, rules, row security, the owner, or the next number of a sequence.
fn late(clause: &Clause<'_>) -> Option<LateClause> {
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

    #[test]
    fn a_file_makes_tables_and_their_indexes_and_does_nothing_else() {
        let text = "CREATE TABLE t (a int) PARTITION BY RANGE (a); -- why\nCREATE TABLE t1 \
                    PARTITION OF t DEFAULT; CREATE UNIQUE INDEX i ON t (a); COMMENT ON TABLE t IS \
                    'x; y';";
        let statements = table_statements(text).unwrap();
        assert_eq!(statements.len(), 4);
        assert_eq!(statements[3], "COMMENT ON TABLE t IS 'x; y'");
        assert!(table_statements("CREATE TABLE t (a int); COMMIT").is_err());
        assert!(table_statements("ALTER TABLE u ADD b int").is_err());
        assert!(table_statements(" ; ").is_err());
    }
}
