//! Connection strings without their passwords, to show them and to use them with another password.

/// Returns a URL, or `key=value` words, without the password.
pub fn without_password(given: &str) -> String {
    match given.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", url_without_password(rest)),
        None => words_without_password(given),
    }
}

/// Returns any text with every URL in it without its password.
pub fn shown(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.contains("://") {
        true => without_password(word),
        false => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn url_without_password(rest: &str) -> String {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold a slash that is not escaped. Then everything up to the last @ goes.
    let is_open = !rest[..end].contains('@') && rest[..end].contains(':');
    let at = if is_open { rest.rfind('@') } else { rest[..end].rfind('@') };
    let (login, place) = at.map_or(("", rest), |at| (&rest[..at], &rest[at..]));
    let user = login.split(':').next().unwrap_or_default();
    let Some((path, query)) = place.split_once('?') else { return format!("{user}{place}") };
    let is_shown = |pair: &&str| !pair.to_ascii_lowercase().starts_with("password=");
    let query: Vec<&str> = query.split('&').filter(is_shown).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{user}{path}{mark}{}", query.join("&"))
}

/// `host=db password='a b' user=me`, as libpq reads it.
fn words_without_password(given: &str) -> String {
    let mut kept = Vec::new();
    let mut rest = given.trim_start();
    while let Some((key, value)) = rest.split_once('=') {
        let value = value.trim_start();
        let end = end_of_value(value);
        if key.trim() != "password" {
            kept.push(format!("{}={}", key.trim(), &value[..end]));
        }
        rest = value[end..].trim_start();
    }
    kept.push(rest.to_owned());
    kept.join(" ").trim_end().to_owned()
}

/// Where a value ends: at the closing quote, or at a blank. A backslash escapes both.
fn end_of_value(value: &str) -> usize {
    let is_quoted = value.starts_with('\'');
    let mut is_escaped = false;
    for (at, letter) in value.char_indices().skip(usize::from(is_quoted)) {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\'' if is_quoted => return at + 1,
            letter if !is_quoted && letter.is_whitespace() => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_and_the_rest_stays() {
        for (given, kept) in [
            ("mysql://me:hush@h:1/d?ssl-mode=OFF", "mysql://me@h:1/d?ssl-mode=OFF"),
            ("mysql://me@h/d", "mysql://me@h/d"),
            ("postgres://h:5432/d", "postgres://h:5432/d"),
            ("postgres://me:a%40b@h/d?password=hush&x=1", "postgres://me@h/d?x=1"),
            ("postgres://h/d?password=hush", "postgres://h/d"),
            ("mysql://me:hu/s@h@h/d", "mysql://me@h/d"),
            ("host=h password='hu \\'sh' user=u", "host=h user=u"),
            ("password = hush\\ x host=h", "host=h"),
        ] {
            assert_eq!(without_password(given), kept, "{given}");
        }
        assert_eq!(shown("n: curl http://a:hush@h/x < 1"), "n: curl http://a@h/x < 1");
    }
}
