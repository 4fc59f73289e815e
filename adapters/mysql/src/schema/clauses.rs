//! Reads from the clauses of an ALTER TABLE what the server cannot say afterwards: which column
//! became which. It refuses what it cannot read, and names the clause. Everything else is up to the
//! server. Pure.

use crate::schema::computed::Computed;
use crate::schema::lexer::{Token, tokens};
use crate::schema::table::is_same;
use altergeist_contract::{Error, Result};

/// What the clauses say about columns' names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Clauses {
    renamed: Vec<(String, String)>,
    dropped: Vec<String>,
    added: Vec<Added>,
    adds_partitions: bool,
    sets_row_number: bool,
    /// The columns that --set computes.
    pub computed: Vec<Computed>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Added {
    name: String,
    if_missing: bool,
}

impl Clauses {
    /// Reads clauses. `renames` are the user's own statements about columns, and override them.
    pub(crate) fn read(
        text: &str,
        ansi_quotes: bool,
        renames: &[(String, String)],
    ) -> Result<Clauses> {
        let tokens = tokens(text, ansi_quotes).map_err(refused)?;
        let mut clauses =
            Clauses { sets_row_number: sets_row_number(&tokens), ..Clauses::default() };
        for clause in split(&tokens) {
            clauses.take(clause).map_err(|reason| {
                let shown: Vec<&str> = clause.iter().take(4).filter_map(Token::name).collect();
                refused(format!("{reason} (in '{} …')", shown.join(" ")))
            })?;
        }
        for (old, new) in renames {
            clauses.renamed.retain(|(name, _)| !is_same(name, old));
            clauses.renamed.push((old.clone(), new.clone()));
        }
        Ok(clauses)
    }

    /// Returns the name that a column of the source has in the shadow; None if it is dropped.
    pub(crate) fn name_after(&self, name: &str) -> Option<String> {
        if let Some((_, new)) = self.renamed.iter().find(|(old, _)| is_same(old, name)) {
            return Some(new.clone());
        }
        (!self.dropped.iter().any(|dropped| is_same(dropped, name))).then(|| name.to_owned())
    }

    /// Returns whether the clauses add a column of this name.
    pub(crate) fn adds(&self, name: &str) -> bool {
        self.added.iter().any(|added| is_same(&added.name, name))
    }

    /// Returns whether they add it only if there is none yet.
    pub(crate) fn adds_if_missing(&self, name: &str) -> bool {
        self.added.iter().any(|added| added.if_missing && is_same(&added.name, name))
    }

    /// Returns whether they add partitions. The servers take no ALGORITHM for that.
    pub(crate) fn adds_partitions(&self) -> bool {
        self.adds_partitions
    }

    /// Returns whether they set the next AUTO_INCREMENT number.
    pub(crate) fn sets_row_number(&self) -> bool {
        self.sets_row_number
    }

    pub(crate) fn take(&mut self, clause: &[Token]) -> std::result::Result<(), String> {
        let Some(first) = clause.first() else { return Err("a clause is empty".into()) };
        let rest = &clause[1..];
        match &*first.keyword() {
            "CHANGE" => self.take_change(rest),
            "RENAME" => self.take_rename(rest),
            "DROP" => self.take_drop(rest),
            "ADD" => self.take_add(rest),
            "ALTER" if rest.first().is_some_and(|token| token.is("TABLE")) => {
                Err("leave out ALTER TABLE and the table's name".into())
            }
            "ALGORITHM" | "LOCK" => {
                Err("give ALGORITHM and LOCK a clause of their own, or leave them out".into())
            }
            "WAIT" | "NOWAIT" => Err("leave out WAIT and NOWAIT, and use --lock-timeout".into()),
            "EXCHANGE" | "TRUNCATE" | "DISCARD" | "IMPORT" => {
                Err("this changes rows, not the table's definition".into())
            }
            "CONVERT"
                if rest.first().is_some_and(|token| token.is("PARTITION") || token.is("TABLE")) =>
            {
                Err("this moves rows between tables".into())
            }
            _ => Ok(()),
        }
    }

    fn take_change(&mut self, rest: &[Token]) -> std::result::Result<(), String> {
        let (rest, _) = without_condition(without(rest, "COLUMN"), false);
        let [old, new, ..] = rest else { return Err("a CHANGE lacks its names".into()) };
        self.rename(old, new)
    }

