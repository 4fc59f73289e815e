//! The binary: reads the command line, picks the engine and returns the exit code.
#![allow(async_fn_in_trait)]

mod cli;
mod interface;

use clap::Parser;
use cli::args::{Cli, Command};
use cli::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let runtime =
        tokio::runtime::Runtime::new().expect("the operating system lets a process have threads");
    let code = runtime.block_on(async {
        match cli.command {
            Command::Plan(args) => cli::plan::plan(&args).await,
            Command::Run(args) => commands::run(&args).await,
            Command::Rehearse(args) => cli::rehearse::rehearse(&args).await,
            Command::Notice(args) => cli::notice::notice(&args).await,
            Command::Status(args) => commands::status(&args).await,
            Command::Cleanup(args) => commands::cleanup(&args).await,
            Command::Ctl(args) => commands::ctl(&args).await,
            Command::Backfill(args) => cli::backfill::backfill(&args).await,
        }
    });
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Warnings go to stderr, more of them with `RUST_LOG`; stdout is for results. The drivers stay
/// silent: they log statements, parameters and server messages, which hold row values.
fn log_to_stderr() {
    let mut filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    for driver in
        ["mysql_async=off", "mysql_common=off", "tokio_postgres=off", "postgres_protocol=off"]
    {
        filter = filter.add_directive(driver.parse().expect("a well formed directive"));
    }
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
