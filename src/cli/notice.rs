//! `notice`: prints the paragraph to send ahead of a change.

use crate::cli::args::{Cli, Command, NoticeArgs};
use crate::cli::commands::failed;
use crate::cli::plan::plan_of;
use crate::interface::log::say_error;
use crate::interface::notice::{Announced, Wording, render};
use crate::interface::output::print;
use altergeist::contract::{Estimate, Verdict};
use clap::Parser;
use serde::Deserialize;
use std::ffi::OsString;
use std::path::Path;

/// A plan as `plan --json` prints it, as far as the paragraph needs it.
#[derive(Deserialize)]
struct PlanJson {
    table: String,
    alter: String,
    verdict: serde_json::Value,
    estimate: Option<Estimate>,
    #[serde(default)]
    refusals: Vec<serde_json::Value>,
}

/// Prints the paragraph. Exit code 0; 2 if there is no plan; 3 if the plan refuses the change.
pub async fn notice(args: &NoticeArgs) -> u8 {
    let announced = match &args.plan {
        Some(path) => match read(path) {
            Ok(announced) => announced,
            Err(reason) => {
                say_error(&format!(
                    "altergeist: the plan {} cannot be used: {reason}",
                    path.display()
                ));
                return 2;
            }
        },
        None => match planned(&args.flags).await {
            Ok(announced) => announced,
            Err(code) => return code,
        },
    };
    let Some(announced) = announced else {
        say_error("altergeist: the plan refuses the change, so there is nothing to announce");
        return 3;
    };
    let wording = Wording {
        at: args.at.clone(),
        owner: args.owner.clone(),
        decider: args.decider.clone(),
        ticket: args.ticket.clone(),
    };
    print(&render(&announced, &wording))
}

/// Plans the change. None if the plan refuses it.
async fn planned(flags: &[OsString]) -> Result<Option<Announced>, u8> {
    let words = ["altergeist", "plan"].map(OsString::from).into_iter().chain(flags.iter().cloned());
    let cli = Cli::try_parse_from(words).map_err(|error| {
        say_error(&format!("{error}"));
        2
    })?;
    let Command::Plan(args) = cli.command else { return Err(2) };
    let plan = plan_of(&args).await.map_err(|failure| failed(&failure))?;
    Ok((!plan.is_refused()).then_some(Announced {
        table: plan.table,
        alter: plan.alter,
        verdict: plan.verdict,
        estimate: plan.estimate,
    }))
}

fn read(path: &Path) -> Result<Option<Announced>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let plan: PlanJson = serde_json::from_str(text.trim()).map_err(|error| error.to_string())?;
    let verdict = match &plan.verdict {
        serde_json::Value::String(word) if word == "online" => Verdict::Online,
        serde_json::Value::Object(_) => Verdict::Native(String::new()),
        _ => Verdict::Copy,
    };
    Ok(plan.refusals.is_empty().then_some(Announced {
        table: plan.table,
        alter: plan.alter,
        verdict,
        estimate: plan.estimate,
    }))
}
