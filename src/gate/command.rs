//! Commands of the operator, run by the shell, with an end in sight.

use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long a command may take. A gate that gets no answer is closed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that is read of what a command prints.
const ANSWER_CHARS: usize = 4096;

/// Runs a command and returns the last line it printed. The table's name is in
/// `ALTERGEIST_TABLE`.
///
/// # Errors
/// How it failed: its exit code, a signal, or that it took too long. Never what it printed.
pub async fn last_line(command: &str, table: &str) -> Result<String, String> {
    let running = Command::new("sh")
        .args(["-c", command])
        .env("ALTERGEIST_TABLE", table)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(PATIENCE, running).await {
        Err(_) => return Err(format!("command gave no answer in {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => return Err(format!("command could not be run: {error}")),
        Ok(Ok(output)) => output,
    };
    match output.status.code() {
        Some(0) => {}
        Some(code) => return Err(format!("command ended with exit code {code}")),
        None => return Err("command was killed".into()),
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Ok(line.chars().take(ANSWER_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_line_is_the_answer_and_a_failure_is_named() {
        assert_eq!(last_line("echo one; echo two; echo", "t").await, Ok("two".into()));
        assert_eq!(last_line("echo $ALTERGEIST_TABLE", "d.t").await, Ok("d.t".into()));
        let failed = last_line("echo secret; exit 7", "t").await.unwrap_err();
        assert!(failed.contains('7') && !failed.contains("secret"), "{failed}");
    }
}
