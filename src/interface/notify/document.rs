//! What a hook and a webhook get: a JSON document, and the same in variables. The names are a
//! contract, and `docs/reference/hooks.schema.json` is its text.

use crate::interface::report;
use altergeist::{Event, News, Phase, Status};
use serde::Serialize;
use std::time::SystemTime;

/// Its number grows when a name changes or goes.
const FORMAT_VERSION: u32 = 1;

/// An event with its circumstances.
#[derive(Serialize)]
pub struct Document<'a> {
    format_version: u32,
    event: Event,
    at: String,
    may_stop: bool,
    reason: Option<&'a str>,
    given_by: Option<&'a str>,
    door: Option<String>,
    exit_code: Option<u8>,
    table: &'a str,
    server: &'a str,
    phase: Phase,
    host: String,
    process: u32,
    owner: Option<&'a str>,
    decider: Option<&'a str>,
    ticket: Option<&'a str>,
    status: &'a Status,
}

impl<'a> Document<'a> {
    /// Says it of some news.
    pub fn of(news: &'a News) -> Document<'a> {
        let status = &news.status;
        Document {
            format_version: FORMAT_VERSION,
            event: news.event,
            at: moment(news.at),
            may_stop: news.event.may_stop(),
            reason: news.reason.as_deref(),
            given_by: news.giver.as_ref().map(|giver| giver.name.as_str()),
            door: news.giver.as_ref().map(|giver| giver.door.to_string()),
            exit_code: news.exit_code,
            table: &status.table,
            server: &status.server,
            phase: status.phase,
            host: host(),
            process: std::process::id(),
            owner: status.owner.as_deref(),
            decider: status.decider.as_deref(),
            ticket: status.ticket.as_deref(),
            status,
        }
    }

    /// As JSON, in one line.
    pub fn json(&self) -> String {
        report::json(self)
    }

    /// As variables, each with a name that begins with `ALTERGEIST_`. What is unknown is empty.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let status = self.status;
        vec![
            ("ALTERGEIST_EVENT", self.event.name().to_owned()),
            ("ALTERGEIST_AT", self.at.clone()),
            ("ALTERGEIST_REASON", text(self.reason)),
            ("ALTERGEIST_GIVEN_BY", text(self.given_by)),
            ("ALTERGEIST_DOOR", text(self.door.as_deref())),
            ("ALTERGEIST_EXIT_CODE", self.exit_code.map(|it| it.to_string()).unwrap_or_default()),
            ("ALTERGEIST_TABLE", self.table.to_owned()),
            ("ALTERGEIST_ALTER", status.alter.clone()),
            ("ALTERGEIST_SERVER", self.server.to_owned()),
            ("ALTERGEIST_PHASE", report::json(&self.phase).trim_matches('"').to_owned()),
            ("ALTERGEIST_PERCENT", format!("{:.1}", status.percent)),
            ("ALTERGEIST_ROWS_COPIED", status.rows_copied.to_string()),
            ("ALTERGEIST_ROWS_ESTIMATED", status.rows_estimated.to_string()),
            ("ALTERGEIST_ROWS_VERIFIED", status.rows_verified.to_string()),
            (
                "ALTERGEIST_ETA_SECONDS",
                status.eta_seconds.map(|it| it.to_string()).unwrap_or_default(),
            ),
            ("ALTERGEIST_ELAPSED_SECONDS", status.elapsed_seconds.to_string()),
            ("ALTERGEIST_HOST", self.host.clone()),
            ("ALTERGEIST_PROCESS", self.process.to_string()),
            ("ALTERGEIST_OWNER", text(self.owner)),
            ("ALTERGEIST_DECIDER", text(self.decider)),
            ("ALTERGEIST_TICKET", text(self.ticket)),
        ]
    }

    /// In a sentence, for a chat.
    pub fn sentence(&self) -> String {
        let mut text = format!("{}: {}", self.table, self.event.name().replace('-', " "));
        match self.reason {
            Some(reason) => text += &format!(": {reason}"),
            None => text += &format!(" ({})", report::line(self.status)),
        }
        if let (Some(who), Some(door)) = (self.given_by, &self.door) {
            text += &format!(" (by {who}, through {door})");
        }
        for (what, who) in
            [("owner", self.owner), ("decider", self.decider), ("ticket", self.ticket)]
        {
            if let Some(who) = who {
                text += &format!(", {what} {who}");
            }
        }
        text
    }
}

fn moment(at: SystemTime) -> String {
    let moment = jiff::Timestamp::try_from(at).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::{Door, Giver};
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn schema() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/hooks.schema.json");
        let text = std::fs::read_to_string(path).expect("the schema is there");
        serde_json::from_str(&text).expect("the schema is JSON")
    }

    fn names(object: &Value) -> BTreeSet<&str> {
        object.as_object().expect("it is an object").keys().map(String::as_str).collect()
    }

    fn listed(list: &Value) -> BTreeSet<&str> {
        list.as_array().expect("it is a list").iter().filter_map(Value::as_str).collect()
    }

    #[test]
    fn the_document_is_what_the_schema_says() {
        let status = Status { owner: Some("ann".into()), ..Status::default() };
        let news = News { reason: Some("why".into()), ..News::of(Event::Waiting, status) };
        let document: Value =
            serde_json::from_str(&Document::of(&news).json()).expect("it is JSON");
        let schema = schema();
        assert_eq!(names(&document), names(&schema["properties"]));
        assert_eq!(names(&document), listed(&schema["required"]));
        let of_status = &schema["properties"]["status"]["properties"];
        assert_eq!(names(of_status), names(&document["status"]));
        let phases = Phase::ALL.map(|phase| phase.to_string());
        let phases: BTreeSet<&str> = phases.iter().map(String::as_str).collect();
        assert_eq!(listed(&schema["properties"]["phase"]["enum"]), phases);
        assert_eq!(listed(&of_status["phase"]["enum"]), phases);
        let events: BTreeSet<&str> = Event::ALL.iter().map(|event| event.name()).collect();
        assert_eq!(events, listed(&schema["properties"]["event"]["enum"]));
        assert_eq!((&document["owner"], &document["event"]), (&"ann".into(), &"waiting".into()));
    }

    #[test]
    fn the_page_names_every_event_and_every_variable() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/hooks.md");
        let page = std::fs::read_to_string(path).expect("the page is there");
        for event in Event::ALL {
            assert!(page.contains(&format!("`on-{}`", event.name())), "{}", event.name());
        }
        let news = News::of(Event::Startup, Status::default());
        for (name, _) in Document::of(&news).variables() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn a_chat_reads_a_sentence() {
        let status = Status {
            table: "shop.orders".into(),
            ticket: Some("OPS-7".into()),
            ..Status::default()
        };
        let news =
            News { reason: Some("gate a: 3 > 1".into()), ..News::of(Event::CheckFailed, status) };
        let said = Document::of(&news).sentence();
        assert_eq!(said, "shop.orders: check failed: gate a: 3 > 1, ticket OPS-7");
        let status = Status { table: "shop.orders".into(), ..Status::default() };
        let order = News {
            reason: Some("workers=2".into()),
            giver: Some(Giver::new("ann", Door::Console)),
            ..News::of(Event::Order, status)
        };
        let order = Document::of(&order);
        assert_eq!(order.sentence(), "shop.orders: order: workers=2 (by ann, through console)");
        let json: Value = serde_json::from_str(&order.json()).expect("it is JSON");
        assert_eq!((&json["given_by"], &json["door"]), (&"ann".into(), &"console".into()));
    }
}
