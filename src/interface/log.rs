//! The log on stderr, and everything that the program says to people. Results go to stdout.

use clap::ValueEnum;
use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// The drivers stay silent: they log statements, parameters and server messages, which hold values.
const SILENT: [&str; 4] = ["mysql_async", "mysql_common", "tokio_postgres", "postgres_protocol"];

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogArg {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Says something to people: a plain line on stderr, or an object of the JSON log.
pub fn say(text: &str) {
    tracing::info!(target: "said", "{text}");
}

/// The same for what ends a command.
pub fn say_error(text: &str) {
    tracing::error!(target: "said", "{text}");
}

/// Writes the log from now on: warnings, or what `RUST_LOG` asks for.
pub fn start(form: LogArg) {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let silent = SILENT.iter().map(|driver| format!("{driver}=off"));
    for directive in silent.chain(["said=info".to_owned()]) {
        filter = filter.add_directive(directive.parse().expect("a well formed directive"));
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // A closed stderr must not end the program.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match form {
        LogArg::Text => log.event_format(Lines(Format::default())).init(),
        LogArg::Json => log.json().flatten_event(true).init(),
    }
}

/// What is said to people has no time and no level; everything else has both.
struct Lines(Format);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != "said" {
            return self.0.format_event(context, writer, event);
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
