//! Texts inside the expressions of a table's definition: `_latin1'é'` in a CHECK, a generated
//! column, an index over an expression. Pure.
//!
//! MySQL stores such a text as bytes of some character set. SHOW CREATE TABLE shows those bytes
//! only to a session without a character set for results; other sessions get question marks. And
//! the server respells them. A CHECK that has `_utf8mb4'new'` today has `_latin1'new'` after the
//! next ALTER of a latin1 table. So the run spells them in hex for the server, and compares two
//! definitions without character sets.

use crate::sql::quote::hex;
use crate::sql::string;

/// Returns the definition as text. A literal that is not plain ASCII becomes hex, which has the
/// same bytes in every session.
pub(crate) fn faithful(definition: &[u8]) -> String {
    let mut text = Vec::with_capacity(definition.len());
    let mut rest = definition;
    while let Some(literal) = Literal::next(rest) {
        text.extend_from_slice(&rest[..literal.begin]);
        let spelled = &rest[literal.begin..literal.end];
        if is_plain(&literal.value) {
            text.extend_from_slice(spelled);
        } else {
            text.extend_from_slice(&rest[literal.begin..literal.quote]);
            text.extend_from_slice(format!(" x'{}'", hex(&literal.value)).as_bytes());
        }
        rest = &rest[literal.end..];
    }
    text.extend_from_slice(rest);
    String::from_utf8_lossy(&text).into_owned()
}

/// Returns the definition for comparing: without the character sets of literals, and without what
/// only some of them can spell.
pub(crate) fn without_charsets(definition: &str) -> String {
    let mut text = String::with_capacity(definition.len());
    let mut rest = definition;
    while let Some(literal) = Literal::next(rest.as_bytes()) {
        text.push_str(&rest[..literal.begin]);
        let charset = &rest[literal.begin..literal.quote];
        let is_wide = ["_ucs2", "_utf16", "_utf16le", "_utf32"].contains(&charset);
        let narrow = literal.value.iter().filter(|byte| !is_wide || **byte != 0).copied();
        match String::from_utf8(narrow.collect()).ok().filter(|value| is_plain(value.as_bytes())) {
            Some(value) => text.push_str(&string(&value)),
            None => text.push_str("'?'"),
        }
        rest = &rest[literal.end..];
    }
    text.push_str(rest);
    text
}

fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii() && *byte != 0)
}

/// A literal with its character set before it: `_latin1'new'`, `_latin1 x'e9'`.
struct Literal {
    begin: usize,
    /// Where the quote is, or the blank before a hex literal.
    quote: usize,
    end: usize,
    value: Vec<u8>,
}

impl Literal {
    /// Returns the first literal. It skips quoted names, and texts without a character set.
    pub(crate) fn next(text: &[u8]) -> Option<Literal> {
        let mut place = 0;
        while place < text.len() {
            match text[place] {
                quote @ (b'`' | b'"') => place = behind_name(text, place, quote),
                b'\'' => place = behind_text(text, place)?.0,
                b'_' if !is_of_word(text, place) => match Literal::at(text, place) {
                    Some(literal) => return Some(literal),
                    None => place += 1,
                },
                _ => place += 1,
            }
        }
        None
    }

    pub(crate) fn at(text: &[u8], begin: usize) -> Option<Literal> {
        let name = text[begin + 1..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let quote = begin + 1 + name;
        let is_hex = text[quote..].starts_with(b" x'");
        if name == 0 || !(is_hex || text.get(quote) == Some(&b'\'')) {
            return None;
        }
        let (end, said) = behind_text(text, if is_hex { quote + 2 } else { quote })?;
        let value = if is_hex { unhexed(&said)? } else { said };
        Some(Literal { begin, quote, end, value })
    }
}

/// Returns whether the byte before belongs to a word, so that no word begins here.
fn is_of_word(text: &[u8], place: usize) -> bool {
    place > 0
        && (text[place - 1].is_ascii_alphanumeric()
            || matches!(text[place - 1], b'_' | b'$' | 0x80..))
}

fn behind_name(text: &[u8], begin: usize, quote: u8) -> usize {
    let mut place = begin + 1;
    while place < text.len() && text[place] != quote {
        place += 1;
    }
    // A doubled quote begins the rest of the name like another name.
    place + 1
}

/// Returns where a text ends, and its bytes without the escapes.
fn behind_text(text: &[u8], begin: usize) -> Option<(usize, Vec<u8>)> {
    let mut value = Vec::new();
    let mut place = begin + 1;
    loop {
        match *text.get(place)? {
            b'\\' => {
                value.push(unescaped(*text.get(place + 1)?));
                place += 2;
            }
            b'\'' if text.get(place + 1) == Some(&b'\'') => {
                value.push(b'\'');
                place += 2;
            }
            b'\'' => return Some((place + 1, value)),
            byte => {
                value.push(byte);
                place += 1;
            }
        }
    }
}

fn unhexed(digits: &[u8]) -> Option<Vec<u8>> {
    let pairs =
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'0' => 0,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'Z' => 26,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_said_in_hex() {
        assert_eq!(
            faithful(
                b"CHECK ((`_a'` in (_latin1'new',_latin1'\xe9',_utf8mb4'it\\'s'))) COMMENT \
                       '_latin1\\'x\\''"
            ),
            "CHECK ((`_a'` in (_latin1'new',_latin1 x'e9',_utf8mb4'it\\'s'))) COMMENT \
             '_latin1\\'x\\''"
        );
        // The server escapes bytes, not characters.
        assert_eq!(faithful(b"(concat(`a`,_gbk'\xd5\\\\'))"), "(concat(`a`,_gbk x'd55c'))");
        assert_eq!(faithful(b"_utf16'\\0a\\0b'"), "_utf16 x'00610062'");
        assert_eq!(faithful("DEFAULT 'é' COMMENT 'ü'".as_bytes()), "DEFAULT 'é' COMMENT 'ü'");
    }

    #[test]
    fn character_sets_make_no_difference() {
        let plain = without_charsets("CHECK ((`status` in (_utf8mb4'new',_utf8mb4 x'c3a9')))");
        assert_eq!(plain, without_charsets("CHECK ((`status` in (_latin1'new',_latin1 x'e9')))"));
        assert_eq!(
            plain,
            without_charsets("CHECK ((`status` in (_utf16 x'006e00650077',_utf16 x'00e9')))")
        );
        assert_ne!(
            plain,
            without_charsets("CHECK ((`status` in (_utf8mb4'old',_utf8mb4 x'c3a9')))")
        );
        assert_eq!(
            without_charsets("`a_latin1'x'` int COMMENT '_x'"),
            "`a_latin1'x'` int COMMENT '_x'"
        );
    }
}
