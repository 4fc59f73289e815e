//! `--one-per-server`: runs that take turns on a server.

use crate::cli::engines::{Task, with_engine};
use crate::interface::log::say;
use altergeist::Failure;
use altergeist::contract::{Engine, Result, Target, Turn};
use clap::Args;
use std::time::Duration;
use tokio::time::Instant;

/// How often a waiting run asks for its turn.
const LOOK: Duration = Duration::from_secs(1);

/// Whether the run takes turns with others.
#[derive(Args)]
pub struct TurnArgs {
    /// Start only if no other run with this flag works on the server
    #[arg(long)]
    one_per_server: bool,
    /// Wait this long for the turn on the server
    #[arg(long, value_parser = humantime::parse_duration, requires = "one_per_server")]
    wait_turn: Option<Duration>,
}

/// Takes the turn on the server, if the run needs one, and returns it. It ends when it is dropped.
///
/// # Errors
/// [`Failure::Held`] if another run has it until the wait ends.
pub async fn take(args: &TurnArgs, target: &Target) -> Result<Option<Turn>, Failure> {
    if !args.one_per_server {
        return Ok(None);
    }
    let until = Instant::now() + args.wait_turn.unwrap_or_default();
    let mut is_said = false;
    loop {
        let turn = with_engine(target, TurnTask).await??;
        let Turn::HeldBy(holder) = turn else { return Ok(Some(turn)) };
        if Instant::now() >= until {
            return Err(Failure::Held { table: "the turn on the server".into(), holder });
        }
        if !is_said {
            say(&format!("altergeist: waiting for the turn on the server; it has: {holder}"));
            is_said = true;
        }
        tokio::time::sleep(LOOK.min(until - Instant::now())).await;
    }
}

struct TurnTask;

impl Task for TurnTask {
    type Outcome = Result<Turn>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        E::take_turn(target).await
    }
}
