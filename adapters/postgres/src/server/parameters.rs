//! The parameters of a connection, in libpq's words: from a URL or a string of `key=value`. A
//! service file and the environment supply the rest. They are never printed: a password may be
//! among them.

use altergeist_contract::Result;
use altergeist_contract::url::{percent_decoded, unreadable};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Words that we understand.
const KNOWN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "password",
    "passfile",
    "sslmode",
    "sslrootcert",
    "options",
    "connect_timeout",
    "target_session_attrs",
    "service",
];

/// Words that change nothing here. Our sessions have a name of their own, watch their connection,
/// and use UTF-8.
const WITHOUT_MEANING: &[&str] = &[
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "gssencmode",
    "sslcompression",
    "load_balance_hosts",
];

/// The variable in the environment for each.
const VARIABLES: &[(&str, &str)] = &[
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGDATABASE", "dbname"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGOPTIONS", "options"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// What was asked for, by libpq's words.
#[derive(Default)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads a URL or a string of `key=value`.
    pub(crate) fn read(given: &str) -> Result<Parameters> {
        let mut parameters = Parameters::default();
        match given.split_once("://") {
            Some(("postgres" | "postgresql", rest)) => parameters.read_url(rest)?,
            Some(_) => return Err(unreadable("its scheme is not postgres")),
            None => parameters.read_words(given)?,
        }
        Ok(parameters)
    }

    /// Adds what is missing from the named service and from the environment.
    pub(crate) fn fill(&mut self) -> Result<()> {
        if let Some(service) =
            self.get("service").map(str::to_owned).or_else(|| variable("PGSERVICE"))
        {
            let text = service_file().ok_or_else(|| {
                unreadable(format!("no service file can be read for the service {service}"))
            })?;
            self.add_service(&text, &service)?;
        }
        for (variable_name, word) in VARIABLES {
            if let Some(value) = variable(variable_name) {
                self.0.entry((*word).to_owned()).or_insert(value);
            }
        }
        Ok(())
    }

    /// One of them; an empty one is none.
    pub(crate) fn get(&self, word: &str) -> Option<&str> {
        self.0.get(word).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn set(&mut self, word: &str, value: String) -> Result<()> {
        match (word, &*value) {
            _ if KNOWN.contains(&word) => drop(self.0.insert(word.to_owned(), value)),
            _ if WITHOUT_MEANING.contains(&word) => {}
            ("channel_binding", "disable" | "prefer") | ("sslnegotiation", "postgres") => {}
            _ => return Err(unreadable(format!("its parameter {word} is not known here"))),
        }
        Ok(())
    }

    fn read_url(&mut self, rest: &str) -> Result<()> {
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = before.split_once('/').unwrap_or((before, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[').and_then(|inner| inner.split_once(']'))
            {
                Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or("")),
                None => host.rsplit_once(':').unwrap_or((host, "")),
            };
            names.push(percent_decoded(name)?);
            ports.push(percent_decoded(port)?);
        }
        let is_given = |list: &[String]| list.iter().any(|item| !item.is_empty());
        for (word, value) in [
            ("user", percent_decoded(user)?),
            ("password", percent_decoded(password)?),
            ("dbname", percent_decoded(path)?),
        ] {
            if !value.is_empty() {
                self.set(word, value)?;
            }
        }
        if is_given(&names) {
            self.set("host", names.join(","))?;
        }
        if is_given(&ports) {
            self.set("port", ports.join(","))?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (word, value) =
                pair.split_once('=').ok_or_else(|| unreadable("a parameter of it has no value"))?;
            self.set(&percent_decoded(word)?, percent_decoded(value)?)?;
        }
        Ok(())
    }

    /// Reads `key=value` pairs between blanks; a value may be in quotes, and a backslash keeps what
    /// follows it.
    fn read_words(&mut self, text: &str) -> Result<()> {
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (word, after) = rest
                .split_once('=')
                .ok_or_else(|| unreadable("it is neither a URL nor key=value pairs"))?;
            let mut characters = after.trim_start().char_indices().peekable();
            let is_quoted = characters.next_if(|(_, first)| *first == '\'').is_some();
            let (mut value, mut is_closed) = (String::new(), !is_quoted);
            let after = after.trim_start();
            let mut end = after.len();
            while let Some((at, character)) = characters.next() {
                match character {
                    '\\' => value.extend(characters.next().map(|(_, kept)| kept)),
                    '\'' if is_quoted => {
                        (is_closed, end) = (true, at + 1);
                        break;
                    }
                    blank if blank.is_whitespace() && !is_quoted => {
                        end = at;
                        break;
                    }
                    other => value.push(other),
                }
            }
            if !is_closed {
                return Err(unreadable("a quote in it is never closed"));
            }
            self.set(word.trim(), value)?;
            rest = after[end..].trim_start();
        }
        Ok(())
    }

    /// Adds what is missing from a service of a service file.
    fn add_service(&mut self, text: &str, service: &str) -> Result<()> {
        let head = format!("[{service}]");
        let mut lines = text.lines().map(str::trim).skip_while(|line| *line != head);
        if lines.next().is_none() {
            return Err(unreadable(format!("the service file knows no service {service}")));
        }
        let mut found = Parameters::default();
        for line in lines.take_while(|line| !line.starts_with('[')) {
            if let Some((word, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
                found.set(word.trim(), value.trim().to_owned())?;
            }
        }
        for (word, value) in found.0 {
            self.0.entry(word).or_insert(value);
        }
        Ok(())
    }
}

/// The service file's text: the user's own, or else the system's.
fn service_file() -> Option<String> {
    let own = variable("PGSERVICEFILE").map(PathBuf::from);
    let home = || Some(PathBuf::from(variable("HOME")?).join(".pg_service.conf"));
    let system = || Some(PathBuf::from(variable("PGSYSCONFDIR")?).join("pg_service.conf"));
    let files =
        [own.or_else(home), system(), Some("/etc/postgresql-common/pg_service.conf".into())];
    files.into_iter().flatten().find_map(|file| std::fs::read_to_string(file).ok())
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(given: &str, word: &str) -> Option<String> {
        Parameters::read(given).unwrap().get(word).map(str::to_owned)
    }

    #[test]
    fn a_url_gives_its_parts_with_escapes_undone() {
        let url =
            "postgres://a%40b:p%3Aw@[::1]:5433/my%20db?sslmode=require&options=-c%20geqo%3Doff";
        let parts = ["user", "password", "host", "port", "dbname", "sslmode", "options"]
            .map(|word| get(url, word).unwrap());
        assert_eq!(parts, ["a@b", "p:w", "::1", "5433", "my db", "require", "-c geqo=off"]);
    }

    #[test]
    fn a_url_may_name_several_hosts() {
        let url =
            "postgresql://u@one:1,two:2/db?target_session_attrs=read-write&application_name=x";
        assert_eq!(get(url, "host").unwrap(), "one,two");
        assert_eq!(get(url, "port").unwrap(), "1,2");
        assert_eq!(get("postgres://u@one,two:2/db", "port").unwrap(), ",2");
    }

    #[test]
    fn pairs_are_read_with_quotes_and_backslashes() {
        let given = "host = /run/pg dbname='my \\'db' user=u\\ v  password=''";
        assert_eq!(get(given, "host").unwrap(), "/run/pg");
        assert_eq!(get(given, "dbname").unwrap(), "my 'db");
        assert_eq!(get(given, "user").unwrap(), "u v");
        assert_eq!(get(given, "password"), None);
        for broken in [
            "host",
            "host='a",
            "nonsense=1",
            "postgres://h/db?x=1",
            "mysql://h/db",
            "postgres://h/%zz",
        ] {
            assert!(Parameters::read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_service_fills_what_was_left_open() {
        let mut parameters = Parameters::read("service=shop dbname=mine").unwrap();
        let file = "[other]\nhost=no\n[shop]\n# note\nhost = db1 \ndbname=theirs\n[last]\nport=1\n";
        parameters.add_service(file, "shop").unwrap();
        assert_eq!(parameters.get("host"), Some("db1"));
        assert_eq!(parameters.get("dbname"), Some("mine"));
        assert_eq!(parameters.get("port"), None);
        assert!(parameters.add_service(file, "none").is_err());
    }

    #[test]
    fn an_error_about_a_url_does_not_show_it() {
        let error = Parameters::read("postgres://u:secret@h/db?nonsense=secret").err().unwrap();
        assert!(!error.to_string().contains("secret"));
    }
}
