//! The `[client]` group of `~/.my.cnf`, as the servers' own clients read it. Includes are not followed.

/// What the file says about connecting.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Client {
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub socket: Option<String>,
}

impl Client {
    /// The file in the user's home; nothing if there is none.
    pub(crate) fn of_home() -> Client {
        let path = std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".my.cnf"));
        let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Client::read(&text)
    }

    fn read(text: &str) -> Client {
        let mut client = Client::default();
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            match line.chars().next() {
                None | Some('#' | ';' | '!') => {}
                Some('[') => inside = line == "[client]",
                Some(_) if inside => client.take(line),
                Some(_) => {}
            }
        }
        client
    }

    fn take(&mut self, line: &str) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let value = Some(plain(value.trim()));
        match name.trim() {
            "user" => self.user = value,
            "password" => self.password = value,
            "host" => self.host = value,
            "port" => self.port = value.and_then(|port| port.parse().ok()),
            "socket" => self.socket = value,
            _ => {}
        }
    }
}

/// Without its quotes, and with its escapes read.
fn plain(value: &str) -> String {
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    let mut chars = quoted('"').or_else(|| quoted('\'')).unwrap_or(value).chars().peekable();
    let mut plain = String::new();
    while let Some(char) = chars.next() {
        let escaped = if char == '\\' { chars.peek().and_then(|next| escape(*next)) } else { None };
        plain.push(escaped.unwrap_or(char));
        if escaped.is_some() {
            chars.next();
        }
    }
    plain
}

fn escape(char: char) -> Option<char> {
    match char {
        'b' => Some('\u{8}'),
        't' => Some('\t'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        's' => Some(' '),
        '\\' => Some('\\'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_client_group_counts() {
        let text = "[mysqld]\nuser=mysql\n!includedir /etc/x\n[client]\n# why\nuser = me\npassword=\"p#1 ;x\"\nport=3307\nskip-x\n[mysqldump]\nhost=other\n";
        let client = Client::read(text);
        assert_eq!(client.user.as_deref(), Some("me"));
        assert_eq!(client.password.as_deref(), Some("p#1 ;x"));
        assert_eq!((client.port, client.host), (Some(3307), None));
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(plain(r"a\sb\\c\d"), r"a b\c\d");
    }
}