    fn take_rename(&mut self, rest: &[Token]) -> std::result::Result<(), String> {
        match rest.first().map(Token::keyword).as_deref() {
            Some("COLUMN") => {
                let (rest, _) = without_condition(&rest[1..], false);
                let [old, to, new] = rest else {
                    return Err("a RENAME COLUMN cannot be read".into());
                };
                if !to.is("TO") {
                    return Err("a RENAME COLUMN lacks its TO".into());
                }
                self.rename(old, new)
            }
            Some("INDEX" | "KEY") => Ok(()),
            _ => Err("this renames the table: rename it before or after the change".into()),
        }
    }

    pub(crate) fn rename(&mut self, old: &Token, new: &Token) -> std::result::Result<(), String> {
        let (Some(old), Some(new)) = (old.name(), new.name()) else {
            return Err("a column's name cannot be read".into());
        };
        self.renamed.push((old.to_owned(), new.to_owned()));
        Ok(())
    }

    fn take_drop(&mut self, rest: &[Token]) -> std::result::Result<(), String> {
        let keyword = rest.first().map(Token::keyword).unwrap_or_default();
        match &*keyword {
            "PARTITION" => Err("this drops rows, not only columns or indexes".into()),
            "PRIMARY" | "INDEX" | "KEY" | "FOREIGN" | "CONSTRAINT" | "CHECK" => Ok(()),
            "PERIOD" | "SYSTEM"
                if rest.len() > 1 && !rest[1].is("RESTRICT") && !rest[1].is("CASCADE") =>
            {
                Ok(())
            }
            _ => {
                let (rest, _) = without_condition(without(rest, "COLUMN"), false);
                let name = rest.first().and_then(Token::name).ok_or("a DROP lacks its name")?;
                self.dropped.push(name.to_owned());
                Ok(())
            }
        }
    }

    fn take_add(&mut self, rest: &[Token]) -> std::result::Result<(), String> {
        let keyword = rest.first().map(Token::keyword).unwrap_or_default();
        self.adds_partitions |= keyword == "PARTITION";
        if matches!(
            &*keyword,
            "INDEX"
                | "KEY"
                | "FULLTEXT"
                | "SPATIAL"
                | "UNIQUE"
                | "PRIMARY"
                | "CONSTRAINT"
                | "FOREIGN"
                | "CHECK"
                | "PARTITION"
                | "VECTOR"
        ) {
            return Ok(());
        }
        if matches!(&*keyword, "PERIOD" | "SYSTEM")
            && rest.get(1).is_some_and(|token| token.is("FOR") || token.is("VERSIONING"))
        {
            return Err("this makes a table that keeps its history (system versioning)".into());
        }
        let (rest, if_missing) = without_condition(without(rest, "COLUMN"), true);
        match rest.first() {
            Some(Token::Sign('(')) if rest.last() == Some(&Token::Sign(')')) => {
                split(&rest[1..rest.len() - 1])
                    .try_for_each(|column| self.take_added(column, if_missing))
            }
            _ => self.take_added(rest, if_missing),
        }
    }

    fn take_added(
        &mut self,
        column: &[Token],
        if_missing: bool,
    ) -> std::result::Result<(), String> {
        let first = column.first().ok_or("an ADD lacks its column")?;
        if matches!(
            &*first.keyword(),
            "INDEX"
                | "KEY"
                | "FULLTEXT"
                | "SPATIAL"
                | "UNIQUE"
                | "PRIMARY"
                | "CONSTRAINT"
                | "FOREIGN"
                | "CHECK"
        ) {
            return Ok(());
        }
        let name = first.name().ok_or("an ADD lacks its column's name")?;
        self.added.push(Added { name: name.to_owned(), if_missing });
        Ok(())
    }
}

/// A column's own AUTO_INCREMENT has no number.
fn sets_row_number(tokens: &[Token]) -> bool {
    let begins_with_digit = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let is_number = |token: &Token| matches!(token, Token::Word(word) if begins_with_digit(word));
    tokens.iter().enumerate().any(|(place, token)| {
        let behind = &tokens[place + 1..];
        token.is("AUTO_INCREMENT") && without_sign(behind, '=').first().is_some_and(is_number)
    })
}

fn without_sign(tokens: &[Token], sign: char) -> &[Token] {
    match tokens {
        [first, rest @ ..] if first.is_sign(sign) => rest,
        _ => tokens,
    }
}

fn refused(reason: impl Into<String>) -> Error {
    Error::refused("read the clauses", reason)
}

