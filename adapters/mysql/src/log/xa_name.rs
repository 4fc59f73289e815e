//! Names of prepared (XA) transactions, in one spelling. Pure.

use crate::schema::lexer::Token;

/// Reads `X'6162',X'',1`, as the server writes it.
pub(crate) fn xid(tokens: &[Token]) -> Option<String> {
    let texts: Vec<&String> = tokens
        .iter()
        .filter_map(|token| if let Token::Text(text) = token { Some(text) } else { None })
        .collect();
    let [gtrid, bqual] = texts[..] else { return None };
    let format = tokens.iter().rev().find_map(|token| match token {
        Token::Word(word) => word.parse::<u32>().ok(),
        _ => None,
    })?;
    Some(spell_xid(format, &gtrid.to_lowercase(), &bqual.to_lowercase()))
}

/// The one spelling of a prepared transaction's name, its parts in hex.
pub(crate) fn spell_xid(format: u32, gtrid: &str, bqual: &str) -> String {
    format!("{format}-{gtrid}-{bqual}")
}

/// Returns the name as XA statements take it.
pub(crate) fn quoted_xid(spelled: &str) -> String {
    let mut parts = spelled.split('-');
    let mut part = || parts.next().unwrap_or_default();
    let (format, gtrid, bqual) = (part(), part(), part());
    format!("X'{gtrid}', X'{bqual}', {format}")
}
