//! Turns `CREATE INDEX … ON t (…)` and `DROP INDEX … ON t` into clauses of ALTER TABLE. Pure.

use crate::schema::lexer::{Spanned, Token, named};
use altergeist_contract::Result;

/// Returns the clause that does the same; None if the text is neither of these statements.
pub(crate) fn as_clause(
    text: &[char],
    tokens: &[Spanned],
    schema: &str,
    table: &str,
) -> Option<Result<String>> {
    let keyword =
        |place: usize| tokens.get(place).map(|(token, _)| token.keyword()).unwrap_or_default();
    let is_made = keyword(0) == "CREATE";
    let index = (1..3).find(|place| keyword(*place) == "INDEX")?;
    if !is_made && keyword(0) != "DROP"
        || index == 2 && !matches!(&*keyword(1), "UNIQUE" | "FULLTEXT" | "SPATIAL" | "VECTOR")
    {
        return None;
    }
    let on = (index + 1..tokens.len()).find(|place| tokens[*place].0.is("ON"))?;
    if tokens[index..on].iter().any(|(token, _)| token.is_sign(',')) {
        return None;
    }
    let rest = match named(&tokens[on + 1..], schema, table) {
        Ok(rest) => without_means(rest),
        Err(error) => return Some(Err(error)),
    };
    let said = |part: &[Spanned]| match part {
        [] => String::new(),
        [(_, first), ..] => {
            text[first.start..part.last().expect("there is one").1.end].iter().collect()
        }
    };
    let verb = if is_made { "ADD" } else { "DROP" };
    let clause = format!("{verb} {} {}", said(&tokens[1..on]), said(rest));
    Some(Ok(clause.trim_end().to_owned()))
}

/// Removes `ALGORITHM = …` and `LOCK = …` at the end: this tool decides how the change is made.
fn without_means(tokens: &[Spanned]) -> &[Spanned] {
    let is_means = |token: &Token| token.is("ALGORITHM") || token.is("LOCK");
    let end = match tokens {
        [.., (word, _), (sign, _), _] if is_means(word) && sign.is_sign('=') => 3,
        [.., (word, _), _] if is_means(word) => 2,
        _ => return tokens,
    };
    without_means(&tokens[..tokens.len() - end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::lexer::spanned;

    fn read(text: &str) -> Option<std::result::Result<String, String>> {
        let chars: Vec<char> = text.chars().collect();
        let tokens = spanned(text, false).unwrap();
        as_clause(&chars, &tokens, "s", "t").map(|clause| clause.map_err(|error| error.to_string()))
    }

    #[test]
    fn statements_on_indexes_become_clauses() {
        for (statement, clause) in [
            ("CREATE INDEX a ON t (b)", "ADD INDEX a (b)"),
            (
                "create unique index `a` USING BTREE on `s`.`t` (b(9), (lower(c))) COMMENT 'ON t' \
                 ALGORITHM=INPLACE LOCK = NONE",
                "ADD unique index `a` USING BTREE (b(9), (lower(c))) COMMENT 'ON t'",
            ),
            ("DROP INDEX a ON t", "DROP INDEX a"),
            ("DROP INDEX `PRIMARY` ON t LOCK NONE", "DROP INDEX `PRIMARY`"),
        ] {
            assert_eq!(read(statement), Some(Ok(clause.to_owned())), "{statement}");
        }
    }

    #[test]
    fn clauses_and_other_tables_are_told_from_them() {
        assert_eq!(read("DROP INDEX a, ADD INDEX b (c)"), None);
        assert_eq!(read("ADD INDEX b (c)"), None);
        assert_eq!(
            read("DROP INDEX a, ADD FOREIGN KEY (b) REFERENCES p (c) ON DELETE CASCADE"),
            None
        );
        assert!(read("CREATE INDEX a ON other (b)").is_some_and(|clause| clause.is_err()));
    }
}
