//! Whole statements: the beginning of an ALTER TABLE, and the statements that create a table.

use crate::schema::lexer::{self, Token, TokenKind};
use crate::schema::pasted;
use crate::server::names::Names;

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

/// Removes `ALTER TABLE [IF EXISTS] [ONLY] name [*]` from the beginning of a statement. Refuses
/// another table's name.
pub(crate) fn without_alter_table(tokens: Vec<Token>, names: &Names) -> Result<Vec<Token>, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
