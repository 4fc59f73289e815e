//! Cuts the text of an ALTER TABLE: the clauses alone, without ALGORITHM and LOCK, and without the
//! foreign keys that they drop. Pure.

use crate::schema::clauses::{split, without_condition};
use crate::schema::lexer::{Token, named, spanned, tokens};
use crate::schema::pasted;
use crate::schema::table::is_same;
use altergeist_contract::{Code, Finding, Result};

/// Reads what is asked for. Of a whole `ALTER TABLE t …;` it takes the part after the name, if that
/// is the table to change. Returns the clauses, and ALGORITHM and LOCK apart.
pub(crate) fn asked(
    text: &str,
    ansi_quotes: bool,
    schema: &str,
    table: &str,
) -> Result<(String, Vec<String>)> {
    let clauses = bare(text, ansi_quotes, schema, table)?;
    Ok(without_means(&clauses, ansi_quotes))
}

/// Takes ALGORITHM and LOCK out of the clauses.
fn without_means(text: &str, ansi_quotes: bool) -> (String, Vec<String>) {
    let mut means = Vec::new();
    let clauses = without_clauses(text, ansi_quotes, |clause| {
        let word = clause.first().map(Token::keyword).unwrap_or_default();
        let value = match clause {
            [_, sign, value] if sign.is_sign('=') => Some(value),
            [_, value] => Some(value),
            _ => None,
        };
        let value = value.filter(|_| matches!(&*word, "ALGORITHM" | "LOCK"));
        means.extend(value.map(|value| format!("{word}={}", value.keyword())));
        value.is_some()
    });
    (clauses, means)
}

/// Takes out the clauses that drop columns to hold. Refuses a column that no clause drops.
pub(crate) fn without_drops(
    text: &str,
    ansi_quotes: bool,
    holds: &[String],
) -> std::result::Result<String, Finding> {
    let name = |hold: &String| {
        let tokens = tokens(hold, true).unwrap_or_default();
        tokens.first().and_then(Token::name).map_or_else(|| hold.clone(), str::to_owned)
    };
    let mut left: Vec<String> = holds.iter().map(name).collect();
    if left.is_empty() {
        return Ok(text.to_owned());
    }
    let rest = without_clauses(text, ansi_quotes, |clause| {
        let held = dropped_column(clause)
            .and_then(|name| left.iter().position(|hold| hold.eq_ignore_ascii_case(name)));
        held.map(|place| left.remove(place)).is_some()
    });
    match left.first() {
        None => Ok(rest),
        Some(hold) => Err(Finding::error(
            Code::Option,
            format!("--hold {hold}"),
            "no clause drops this column",
            "write the column's name as the clauses do, or leave --hold out",
        )),
    }
}

/// The column that a clause drops; None for any other clause.
fn dropped_column(clause: &[Token]) -> Option<&str> {
    const OTHERS: [&str; 9] = [
        "PARTITION",
        "PRIMARY",
        "INDEX",
        "KEY",
        "FOREIGN",
        "CONSTRAINT",
        "CHECK",
        "PERIOD",
        "SYSTEM",
    ];
    let (first, rest) = clause.split_first().filter(|(first, _)| first.is("DROP"))?;
    let _ = first;
    let rest = match rest {
        [column, rest @ ..] if column.is("COLUMN") && !rest.is_empty() => rest,
        [other, _, ..] if OTHERS.contains(&&*other.keyword()) => return None,
        rest => rest,
    };
    let rest = match rest {
        [one, two, rest @ ..] if one.is("IF") && two.is("EXISTS") => rest,
        rest => rest,
    };
    rest.first().and_then(Token::name)
}

/// Takes out the clauses that drop foreign keys which exist. Returns the rest, and the keys' names.
pub(crate) fn without_dropped_keys(
    text: &str,
    ansi_quotes: bool,
    there: &[String],
) -> (String, Vec<String>) {
    let mut dropped = Vec::new();
    let rest = without_clauses(text, ansi_quotes, |clause| {
        let rest = match clause {
            [drop, foreign, key, rest @ ..]
                if drop.is("DROP") && foreign.is("FOREIGN") && key.is("KEY") =>
            {
                rest
            }
            [drop, constraint, rest @ ..] if drop.is("DROP") && constraint.is("CONSTRAINT") => rest,
            _ => return false,
        };
        let name = without_condition(rest, false).0.first().and_then(Token::name);
        let found = there.iter().find(|there| name.is_some_and(|name| is_same(name, there)));
        dropped.extend(found.cloned());
        found.is_some()
    });
    (rest, dropped)
}

/// Takes clauses out, each with a comma.
fn without_clauses(
    text: &str,
    ansi_quotes: bool,
    mut is_out: impl FnMut(&[Token]) -> bool,
) -> String {
    let Ok(tokens) = spanned(text, ansi_quotes) else { return text.to_owned() };
    let chars: Vec<char> = text.chars().collect();
    let plain: Vec<Token> = tokens.iter().map(|(token, _)| token.clone()).collect();
    let mut clauses = String::new();
    let (mut taken, mut place, mut is_first_kept) = (0, 0, true);
    for clause in split(&plain) {
        let (first, behind) = (place, place + clause.len());
        place = behind + 1;
        if !is_out(clause) {
            is_first_kept = false;
            continue;
        }
        // The comma before the clause goes too. If no clause before it is kept, the comma behind it
        // goes.
        let begin = if is_first_kept { tokens[first].1.start } else { tokens[first - 1].1.start };
        let end = match tokens.get(behind).filter(|_| is_first_kept) {
            Some((_, comma)) => comma.end,
            None => tokens[behind - 1].1.end,
        };
        clauses.extend(&chars[taken..begin.max(taken)]);
        taken = end;
    }
    clauses.extend(&chars[taken..]);
    clauses
}

