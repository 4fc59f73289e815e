//! Who hears of a run: the flags of hooks, webhooks and names.

use crate::interface::notify::{Hooks, Notifier, Webhook, WebhookFormat, check_folder};
use altergeist::Status;
use altergeist::control::setting::http_url;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Who hears of a run.
#[derive(Args)]
pub struct NotifyArgs {
    /// Folder of hooks: executable files on-startup, on-waiting, on-success and others
    #[arg(long, value_name = "DIR", value_parser = folder)]
    hooks: Option<PathBuf>,
    /// Longest time of a hook; then it is killed, and counts as failed
    #[arg(long, value_name = "TIME", value_parser = hook_time, default_value = "30s")]
    hook_timeout: Duration,
    /// URL that each event is posted to
    #[arg(
        long,
        value_name = "URL",
        value_parser = http_url,
        env = "ALTERGEIST_WEBHOOK",
        hide_env_values = true
    )]
    webhook: Option<String>,
    /// What is posted
    #[arg(long, value_enum, default_value_t = WebhookFormat::Json)]
    webhook_format: WebhookFormat,
    /// Who answers for the change; status, hooks and webhooks name it
    #[arg(long, value_name = "WHO")]
    owner: Option<String>,
    /// Who decides whether to go back
    #[arg(long, value_name = "WHO")]
    decider: Option<String>,
    /// The change's ticket
    #[arg(long, value_name = "TICKET")]
    ticket: Option<String>,
}

impl NotifyArgs {
    /// Starts telling.
    pub fn start(&self) -> Notifier {
        let hooks = self.hooks.clone().map(|folder| Hooks::new(folder, self.hook_timeout));
        let webhook = self.webhook.clone().map(|url| Webhook::new(url, self.webhook_format));
        Notifier::start(hooks, webhook)
    }

    /// Returns the status of a run that begins on this server.
    pub fn first_status(&self, server: String) -> Status {
        Status {
            server,
            owner: self.owner.clone(),
            decider: self.decider.clone(),
            ticket: self.ticket.clone(),
            ..Status::default()
        }
    }
}

fn folder(text: &str) -> Result<PathBuf, String> {
    let folder = PathBuf::from(text);
    check_folder(&folder).map(|()| folder)
}

fn hook_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&time) => {
            Ok(time)
        }
        _ => Err("must be a time from 100ms to 1h, as in 30s".into()),
    }
}
