//! How fast changed rows reach the shadow, by itself: nothing is copied, and the shadow has all its
//! indexes.

use std::time::Instant;

use super::setup::Setup;
use super::steered::Steered;

/// Changes a fifth of the rows, scattered over the table, in one transaction, while a run waits for
/// the order to swap. Gives how many rows a second were refreshed, counted from the commit.
///
/// # Errors
/// What went wrong.
pub fn rate(setup: &Setup, database: &str) -> Result<f64, String> {
    let mut run = Steered::start(setup, database, &["--postpone-cut-over"])?;

    let before = run.wait_for(|status| status["phase"] == "waiting")?;
    let before = before["keys_refreshed"].as_u64().unwrap_or_default();
    let change = "UPDATE bench SET k = k + 1, pad = concat('x', pad) WHERE k % 5 = 0";
    let changed = setup.server.execute(database, change).map_err(|failure| failure.to_string())?;
    let committed = Instant::now();
    run.wait_for(|status| status["keys_refreshed"].as_u64() >= Some(before + changed))?;
    let took = committed.elapsed();

    run.ask("cut-over")?;
    run.end(0)?;
    Ok(changed as f64 / took.as_secs_f64())
}
