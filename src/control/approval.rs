//! The approval of a plan by somebody else than the one who runs it.

use crate::control::settings::Approval;
use crate::control::{Settings, Status};
use tokio::sync::watch;

/// Approves the plan of this run, by an order that `by` gave to a run under `account`. Returns the
/// answer.
///
/// # Errors
/// Why it does not count.
pub fn approve(
    fingerprint: &str,
    by: &str,
    account: &str,
    settings: &watch::Sender<Settings>,
    status: &Status,
) -> Result<String, String> {
    if user(by).is_empty() {
        return Err("an account without a name cannot approve a plan".into());
    }
    if is_same_user(by, account) {
        return Err(format!("{by} runs this change and cannot approve it; another account can"));
    }
    if fingerprint != status.fingerprint {
        return Err(format!(
            "this run's plan has the fingerprint {}; compare it with `altergeist plan --json`",
            status.fingerprint
        ));
    }
    let approval = Approval { fingerprint: fingerprint.to_owned(), by: by.to_owned() };
    settings.send_modify(|settings| settings.approval = Some(approval));
    Ok(format!("approved by {by}"))
}

/// Whether two accounts are the same user's, on whatever host.
pub fn is_same_user(one: &str, other: &str) -> bool {
    user(one) == user(other)
}

/// The user of an account: MySQL writes it with the client's host.
fn user(account: &str) -> &str {
    account.rsplit_once('@').map_or(account, |(user, _)| user)
}
