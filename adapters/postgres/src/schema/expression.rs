//! Rewrites the server's own words so that it reads what it meant. For `kind IN ('a', 'b')` over a
//! varchar column it prints `(kind)::text = ANY ((ARRAY['a'::character varying, …])::text[])`. It
//! reads that as another expression, because the cast goes to every element. Without the cast it
//! adds the same one by itself. For `SELECT NULL` in a later arm of a UNION it prints
//! `NULL::integer`, and reads that as a column with the name `int4`. So this adds the name that it
//! left out, which is always `?column?`.

/// Returns statements in a spelling that the server reads as it meant them.
pub(crate) fn reread(text: &str) -> String {
    // The text between dollars is the user's own.
    if text.contains("$function") || text.contains("$procedure") {
        return text.to_owned();
    }
    with_names(&without_casts(text))
}

/// Removes the casts of lists. The server adds them by itself.
fn without_casts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, found)) = ["ANY (", "ALL ("]
        .iter()
        .filter_map(|word| Some((rest.find(&format!("{word}(ARRAY["))?, word)))
        .min_by_key(|(at, _)| *at)
    {
        let (before, after) = rest.split_at(at + found.len());
        out.push_str(before);
        let array = &after[1..];
        rest = after;
        if let Some((end, tail)) =
            end_of_array(array).and_then(|end| Some((end, after_cast(&array[end..])?)))
        {
            out.push_str(&array[..end]);
            rest = tail;
        } else {
            out.push('(');
            rest = &rest[1..];
        }
    }
    out + rest
}

/// Returns where an `ARRAY[…]` at the beginning of the text ends.
fn end_of_array(text: &str) -> Option<usize> {
    let (mut depth, mut is_quoted) = (0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            '[' if !is_quoted => depth += 1,
            ']' if !is_quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns what follows `)::type[]`, if the text begins so.
fn after_cast(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(")::")?;
    let end = rest.find("[])")?;
    let is_type = rest[..end]
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || " _.\"".contains(letter));
    is_type.then(|| &rest[end + 2..])
}

/// Adds names to entries of select lists that end in a cast or a collation. The server prints one
/// entry a line.
fn with_names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quote, mut is_in_list) = (None, false);
    for line in text.split_inclusive('\n') {
        let select = (quote.is_none()).then(|| last_select(line)).flatten();
        let start = select.or_else(|| is_in_list.then(|| line.len() - line.trim_start().len()));
        let end = start.filter(|_| quote.is_none()).and_then(|start| end_of_nameless(line, start));
        match end {
            Some(end) => out.extend([&line[..end], " AS \"?column?\"", &line[end..]]),
            None => out.push_str(line),
        }
        quote = unquoted(line, quote).last().map_or(quote, |(_, _, after)| after);
        is_in_list = quote.is_none() && line.trim_end().ends_with(',');
    }
    out
}

/// Returns where the entry of the line's last select list begins.
fn last_select(line: &str) -> Option<usize> {
    let is_plain =
        |at: usize| unquoted(line, None).any(|(place, quote, _)| place == at && quote.is_none());
    let (at, word) = line.rmatch_indices("SELECT ").find(|(at, _)| is_plain(*at))?;
    let start = at + word.len();
    Some(start + if line[start..].starts_with("DISTINCT ") { "DISTINCT ".len() } else { 0 })
}

/// Returns where the entry at `start` ends, if it has no name and the server would take one from a
/// cast or a collation. For columns, functions and CASE the server prints the name.
fn end_of_nameless(line: &str, start: usize) -> Option<usize> {
    let entry = &line[start..];
    let is_nameless =
        entry.starts_with(['\'', '(']) || entry.starts_with(|letter: char| letter.is_ascii_digit());
    if !is_nameless && !["NULL::", "E'", "B'", "X'"].iter().any(|word| entry.starts_with(word)) {
        return None;
    }
    let (mut depth, mut cast, mut end) = (0, None, entry.trim_end().len());
    for (at, ..) in unquoted(entry, None).filter(|(_, quote, _)| quote.is_none()) {
        match &entry[at..] {
            rest if rest.starts_with(['(', '[']) => depth += 1,
            rest if depth == 0 && rest.starts_with([',', ')', ';']) => {
                end = end.min(at);
                break;
            }
            rest if rest.starts_with([')', ']']) => depth -= 1,
            rest if depth == 0 && rest.starts_with("::") => cast = Some(at + 2),
            _ => {}
        }
    }
    let is_type = |text: &str| {
        text.chars().all(|letter| letter.is_alphanumeric() || " _.\"()[],".contains(letter))
    };
    let ends_in_cast = cast
        .filter(|at| *at <= end)
        .is_some_and(|at| is_type(&entry[at..end]) && !entry[at..end].contains(" AS "));
    let ends_in_collation = entry[..end].starts_with('(')
        && entry[..end].ends_with(')')
        && entry[..end].contains(" COLLATE ");
    (depth == 0 && (ends_in_cast || ends_in_collation)).then_some(start + end)
}

