//! Gives the server its own words back so that it reads what it meant. Of `kind IN ('a', 'b')` over a varchar column it says
//! `(kind)::text = ANY ((ARRAY['a'::character varying, …])::text[])`, and reads that as something that is spelled otherwise:
//! the cast goes to every element. Without the cast it adds the same one it had left unsaid.

/// A statement, or several, in the spelling that is read as it was meant.
pub(crate) fn reread(text: &str) -> String {
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
        if let Some((end, tail)) = end_of_array(array).and_then(|end| Some((end, after_cast(&array[end..])?))) {
            out.push_str(&array[..end]);
            rest = tail;
        } else {
            out.push('(');
            rest = &rest[1..];
        }
    }
    out + rest
}

/// Where an `ARRAY[…]` at the beginning of the text ends.
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

/// What follows `)::type[]`, if that is what the text begins with.
fn after_cast(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(")::")?;
    let end = rest.find("[])")?;
    let is_type = rest[..end].chars().all(|letter| letter.is_ascii_alphanumeric() || " _.\"".contains(letter));
    is_type.then(|| &rest[end + 2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cast_of_a_list_is_left_to_the_server() {
        let said = "CHECK (((kind)::text = ANY ((ARRAY['a]''['::character varying, 'b'::character varying])::text[])))";
        let meant = "CHECK (((kind)::text = ANY (ARRAY['a]''['::character varying, 'b'::character varying])))";
        assert_eq!(reread(said), meant);
        assert_eq!(reread(meant), meant);
        assert_eq!(reread("x <> ALL ((ARRAY['a'::bpchar])::text[]) AND y"), "x <> ALL (ARRAY['a'::bpchar]) AND y");
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for text in
            ["a = ANY (('{a}'::character varying[])::text[])", "a = ANY ((ARRAY['a'::text] || b))", "ANY ((ARRAY['", ""]
        {
            assert_eq!(reread(text), text);
        }
    }
}
