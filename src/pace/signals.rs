//! Signals that the operator's own means give: a file, a query, an HTTP service. A signal that
//! cannot be read means: wait.

use crate::control::Settings;
use altergeist_contract::Engine;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long an answer counts.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// How long a query may take. The run copies nothing meanwhile.
const PATIENCE_OF_QUERY: Duration = Duration::from_secs(5);

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the operator's signals said last.
#[derive(Default)]
pub struct Signals {
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    when: Instant,
    query: Option<String>,
    url: Option<String>,
    reason: Option<String>,
}

impl Signals {
    /// Returns the signal that throttles the run, as a reason. None if none does.
    pub async fn reason<E: Engine>(&self, engine: &E, settings: &Settings) -> Option<String> {
        if let Some(path) = &settings.throttle_file
            && may_exist(path)
        {
            return Some(format!("throttle-file exists ({})", path.display()));
        }
        if settings.throttle_query.is_none() && settings.throttle_http.is_none() {
            return None;
        }
        let mut seen = self.seen.lock().await;
        let is_fresh = |seen: &Seen| {
            seen.when.elapsed() < COUNTS_FOR
                && seen.query == settings.throttle_query
                && seen.url == settings.throttle_http
        };
        if let Some(seen) = seen.as_ref().filter(|seen| is_fresh(seen)) {
            return seen.reason.clone();
        }
        let mut reason = None;
        if let Some(query) = &settings.throttle_query {
            reason = of_query(engine, query).await;
        }
        if let Some(url) = settings.throttle_http.as_ref().filter(|_| reason.is_none()) {
            reason = of_http(url).await;
        }
        *seen = Some(Seen {
            when: Instant::now(),
            query: settings.throttle_query.clone(),
            url: settings.throttle_http.clone(),
            reason: reason.clone(),
        });
        reason
    }
}

/// Whether a file is there, or cannot be looked for.
pub fn may_exist(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

async fn of_query<E: Engine>(engine: &E, query: &str) -> Option<String> {
    let Ok(answered) = timeout(PATIENCE_OF_QUERY, engine.ask(query)).await else {
        let limit = PATIENCE_OF_QUERY.as_secs();
        return Some(format!("throttle-query unknown (no answer within {limit} s)"));
    };
    match answered {
        Err(error) => Some(format!("throttle-query unknown ({})", error.reason)),
        // No row is no reason to wait, as with gh-ost.
        Ok(None) => None,
        Ok(Some(answer)) => match answer.trim().parse::<f64>() {
            Ok(number) if number <= 0.0 => None,
            Ok(number) => Some(format!("throttle-query {number} > 0")),
            Err(_) => Some("throttle-query unknown (the answer is not a number)".into()),
        },
    }
}

async fn of_http(url: &str) -> Option<String> {
    let (asked, url) = (url.to_owned(), without_login(url));
    let asking = tokio::task::spawn_blocking(move || status_of(&asked));
    match asking.await {
        Ok(Ok(200)) => None,
        Ok(Ok(status)) => Some(format!("throttle-http {status} ({url})")),
        Ok(Err(failure)) => Some(format!("throttle-http unknown ({url}: {failure})")),
        Err(_) => Some(format!("throttle-http unknown ({url})")),
    }
}

/// The address as it may be shown: a login in it is a secret.
fn without_login(url: &str) -> String {
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
        .timeout_global(Some(PATIENCE))
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
        assert_eq!(of_http(&serve("200 OK")).await, None);
        let busy = of_http(&serve("429 Too Many Requests")).await.unwrap();
        assert!(busy.starts_with("throttle-http 429 (http://"), "{busy}");
        let nobody = of_http("http://127.0.0.1:1/check").await.unwrap();
        assert!(nobody.starts_with("throttle-http unknown"), "{nobody}");
        let elsewhere = serve("301 Moved Permanently\r\nlocation: http://127.0.0.1:1/");
        let moved = of_http(&elsewhere).await.unwrap();
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
}
