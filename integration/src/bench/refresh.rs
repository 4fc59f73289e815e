//! How fast changed rows reach the shadow, by itself: nothing is copied, and the shadow has all its
//! indexes.

use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::competitor::Competitor;
use super::setup::Setup;
use crate::altergeist_process::ask;

/// Longer than any of this should take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Changes a fifth of the rows, scattered over the table, in one transaction, while a run waits for
/// the order to swap. Gives how many rows a second were refreshed, counted from the commit.
///
/// # Errors
/// What went wrong.
pub fn rate(setup: &Setup, database: &str) -> Result<f64, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let socket = folder.path().join("socket");
    let mut command = Competitor::Altergeist.command(setup, database);
    command
        .args(["--postpone-cut-over", "--socket"])
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut run =
        Run(command.spawn().map_err(|error| format!("it could not be started: {error}"))?);

    let before = run.wait_for(&socket, |status| status["phase"] == "waiting")?;
    let before = before["keys_refreshed"].as_u64().unwrap_or_default();
    let change = "UPDATE bench SET k = k + 1, pad = concat('x', pad) WHERE k % 5 = 0";
    let changed = setup.server.execute(database, change).map_err(|failure| failure.to_string())?;
    let committed = Instant::now();
    run.wait_for(&socket, |status| status["keys_refreshed"].as_u64() >= Some(before + changed))?;
    let took = committed.elapsed();

    ask(&socket, "cut-over").map_err(|error| error.to_string())?;
    let status = run.0.wait().map_err(|error| error.to_string())?;
    match status.success() {
        true => Ok(changed as f64 / took.as_secs_f64()),
        false => Err(format!("it ended with {status}")),
    }
}

struct Run(Child);

impl Run {
    fn wait_for(
        &mut self,
        socket: &Path,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            let said =
                ask(socket, "status --json").ok().and_then(|said| serde_json::from_str(&said).ok());
            match said {
                Some(status) if wanted(&status) => return Ok(status),
                _ => sleep(Duration::from_millis(20)),
            }
        }
        Err(format!("it did not come so far within {PATIENCE:?}"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
