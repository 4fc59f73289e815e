//! Finds the string literals of Rust code, for the rules of the house.

use std::ops::RangeInclusive;

/// A string literal of a Rust file.
pub struct Literal {
    /// The lines of the file that it spans.
    pub lines: RangeInclusive<usize>,
    /// Its text, with continued lines joined.
    pub text: String,
}

/// The string literals of a file, without comments.
pub fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut rest = source;
    let line_at = |rest: &str| source[..source.len() - rest.len()].matches('\n').count() + 1;
    while let Some(next) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some((hashes, inside)) = raw_start(rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = inside.find(&end).expect("a raw string ends");
            let text = &inside[..length];
            let (line, lines) = (line_at(rest), text.matches('\n').count());
            found.push(Literal { lines: line..=line + lines, text: text.to_owned() });
            rest = &inside[length + end.len()..];
        } else if next == '"' {
            let inside = &rest[1..];
            let length = end_of_string(inside);
            let text = &inside[..length];
            let (line, lines) = (line_at(rest), text.matches('\n').count());
            found.push(Literal { lines: line..=line + lines, text: joined(text) });
            rest = &inside[length + 1..];
        } else if next == '\'' {
            // A character, or a lifetime.
            let inside = &rest[1..];
            let length = match inside.strip_prefix('\\') {
                Some(escaped) => escaped.find('\'').map(|end| end + 2),
                None => {
                    inside.char_indices().nth(1).filter(|(_, c)| *c == '\'').map(|(at, _)| at + 1)
                }
            };
            rest = &inside[length.unwrap_or(0)..];
        } else {
            rest = &rest[next.len_utf8()..];
        }
    }
    found
}

fn raw_start(rest: &str) -> Option<(usize, &str)> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"').map(|inside| (hashes, inside))
}

fn end_of_string(inside: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at,
            _ => {}
        }
    }
    unreachable!("a string ends")
}

/// What a literal says, with its continued lines joined.
fn joined(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + part.trim_start())
}