/// Splits at top-level commas. Returns nothing for no tokens.
pub(crate) fn split(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut depth = 0_i32;
    let clauses = tokens.split(move |token| {
        match token {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            _ => {}
        }
        depth == 0 && token.is_sign(',')
    });
    clauses.take(if tokens.is_empty() { 0 } else { usize::MAX })
}

fn without<'a>(tokens: &'a [Token], keyword: &str) -> &'a [Token] {
    match tokens {
        [first, rest @ ..] if first.is(keyword) && !rest.is_empty() => rest,
        _ => tokens,
    }
}

/// Removes IF EXISTS or IF NOT EXISTS, and returns whether it was there.
pub(crate) fn without_condition(tokens: &[Token], negated: bool) -> (&[Token], bool) {
    match tokens {
        [first, second, third, rest @ ..]
            if negated && first.is("IF") && second.is("NOT") && third.is("EXISTS") =>
        {
            (rest, true)
        }
        [first, second, rest @ ..] if !negated && first.is("IF") && second.is("EXISTS") => {
            (rest, true)
        }
        _ => (tokens, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Clauses {
        Clauses::read(text, false, &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn renames_are_found_in_all_their_forms() {
        for text in [
            "CHANGE a b INT",
            "change column `a` `b` int after c",
            "RENAME COLUMN a TO b",
            "ADD KEY (x), CHANGE COLUMN IF EXISTS a b DECIMAL(10, 2) COMMENT 'change c d'",
            "/*!80000 RENAME COLUMN A TO b */",
        ] {
            assert_eq!(read(text).name_after("a").as_deref(), Some("b"), "{text}");
        }
    }

    #[test]
    fn drops_and_adds_of_columns_are_told_from_those_of_indexes() {
        let clauses = read(
            "DROP a, DROP COLUMN IF EXISTS b, DROP INDEX c, DROP PRIMARY KEY, DROP CONSTRAINT d, \
             DROP `key`",
        );
        assert_eq!(clauses.dropped, ["a", "b", "key"]);
        let clauses = read(
            "ADD a INT, ADD COLUMN (b INT, c ENUM('x,y')), ADD INDEX d (e), ADD CONSTRAINT f \
             CHECK (g > 0), ADD COLUMN IF NOT EXISTS h INT",
        );
        assert!(["a", "b", "c", "h"].iter().all(|name| clauses.adds(name)));
        assert!(["d", "e", "f", "g"].iter().all(|name| !clauses.adds(name)));
        assert!(clauses.adds_if_missing("H") && !clauses.adds_if_missing("a"));
    }

    #[test]
    fn what_is_not_about_columns_is_left_to_the_server() {
        assert_eq!(
            read(
                "ENGINE=InnoDB ROW_FORMAT=DYNAMIC, COMMENT='a, DROP b', RENAME INDEX a TO b, FORCE"
            ),
            Clauses::default()
        );
        assert_eq!(read(""), Clauses::default());
    }

    #[test]
    fn what_is_not_ours_to_do_is_refused_with_a_sentence() {
        for text in [
            "RENAME TO other",
            "RENAME other",
            "RENAME = other",
            "RENAME AS other",
            "ADD a INT, ALGORITHM=INPLACE PARTITION BY HASH (a)",
            "CONVERT PARTITION p0 TO TABLE x",
            "CONVERT TABLE x TO PARTITION p0 VALUES LESS THAN (5)",
            "DROP PARTITION p0",
            "TRUNCATE PARTITION p0",
            "ALTER TABLE t ADD a INT",
            "ADD a INT,",
            "CHANGE a",
            "ADD 'a",
            "ADD SYSTEM VERSIONING",
        ] {
            assert!(Clauses::read(text, false, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn the_users_own_word_on_a_column_wins() {
        let renames = [("a".to_owned(), "z".to_owned())];
        assert_eq!(
            Clauses::read("CHANGE a b INT", false, &renames).unwrap().name_after("A").as_deref(),
            Some("z")
        );
    }

    #[test]
    fn a_number_for_the_next_row_is_told_from_a_column_that_is_numbered() {
        for (text, is_set) in [
            ("AUTO_INCREMENT=7", true),
            ("ADD a INT, ENGINE = InnoDB auto_increment 7", true),
            ("MODIFY id INT AUTO_INCREMENT COMMENT 'AUTO_INCREMENT=7'", false),
            ("ADD `auto_increment` INT", false),
        ] {
            assert_eq!(read(text).sets_row_number(), is_set, "{text}");
        }
    }
}
