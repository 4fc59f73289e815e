//! What the plan says of the disk, if the operator tells how much of it is free.

use crate::pace::own_signals::bytes_text;
use altergeist_contract::{Code, Finding, Plan, Verdict};

/// Where the number comes from.
const OBJECT: &str = "--free-disk";

/// Compares what a copy takes with what is free, or says why that is unknown.
pub fn judge(plan: &mut Plan, free: Result<u64, String>) {
    if plan.verdict != Verdict::Copy || plan.bytes_estimated == 0 {
        return;
    }
    // The server writes what it copies into its log, too.
    let needed = plan.bytes_estimated.saturating_mul(2);
    let is_guess = |it: &Finding| it.code == Code::DiskSpace;
    let takes = format!("the copy and its log take about {}", bytes_text(needed));
    let finding = match free {
        Ok(free) if free < needed => {
            let message = format!("{takes}, and {} are free", bytes_text(free));
            Finding::warning(Code::DiskSpace, OBJECT, message, "make room on the server first")
        }
        Ok(free) => {
            let message = format!("{takes}, and {} are free (--free-disk)", bytes_text(free));
            Finding::note(Code::DiskSpace, message)
        }
        Err(why) => {
            let message = format!("it does not tell how much is free: {why}");
            plan.findings.push(Finding::warning(Code::DiskSpace, OBJECT, message, "correct it"));
            return;
        }
    };
    plan.findings.retain(|finding| !is_guess(finding));
    plan.findings.push(finding);
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist_contract::Severity;

    #[test]
    fn a_disk_with_too_little_room_is_a_warning_and_an_unknown_one_is_no_clean_result() {
        let said = |free| {
            let mut plan = Plan { bytes_estimated: 1 << 20, ..Plan::default() };
            judge(&mut plan, free);
            plan.findings.pop().expect("it says something").severity
        };
        assert_eq!(said(Ok(1 << 20)), Severity::Warning);
        assert_eq!(said(Ok(1 << 30)), Severity::Note);
        assert_eq!(said(Err("no answer".into())), Severity::Warning);
    }
}