fn bare(text: &str, ansi_quotes: bool, schema: &str, table: &str) -> Result<String> {
    let Ok(tokens) = spanned(text, ansi_quotes) else { return Ok(text.to_owned()) };
    let mut end = tokens.len();
    while end > 0 && tokens[end - 1].0.is_sign(';') {
        end -= 1;
    }
    let mut rest = &tokens[..end];
    let chars: Vec<char> = text.chars().collect();
    if let Some(clause) = pasted::as_clause(&chars, rest, schema, table) {
        return clause;
    }
    if let [(first, _), tail @ ..] = rest
        && first.is("ALTER")
    {
        let mut tail = tail;
        while let [(word, _), after @ ..] = tail
            && (word.is("ONLINE") || word.is("IGNORE"))
        {
            tail = after;
        }
        if let [(word, _), after @ ..] = tail
            && word.is("TABLE")
        {
            rest = named(after, schema, table)?;
        }
    }
    // Comments before the clauses stay: the server runs some of them.
    let begin = if rest.len() == end {
        0
    } else {
        rest.first().map_or(chars.len(), |(_, span)| span.start)
    };
    let close = if end == tokens.len() { chars.len() } else { tokens[end].1.start };
    Ok(chars[begin.min(close)..close].iter().collect())
}

/// Returns whether the text is one list of clauses and nothing after it.
pub(crate) fn is_single_statement(text: &str, ansi_quotes: bool) -> bool {
    tokens(text, ansi_quotes).is_ok_and(|tokens| !tokens.iter().any(|token| token.is_sign(';')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_statement_is_taken_if_it_is_about_the_table() {
        for text in [
            "ALTER TABLE t ADD a INT",
            "alter table `s`.`t`  ADD a INT ;",
            "ALTER IGNORE TABLE IF EXISTS s.t ADD a INT;",
            "ADD a INT",
        ] {
            assert_eq!(bare(text, false, "s", "t").unwrap().trim(), "ADD a INT", "{text}");
        }
        for text in ["ALTER TABLE other ADD a INT", "ALTER TABLE x.t ADD a INT"] {
            assert!(bare(text, false, "s", "t").is_err(), "{text}");
        }
        assert_eq!(
            bare("ALTER COLUMN a SET DEFAULT 1", false, "s", "t").unwrap(),
            "ALTER COLUMN a SET DEFAULT 1"
        );
        assert_eq!(bare("ADD a INT; DROP b", false, "s", "t").unwrap(), "ADD a INT; DROP b");
        assert_eq!(bare("ALTER TABLE t", false, "s", "t").unwrap(), "");
        assert_eq!(bare("", false, "s", "t").unwrap(), "");
    }

    #[test]
    fn the_means_are_taken_out_of_the_clauses() {
        for (text, clauses, means) in [
            (
                "ADD a INT, ALGORITHM=INPLACE, LOCK = NONE",
                "ADD a INT",
                "ALGORITHM=INPLACE LOCK=NONE",
            ),
            ("algorithm instant, ADD a INT", "ADD a INT", "ALGORITHM=INSTANT"),
            ("ADD a INT, LOCK=NONE, DROP b", "ADD a INT, DROP b", "LOCK=NONE"),
            ("ALGORITHM=COPY, LOCK=NONE", "", "ALGORITHM=COPY LOCK=NONE"),
            ("ADD algorithm INT, ADD `lock` INT", "ADD algorithm INT, ADD `lock` INT", ""),
            ("", "", ""),
        ] {
            let (kept, found) = asked(text, false, "s", "t").unwrap();
            assert_eq!((kept.trim(), &*found.join(" ")), (clauses, means), "{text}");
        }
    }

    #[test]
    fn foreign_keys_that_are_dropped_are_taken_out_of_the_clauses() {
        let there = ["b c".to_owned(), "d".to_owned()];
        for (text, rest, dropped) in [
            (
                "ADD a INT COMMENT 'DROP FOREIGN KEY d', drop foreign key `b c`, DROP KEY d",
                "ADD a INT COMMENT 'DROP FOREIGN KEY d', DROP KEY d",
                "b c",
            ),
            ("DROP CONSTRAINT IF EXISTS D, DROP CONSTRAINT e", "DROP CONSTRAINT e", "d"),
            ("DROP FOREIGN KEY d", "", "d"),
        ] {
            let (found, names) = without_dropped_keys(text, false, &there);
            assert_eq!((found.trim(), &*names.join(" ")), (rest, dropped), "{text}");
        }
    }

    #[test]
    fn a_second_statement_is_seen() {
        assert!(is_single_statement("ADD a INT COMMENT ';'", false));
        assert!(!is_single_statement("ADD a INT; DROP TABLE t", false));
    }
}
