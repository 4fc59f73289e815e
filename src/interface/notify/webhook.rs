//! The webhook: each event is posted as JSON, and posted again if that fails.

use crate::interface::address::server;
use crate::interface::notify::document::Document;
use altergeist::{Event, News};
use clap::ValueEnum;
use std::time::Duration;

/// Longest time of one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The pauses before further attempts.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// How a webhook wants its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum WebhookFormat {
    /// The document that hooks get
    Json,
    /// {"text": …}, without on-status, as Slack and Mattermost read it
    Slack,
}

/// Where events are posted.
pub struct Webhook {
    /// Who knows it may post there, so it is never shown.
    url: String,
    format: WebhookFormat,
}

impl Webhook {
    /// Posts to this URL.
    pub fn new(url: String, format: WebhookFormat) -> Webhook {
        Webhook { url, format }
    }

    /// Posts news. A failure is reported, and changes nothing.
    pub fn report(&self, news: &News) {
        let Some(body) = self.body(news) else { return };
        if let Err(reason) = self.post_until_taken(&body) {
            tracing::warn!(
                "the webhook at {} did not take {}: {reason}",
                server(&self.url),
                news.event.name()
            );
        }
    }

    fn body(&self, news: &News) -> Option<String> {
        let document = Document::of(news);
        match self.format {
            WebhookFormat::Json => Some(document.json()),
            WebhookFormat::Slack if news.event == Event::Status => None,
            WebhookFormat::Slack => {
                let text = document.sentence();
                let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                Some(serde_json::json!({ "text": text }).to_string())
            }
        }
    }

    fn post_until_taken(&self, body: &str) -> Result<(), String> {
        let mut pauses = PAUSES.iter();
        loop {
            let Err(reason) = self.post(body) else { return Ok(()) };
            let Some(pause) = pauses.next() else { return Err(reason) };
            std::thread::sleep(*pause);
        }
    }

    fn post(&self, body: &str) -> Result<(), String> {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ATTEMPT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .new_agent();
        let sent = agent.post(&self.url).header("content-type", "application/json").send(body);
        match sent.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) => Err(format!("its answer is {}", status.as_u16())),
            Err(error) => Err(error.to_string().replace(&self.url, "the URL")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::Status;
    use std::io::{Read, Write};

    /// Reads a request to the end of its body.
    fn body_of(stream: &mut std::net::TcpStream) -> String {
        let (mut request, mut buffer) = (String::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut buffer).expect("a request comes");
            request += std::str::from_utf8(&buffer[..read]).expect("it is text");
            let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                return body.to_owned();
            }
        }
    }

    /// Answers one request after the other, each with its status. Returns the bodies.
    fn serve(statuses: &'static [&'static str]) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/T0/secret", listener.local_addr().expect("it is bound"));
        let serving = std::thread::spawn(move || {
            let answer = |status: &&str| {
                let (mut stream, _) = listener.accept().expect("a client comes");
                let body = body_of(&mut stream);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).expect("it is open");
                body
            };
            statuses.iter().map(answer).collect()
        });
        (url, serving)
    }

    fn news() -> News {
        let status = Status { table: "shop.t".into(), ..Status::default() };
        News { reason: Some("3 > 1".into()), ..News::of(Event::CheckFailed, status) }
    }

    #[test]
    fn what_a_webhook_does_not_take_is_posted_again() {
        let (url, serving) = serve(&["503 Busy", "302 Found", "200 OK"]);
        let webhook = Webhook::new(url, WebhookFormat::Json);
        let body = webhook.body(&news()).expect("it has a body");
        assert_eq!(webhook.post_until_taken(&body), Ok(()));
        assert_eq!(serving.join().expect("it has served"), vec![body; 3]);
    }

    #[test]
    fn a_chat_gets_a_text_and_no_minutes() {
        let webhook = Webhook::new("http://127.0.0.1:1/secret".into(), WebhookFormat::Slack);
        let body = webhook.body(&news());
        assert_eq!(body.as_deref(), Some(r#"{"text":"shop.t: check failed: 3 &gt; 1"}"#));
        assert_eq!(webhook.body(&News::of(Event::Status, Status::default())), None);
        let reason = webhook.post("{}").expect_err("nobody listens there");
        assert!(!reason.contains("secret"), "{reason}");
    }
}
