//! Signals that the operator's own means give: a file, a query, an HTTP service, the free disk. A
//! signal that cannot be read means: wait.

use crate::control::Settings;
use crate::gate::check::is_query;
use crate::gate::command;
use crate::pace::signal::{Observation, Signal};
use altergeist_contract::{Engine, Reading, Result};
use std::path::Path;

/// Whether a file is there, or cannot be looked for.
pub fn may_exist(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// The operator's file: the run waits while it exists.
pub fn of_file(path: Option<&Path>) -> Observation {
    match path.filter(|path| may_exist(path)) {
        Some(path) => Observation {
            observed: Some("exists".into()),
            reason: Some(format!("throttle-file exists ({})", path.display())),
        },
        None => Observation::fine("no file"),
    }
}

/// The operator's query: the run waits while the answer is greater than 0.
pub async fn of_query<E: Engine>(engine: &E, query: Option<&str>) -> Observation {
    const NAME: &str = "throttle-query";
    let Some(query) = query else { return Observation::default() };
    match engine.ask(query).await {
        Err(error) => Observation::unknown(NAME, &error.reason),
        // No row is no reason to wait, as with gh-ost.
        Ok(None) => Observation::fine("no row"),
        Ok(Some(answer)) => match answer.trim().parse::<f64>() {
            Ok(number) if number <= 0.0 => Observation::fine(number.to_string()),
            Ok(number) => Observation {
                observed: Some(number.to_string()),
                reason: Some(format!("{NAME} {number} > 0")),
            },
            Err(_) => Observation::unknown(NAME, "the answer is not a number"),
        },
    }
}

/// The free disk of the server, by the operator's query or command, or as the server tells it.
pub async fn of_disk<E: Engine>(engine: &E, settings: &Settings) -> Result<Observation> {
    let name = Signal::FreeDisk.name();
    let Some(least) = settings.min_free_disk else { return Ok(Observation::default()) };
    let free = match &settings.free_disk {
        None => engine.read(Reading::FreeDisk).await?,
        Some(question) => match free_bytes(engine, question).await {
            Ok(free) => free,
            Err(why) => return Ok(Observation::unknown(name, &why)),
        },
    };
    let (shown, limit) = (bytes_text(free), exact_bytes_text(least));
    let reason = (free < least).then(|| format!("{name} {shown} < {limit}"));
    Ok(Observation { observed: Some(shown), reason })
}

/// Asks the operator's query or command how many bytes are free.
///
/// # Errors
/// Why nobody knows.
pub async fn free_bytes<E: Engine>(engine: &E, question: &str) -> std::result::Result<u64, String> {
    let answer = match is_query(question) {
        true => {
            let asked = engine.ask(question).await.map_err(|error| error.reason)?;
            asked.unwrap_or_default()
        }
        false => command::last_line(question, engine.table()).await?,
    };
    let form = "the answer is not a number of bytes, as 21474836480 or 20GB";
    bytes(&answer).map_err(|_| form.to_owned())
}

/// Reads bytes, as `512`, `500MB` or `20GB`.
///
/// # Errors
/// How to write it.
pub fn bytes(text: &str) -> std::result::Result<u64, String> {
    const FORM: &str = "write it as 500MB or 20GB";
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        "T" | "TB" => 1 << 40,
        _ => return Err(FORM.into()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| FORM.to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "the number is too large".into())
}

/// Reads a limit in bytes, which must have a unit: a bare 20 would mean 20 bytes.
///
/// # Errors
/// How to write it.
pub fn bytes_with_unit(text: &str) -> std::result::Result<u64, String> {
    match text.trim().parse::<u64>() {
        Ok(number) if number > 0 => Err("it needs a unit: write it as 500MB or 20GB".into()),
        _ => bytes(text),
    }
}

/// Bytes as a limit is written: exactly, in the largest unit that does: 20GB, 1536MB.
pub fn exact_bytes_text(bytes: u64) -> String {
    let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
    match units.iter().find(|(bits, _)| bytes > 0 && bytes.is_multiple_of(1_u64 << bits)) {
        Some((bits, unit)) => format!("{}{unit}", bytes >> bits),
        None => format!("{bytes}B"),
    }
}

/// Bytes for people: two digits or more, in the largest unit that gives them: 20GB, 1536MB.
pub fn bytes_text(bytes: u64) -> String {
    let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
    match units
        .iter()
        .find(|(bits, _)| bytes >> bits >= 10 || bytes > 0 && bytes.is_multiple_of(1_u64 << bits))
    {
        Some((bits, unit)) => format!("{}{unit}", bytes >> bits),
        None => format!("{bytes}B"),
    }
}

/// The operator's service: the run waits unless HEAD is answered by 200.
pub async fn of_http(url: Option<&str>) -> Observation {
    const NAME: &str = "throttle-http";
    let Some(url) = url else { return Observation::default() };
    let (asked, url) = (url.to_owned(), without_login(url));
    let asking = tokio::task::spawn_blocking(move || status_of(&asked));
    match asking.await {
        Ok(Ok(200)) => Observation::fine("200"),
        Ok(Ok(status)) => Observation {
            observed: Some(status.to_string()),
            reason: Some(format!("{NAME} {status} != 200 ({url})")),
        },
        Ok(Err(failure)) => Observation::unknown(NAME, &format!("{url}: {failure}")),
        Err(_) => Observation::unknown(NAME, &url),
    }
}

/// The address as it may be shown: a login in it is a secret.
pub fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((login, _)) => format!("{scheme}://{}", &rest[login.len() + 1..]),
        None => url.to_owned(),
    }
}

