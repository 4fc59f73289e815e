//! Results on stdout. Whoever reads them may stop reading: `altergeist plan … | head`.

use crate::interface::log::say_error;
use std::io::{ErrorKind, Write};

/// Writes a result. Returns the exit code of a command that has nothing else to do: 0, or 1 if the
/// result could not be written. A reader who has left wants no more of it, and that is no failure.
pub fn print(text: &str) -> u8 {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            say_error(&format!("altergeist: the result cannot be written to stdout: {error}"));
            1
        }
        Ok(()) | Err(_) => 0,
    }
}

/// The same for a line.
pub fn print_line(line: &str) -> u8 {
    print(&format!("{line}\n"))
}

/// Writes to stderr before the log has started.
pub fn warn_early(text: &str) {
    // There is nowhere to say that stderr is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
