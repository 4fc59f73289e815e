//! Option files, as the servers' own clients read them: `/etc/my.cnf`, `/etc/mysql/my.cnf`,
//! `~/.my.cnf`, and what they include.

use std::path::{Path, PathBuf};

/// Groups with options for connecting.
const GROUPS: [&str; 5] = ["client", "client-server", "client-mariadb", "mysql", "altergeist"];
/// How deep files may include files.
const DEEPEST: u8 = 10;

/// The options for connecting. A later one wins.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Client {
    pub user: Option<String>,
    pub password: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub socket: Option<String>,
    pub ssl_mode: Option<String>,
    pub ssl_ca: Option<PathBuf>,
}

impl Client {
    /// Reads the files of this machine and of this user.
    pub(crate) fn of_home() -> Client {
        let mut client = Client::default();
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".my.cnf"));
        for path in ["/etc/my.cnf", "/etc/mysql/my.cnf"].map(PathBuf::from).into_iter().chain(home)
        {
            client.read_file(&path, DEEPEST);
        }
        client
    }

    fn read_file(&mut self, path: &Path, depth: u8) {
        if let Ok(text) = std::fs::read_to_string(path) {
            self.read(&text, depth);
        }
    }

    pub(crate) fn read(&mut self, text: &str, depth: u8) {
        let mut inside = false;
        for line in text.lines().map(str::trim) {
            match line.chars().next() {
                None | Some('#' | ';') => {}
                Some('!') => self.include(line, depth),
                Some('[') => inside = group(line).is_some_and(|group| GROUPS.contains(&group)),
                Some(_) if inside => self.take(line),
                Some(_) => {}
            }
        }
    }

    /// `!include FILE`, and `!includedir FOLDER` for its files that end in `.cnf`.
    fn include(&mut self, line: &str, depth: u8) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let Some((word, path)) = line.split_once(char::is_whitespace) else { return };
        let path = Path::new(path.trim());
        match word {
            "!include" => self.read_file(path, depth),
            "!includedir" => {
                let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
                let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
                files.retain(|file| file.extension().is_some_and(|extension| extension == "cnf"));
                files.sort();
                files.iter().for_each(|file| self.read_file(file, depth));
            }
            _ => {}
        }
    }

    pub(crate) fn take(&mut self, line: &str) {
        let line = without_comment(line);
        let (name, value) =
            line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        let value = value.map(|value| plain(value.trim()));
        let name = name.trim().replace('_', "-");
        match name.strip_prefix("loose-").unwrap_or(&name) {
            "user" => self.user = value,
            "password" => self.password = value,
            "host" => self.host = value,
            "port" => self.port = value.and_then(|port| port.parse().ok()),
            "socket" => self.socket = value,
            "ssl-mode" => self.ssl_mode = value,
            "ssl-ca" => self.ssl_ca = value.map(PathBuf::from),
            // MariaDB's words.
            "ssl" => {
                self.ssl_mode =
                    Some(if is_off(value.as_deref()) { "disabled" } else { "required" }.into())
            }
            "skip-ssl" | "disable-ssl" => self.ssl_mode = Some("disabled".into()),
            "ssl-verify-server-cert" if !is_off(value.as_deref()) => {
                self.ssl_mode = Some("verify_identity".into())
            }
            _ => {}
        }
    }
}

fn is_off(value: Option<&str>) -> bool {
    matches!(value, Some("0" | "off" | "OFF" | "false" | "FALSE"))
}

/// The name in `[name]`, without a comment behind it.
fn group(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.split_once(']').map(|(name, _)| name.trim())
}

/// A comment may begin in the middle of a line, but not in quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut escaped) = (None, false);
    for (place, char) in line.char_indices() {
        match (char, quote) {
            ('#', None) => return line[..place].trim_end(),
            ('\'' | '"', None) if !escaped => quote = Some(char),
            (char, Some(open)) if char == open && !escaped => quote = None,
            _ => {}
        }
        escaped = char == '\\' && !escaped;
    }
    line
}

/// The value without its quotes, and with its escapes undone.
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

    fn read(text: &str) -> Client {
        let mut client = Client::default();
        client.read(text, DEEPEST);
        client
    }

    #[test]
    fn only_the_groups_of_clients_count() {
        let client = read(
            "[mysqld]\nuser=mysql\n!includedir /etc/x\n[client] # ours\n# why\nuser = \
             me\npassword=\"p#1 ;x\"\nport=3307 # \
             main\nskip-x\n[mysqldump]\nhost=other\n[client-server]\nssl_mode=REQUIRED\n",
        );
        assert_eq!(client.user.as_deref(), Some("me"));
        assert_eq!(client.password.as_deref(), Some("p#1 ;x"));
        assert_eq!((client.port, client.host), (Some(3307), None));
        assert_eq!(client.ssl_mode.as_deref(), Some("REQUIRED"));
    }

    #[test]
    fn files_are_included() {
        let folder =
            std::env::temp_dir().join(format!("altergeist-option-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.cnf"), "[client]\nuser=included\n").unwrap();
        std::fs::write(folder.join("b.txt"), "[client]\nuser=ignored\n").unwrap();
        let shown = folder.display();
        let client = read(&format!("[client]\nuser=me\n!includedir {shown}\n"));
        let again = read(&format!("!include {shown}/a.cnf\n[client]\nhost=h\n"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(client.user.as_deref(), Some("included"));
        assert_eq!((again.user.as_deref(), again.host.as_deref()), (Some("included"), Some("h")));
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(plain(r"a\sb\\c\d"), r"a b\c\d");
        assert_eq!(without_comment(r#"password='a#b' # c"#), "password='a#b'");
    }
}