/// The status of the answer to HEAD.
fn status_of(url: &str) -> Result<u16, String> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(Signal::ThrottleHttp.time_limit()))
        .http_status_as_error(false)
        // Only the service itself may say that the copy may go on.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .new_agent();
    let answer = agent.head(url).call().map_err(|error| error.to_string())?;
    Ok(answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    /// Answers one request with a status.
    fn serve(status: &'static str) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/check", listener.local_addr().expect("it is bound"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut request = [0; 1024];
            let read = stream.read(&mut request).expect("a request comes");
            assert!(request[..read].starts_with(b"HEAD /check "));
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").expect("it is there");
        });
        url
    }

    #[tokio::test]
    async fn only_200_lets_the_copy_go_on() {
        let said = async |url: &str| of_http(Some(url)).await.reason;
        assert_eq!(said(&serve("200 OK")).await, None);
        let busy = said(&serve("429 Too Many Requests")).await.unwrap();
        assert!(busy.starts_with("throttle-http 429 != 200 (http://"), "{busy}");
        let nobody = said("http://127.0.0.1:1/check").await.unwrap();
        assert!(nobody.starts_with("throttle-http unknown"), "{nobody}");
        let elsewhere = serve("301 Moved Permanently\r\nlocation: http://127.0.0.1:1/");
        let moved = said(&elsewhere).await.unwrap();
        assert!(moved.starts_with("throttle-http 301"), "{moved}");
    }

    #[test]
    fn a_file_that_cannot_be_looked_for_counts_as_there() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let file = folder.path().join("file");
        assert!(!may_exist(&file));
        std::fs::write(&file, "").expect("a file can be written");
        assert!(may_exist(&file) && may_exist(&file.join("below a file")));
    }

    #[test]
    fn a_login_is_not_shown() {
        assert_eq!(without_login("http://me:pw@host/a@b"), "http://host/a@b");
        assert_eq!(without_login("http://host/a@b"), "http://host/a@b");
    }

    #[test]
    fn bytes_have_a_unit_and_a_limit_without_one_is_refused() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes(" 20GB\n"), Ok(20 << 30));
        assert!(bytes("much").is_err() && bytes("-1").is_err() && bytes("").is_err());
        assert!(bytes("99999999TB").is_err());
        assert_eq!(bytes_with_unit("20GB"), Ok(20 << 30));
        assert_eq!(bytes_with_unit("0"), Ok(0));
        assert!(bytes_with_unit("20").is_err());
        assert_eq!(exact_bytes_text(90_000 << 30), "90000GB");
        for text in ["20GB", "1536MB", "3TB", "0B", "7KB"] {
            assert_eq!(bytes_text(bytes(text).unwrap()), text);
            assert_eq!(exact_bytes_text(bytes(text).unwrap()), text);
        }
    }
}
