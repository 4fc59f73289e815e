//! Addresses of servers, as they may be shown: without passwords.

/// Returns user, host and database of a URL.
pub fn without_password(url: &str) -> String {
    let Some((head, tail)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let user = head.rsplit_once("://").map_or(head, |(_, login)| login);
    format!("{}@{tail}", user.split(':').next().unwrap_or_default())
}

/// Returns host and port of a URL or of a connection string with `host=…`. Nothing else of it: any
/// other part may be a secret.
pub fn server(url: &str) -> String {
    match url.split_once("://") {
        Some((_, rest)) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            match authority.rsplit_once('@') {
                Some((_, server)) => server.to_owned(),
                // A password with a slash in it would look like a host.
                None if rest.contains('@') => String::new(),
                None => authority.to_owned(),
            }
        }
        None => {
            let value = |name: &str| {
                let mut words = url.split_whitespace();
                words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
            };
            let parts: Vec<String> =
                ["host", "port"].iter().filter_map(|name| value(name)).collect();
            parts.join(":")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_password() {
        assert_eq!(without_password("mysql://me:secret@h/db"), "me@h/db");
        assert_eq!(server("mysql://me:secret@h:3306/db?ssl=1"), "h:3306");
        assert_eq!(server("postgres://me:se@cret@h"), "h");
        assert_eq!(server("host=h port=5433 password=secret dbname=d"), "h:5433");
        assert_eq!(server("postgres://me:se/cret@h"), "");
        assert_eq!(server("secret"), "");
    }
}