/// Yields each letter's position, the quote around it, and the quote that is open after it. A
/// quote's own marks count as inside it.
fn unquoted(
    text: &str,
    open: Option<char>,
) -> impl Iterator<Item = (usize, Option<char>, Option<char>)> {
    text.char_indices().scan(open, |open, (at, letter)| {
        let before = *open;
        match (before, letter) {
            (None, '\'' | '"') => *open = Some(letter),
            (Some(quote), letter) if letter == quote => *open = None,
            _ => {}
        }
        let within = before.or(*open);
        Some((at, within, *open))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cast_of_a_list_is_left_to_the_server() {
        let said = "CHECK (((kind)::text = ANY ((ARRAY['a]''['::character varying, 'b'::character \
                    varying])::text[])))";
        let meant = "CHECK (((kind)::text = ANY (ARRAY['a]''['::character varying, 'b'::character \
                     varying])))";
        assert_eq!(reread(said), meant);
        assert_eq!(reread(meant), meant);
        assert_eq!(
            reread("x <> ALL ((ARRAY['a'::bpchar])::text[]) AND y"),
            "x <> ALL (ARRAY['a'::bpchar]) AND y"
        );
    }

    #[test]
    fn what_the_server_leaves_without_a_name_is_told_it() {
        let said = "CREATE OR REPLACE VIEW v AS\n SELECT a,\n    b\n   FROM ( SELECT 'x,'::text \
                    AS a,\n            t.b\n           FROM t\n        UNION ALL\n         SELECT \
                    'it''s'::text,\n            (t.b + 1)::numeric(10,2),\n            \
                    NULL::integer\n           FROM t) q\n  WHERE (a IN ( SELECT DISTINCT \
                    '-1'::character varying[]));";
        let meant = "CREATE OR REPLACE VIEW v AS\n SELECT a,\n    b\n   FROM ( SELECT 'x,'::text \
                     AS a,\n            t.b\n           FROM t\n        UNION ALL\n         SELECT \
                     'it''s'::text AS \"?column?\",\n            (t.b + 1)::numeric(10,2) AS \
                     \"?column?\",\n            NULL::integer AS \"?column?\"\n           FROM t) \
                     q\n  WHERE (a IN ( SELECT DISTINCT '-1'::character varying[] AS \
                     \"?column?\"));";
        assert_eq!(reread(said), meant);
        assert_eq!(reread(meant), meant);
        assert_eq!(
            reread("SELECT ('x'::text COLLATE \"C\"),\n 1"),
            "SELECT ('x'::text COLLATE \"C\") AS \"?column?\",\n 1"
        );
    }

    #[test]
    fn what_is_quoted_over_lines_is_no_list() {
        for text in [
            "SELECT 'a,\n NULL::integer,\n'::text AS a,\n b",
            "SELECT \"it's\",\n CASE\n  WHEN a THEN 'x'::text\n  ELSE 'y'::text\n END AS c",
            "AS $function$ SELECT NULL::integer, ALL ((ARRAY['a'::bpchar])::text[]) $function$",
            "WHERE (a = 'x'::text)\n  AND 'SELECT '::text = b",
        ] {
            assert_eq!(reread(text), text);
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for text in [
            "a = ANY (('{a}'::character varying[])::text[])",
            "a = ANY ((ARRAY['a'::text] || b))",
            "ANY ((ARRAY['",
            "",
        ] {
            assert_eq!(reread(text), text);
        }
    }
}
