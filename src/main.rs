//! The binary: reads the command line, picks the engine and returns the exit code.
#![allow(async_fn_in_trait)]

mod cli;
mod interface;

use cli::args::{Command, ConfigCommand};
use cli::{about, commands, config, detach, verify, wait};
use interface::log::{self, LogArg};
use interface::progress::ProgressArg;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut cli = config::command_line();
    log::start(cli.log);
    if let Command::Run(args) = &mut cli.command
        && cli.log == LogArg::Json
        && args.watch.progress == ProgressArg::Auto
    {
        args.watch.progress = ProgressArg::Plain;
    }
    let runtime =
        tokio::runtime::Runtime::new().expect("the operating system lets a process have threads");
    let code = runtime.block_on(async {
        match cli.command {
            Command::Plan(args) => cli::plan::plan(&args).await,
            Command::Run(args) if args.detach => detach::run(&args).await,
            Command::Run(args) => commands::run(&args).await,
            Command::Rehearse(args) => cli::rehearse::rehearse(&args).await,
            Command::Notice(args) => cli::notice::notice(&args).await,
            Command::Status(args) => commands::status(&args).await,
            Command::Revert(args) => cli::revert::revert(&args).await,
            Command::Cleanup(args) => commands::cleanup(&args).await,
            Command::Ctl(args) => commands::ctl(&args).await,
            Command::ConsolePassword => cli::console::password(),
            Command::Backfill(args) => cli::backfill::backfill(&args).await,
            Command::Verify(args) => verify::verify(&args).await,
            Command::Wait(args) => wait::wait(&args).await,
            Command::Config(args) => match args.command {
                ConfigCommand::Show { words } => {
                    commands::show_config(cli.config.as_deref(), &words)
                }
            },
            Command::Completions { shell } => about::completions(shell),
            Command::Man { folder } => about::man(&folder),
            Command::Capabilities { json } => about::capabilities(json),
        }
    });
    runtime.shutdown_background();
    ExitCode::from(code)
}
