//! Finds `CREATE INDEX` and `DROP INDEX` among the clauses, and names the statement to run instead.
//! ALTER TABLE has no such clause, and the server itself creates and drops an index without
//! blocking. Pure.

use crate::schema::lexer::{self, Token};
use crate::sql;
use altergeist_contract::{Code, Finding};

/// Returns the first such statement in the text, and what to run instead.
pub(crate) fn index_statement(text: &str) -> Option<Finding> {
    let statements = lexer::statements(text).ok()?;
    let is_alone = statements.len() == 1;
    statements.iter().find_map(|tokens| {
        let instead = instead(text, tokens)?;
        let begin = if is_alone {
            "run it yourself"
        } else {
            "leave it out, and run it yourself when this \
                                                      change is done"
        };
        let given = &text[tokens.first()?.start..tokens.last()?.end];
        let reason = "an index is no clause of ALTER TABLE; the server makes and drops one \
                      without blocking anybody";
        Some(Finding::error(
            Code::ClauseRejected,
            format!("statement {given}"),
            reason,
            format!("{begin}: {instead}"),
        ))
    })
}

/// Whether the tokens drop a column of the name `index`.
pub(crate) fn drops_a_column(tokens: &[Token]) -> bool {
    let is_clause_s_end =
        |token: &Token| matches!(token.word(), Some("cascade" | "restrict")) || token.is_sign(',');
    is(tokens, 0, "drop") && is(tokens, 1, "index") && tokens.get(2).is_none_or(is_clause_s_end)
}

fn is(tokens: &[Token], at: usize, word: &str) -> bool {
    tokens.get(at).and_then(Token::word) == Some(word)
}

fn instead(text: &str, tokens: &[Token]) -> Option<String> {
    let is_made = is(tokens, 0, "create");
    let at = if is_made && is(tokens, 1, "unique") { 2 } else { 1 };
    if !is_made && !is(tokens, 0, "drop") || !is(tokens, at, "index") || drops_a_column(tokens) {
        return None;
    }
    let behind = if is(tokens, at + 1, "concurrently") { at + 2 } else { at + 1 };
    let rest = &text[tokens.get(behind)?.start..tokens.last()?.end];
    // The server drops concurrently only one index at a time, and none with CASCADE.
    let is_bound = |token: &Token| token.is_sign(',') || token.word() == Some("cascade");
    let is_concurrent = is_made || !tokens.iter().any(is_bound);
    let begin = sql::index_statement(is_made, is_made && at == 2, is_concurrent);
    Some(format!("{begin} {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_to_run_instead_is_named() {
        for (given, instead) in [
            ("CREATE INDEX i ON t (v)", "CREATE INDEX CONCURRENTLY i ON t (v)"),
            (
                "create unique index on public.t using btree (lower(v)) where n > 3;",
                "CREATE UNIQUE INDEX CONCURRENTLY on public.t using btree (lower(v)) where n > 3",
            ),
            (
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (v)",
                "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (v)",
            ),
            ("DROP INDEX i", "DROP INDEX CONCURRENTLY i"),
            (
                "DROP INDEX IF EXISTS public.i RESTRICT",
                "DROP INDEX CONCURRENTLY IF EXISTS public.i RESTRICT",
            ),
            ("DROP INDEX a, b", "DROP INDEX a, b"),
            (
                "ALTER TABLE t ADD COLUMN c int; CREATE INDEX i ON t (c)",
                "CREATE INDEX CONCURRENTLY i ON t (c)",
            ),
        ] {
            let refusal = index_statement(given).expect(given);
            assert!(
                refusal.remedy.ends_with(&format!(": {instead}")),
                "{given}: {}",
                refusal.remedy
            );
        }
    }

    #[test]
    fn clauses_are_told_from_them() {
        for clauses in [
            "DROP index",
            "DROP index CASCADE, ADD COLUMN c int",
            "ADD index int",
            "DROP COLUMN index",
            "",
            "ADD c text DEFAULT 'CREATE INDEX'",
        ] {
            assert_eq!(index_statement(clauses).map(|refusal| refusal.object), None, "{clauses}");
        }
    }
}
