//! A run of altergeist that a measurement steers through its socket.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::competitor::{Competitor, usage};
use super::setup::Setup;
use crate::altergeist_process;

/// Longer than any of this should take.
const PATIENCE: Duration = Duration::from_secs(600);

/// The process, killed when it is dropped, and the folder of its socket.
pub struct Steered {
    process: Child,
    folder: tempfile::TempDir,
}

impl Steered {
    /// Starts the change of the bench with more flags.
    ///
    /// # Errors
    /// Why it could not be started.
    pub fn start(setup: &Setup, database: &str, flags: &[&str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = Competitor::Altergeist.command(setup, database);
        command
            .args(flags)
            .arg("--socket")
            .arg(folder.path().join("socket"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process =
            command.spawn().map_err(|error| format!("it could not be started: {error}"))?;
        Ok(Self { process, folder })
    }

    /// Gives an order, and returns the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub fn ask(&self, order: &str) -> Result<String, String> {
        altergeist_process::ask(&self.folder.path().join("socket"), order)
            .map_err(|error| error.to_string())
    }

    /// Waits until its status is as wanted, and returns the status.
    ///
    /// # Errors
    /// That it ended, or did not come so far.
    pub fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(format!("it ended with {status}"));
            }
            let said =
                self.ask("status --json").ok().and_then(|said| serde_json::from_str(&said).ok());
            match said {
                Some(status) if wanted(&status) => return Ok(status),
                _ => sleep(Duration::from_millis(20)),
            }
        }
        Err(format!("it did not come so far within {PATIENCE:?}"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// That it ended with another code.
    pub fn end(&mut self, code: i32) -> Result<(), String> {
        let status = self.process.wait().map_err(|error| error.to_string())?;
        match status.code() == Some(code) {
            true => Ok(()),
            false => Err(format!("it ended with {status}")),
        }
    }

    /// Processor time it has used so far.
    pub fn cpu(&self) -> Duration {
        usage(self.process.id()).map_or(Duration::ZERO, |(cpu, _)| cpu)
    }
}

impl Drop for Steered {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
