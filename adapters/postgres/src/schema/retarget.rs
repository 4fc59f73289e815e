//! Makes a statement that the server printed name another table of the same name. The server prints
//! every name in full, so a name is two words with a dot between. Quoted text stays, except a name
//! with a cast.

/// A relation or function that is in another schema for now. All three names are spelled as the
/// server quotes them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Move {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// The schema that holds it.
    pub(crate) to: String,
}

impl Move {
    /// Returns the reverse.
    pub(crate) fn back(&self) -> Move {
        Move { schema: self.to.clone(), name: self.name.clone(), to: self.schema.clone() }
    }
}

/// Returns the statement, with every moved name in its new schema.
pub(crate) fn retarget(text: &str, moves: &[Move]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_part = false;
    while let Some(first) = rest.chars().next() {
        let length = token(rest, first);
        let (word, tail) = rest.split_at(length);
        rest = tail;
        if is_word(word)
            && !is_part
            && let Some((moved, name)) =
                after_dot(tail).and_then(|name| Some((find(moves, word, name)?, name)))
        {
            out.extend([&moved.to, ".", name]);
            rest = &tail[1 + name.len()..];
            is_part = true;
            continue;
        }
        match literal(word, tail, moves) {
            Some(moved) => out.push_str(&moved),
            None => out.push_str(word),
        }
        is_part = word == ".";
    }
    out
}

/// Returns the two words of a qualified name that begins the text.
pub(crate) fn qualified(text: &str) -> Option<(&str, &str)> {
    let (schema, tail) = text.split_at(token(text, text.chars().next()?));
    let name = after_dot(tail)?;
    is_word(schema).then_some((schema, name))
}

fn find<'a>(moves: &'a [Move], schema: &str, name: &str) -> Option<&'a Move> {
    moves.iter().find(|moved| moved.schema == schema && moved.name == name)
}

/// Returns the word after a dot that begins the text.
fn after_dot(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('.')?;
    let word = &rest[..token(rest, rest.chars().next()?)];
    is_word(word).then_some(word)
}

fn is_word(token: &str) -> bool {
    token.starts_with(|letter: char| letter == '"' || letter == '_' || letter.is_alphabetic())
        && !(token.len() > 1 && token.ends_with('\''))
}

/// Returns a moved name in full that is text, and that a cast makes a relation, a type or a
/// function.
fn literal(token: &str, tail: &str, moves: &[Move]) -> Option<String> {
    let text = token.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'");
    if !tail.starts_with("::reg") {
        return None;
    }
    let moved = retarget(&text, moves);
    (moved != text).then(|| format!("'{}'", moved.replace('\'', "''")))
}

/// Returns the length of the token that begins the text: a word, a quoted word, a quoted text, or
/// one letter.
fn token(text: &str, first: char) -> usize {
    let rest = &text[first.len_utf8()..];
    match first {
        '"' => quoted(text, 1, '"', false),
        '\'' => quoted(text, 1, '\'', false),
        'E' if rest.starts_with('\'') => quoted(text, 2, '\'', true),
        '$' => dollars(text),
        _ if first == '_' || first.is_alphabetic() => {
            let is_inside =
                |letter: char| letter == '_' || letter == '$' || letter.is_alphanumeric();
            text.find(|letter| !is_inside(letter)).unwrap_or(text.len())
        }
        _ => first.len_utf8(),
    }
}

fn quoted(text: &str, from: usize, mark: char, has_escapes: bool) -> usize {
    let mut letters = text[from..].char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if has_escapes && letter == '\\' {
            letters.next();
        } else if letter == mark && letters.next_if(|(_, next)| *next == mark).is_none() {
            return from + at + 1;
        }
    }
    text.len()
}

fn dollars(text: &str) -> usize {
    let tag = text[1..].find('$').map(|end| &text[..end + 2]);
    let is_tag = |tag: &&str| {
        tag[1..tag.len() - 1].chars().all(|letter| letter == '_' || letter.is_alphanumeric())
    };
    let Some(tag) = tag.filter(is_tag) else { return 1 };
    text[tag.len()..].find(tag).map_or(1, |end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(schema: &str, name: &str) -> Move {
        Move { schema: schema.into(), name: name.into(), to: "elsewhere".into() }
    }

    #[test]
    fn a_name_in_full_is_moved_wherever_it_stands() {
        let moves = [moved("public", "t"), moved("\"A b\"", "\"T.\"\"x\"")];
        let said = "SELECT (x.*)::public.t, 'public.t'::regclass FROM public.t x JOIN \"A \
                    b\".\"T.\"\"x\" ON public.f(t.id)";
        let meant = "SELECT (x.*)::elsewhere.t, 'elsewhere.t'::regclass FROM elsewhere.t x \
                     JOIN elsewhere.\"T.\"\"x\" ON public.f(t.id)";
        assert_eq!(retarget(said, &moves), meant);
        let back: Vec<Move> = moves.iter().map(Move::back).collect();
        assert_eq!(retarget("FROM elsewhere.t", &back[..1]), "FROM public.t");
    }

    #[test]
    fn other_names_and_texts_stay() {
        let moves = [moved("public", "t")];
        for text in [
            "public.tt, xpublic.t, a.public.t, 'public.t', E'\\'public.t', t.id, \"public.t\"",
            "AS $function$ SELECT 1 FROM public.t $function$",
            "SELECT 'it''s public.t'::text, $1",
        ] {
            assert_eq!(retarget(text, &moves), text);
        }
    }

    #[test]
    fn a_name_is_taken_apart() {
        assert_eq!(qualified("public.\"v \"\"1\" AS x"), Some(("public", "\"v \"\"1\"")));
        assert_eq!(qualified("v"), None);
    }
}
