//! What the binary can do, for shells, manuals and other programs.

use crate::cli::args::Cli;
use crate::cli::engines::{ENGINES, Server};
use crate::interface::log::say_error;
use crate::interface::report::json;
use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;
use std::io;
use std::path::Path;

/// What the binary can do. The names are a contract: scripts read them.
#[derive(Serialize)]
struct Capabilities {
    format_version: u32,
    version: &'static str,
    engines: &'static [Server],
    commands: Vec<String>,
}

/// Prints a completion script.
pub fn completions(shell: Shell) -> u8 {
    clap_complete::generate(shell, &mut Cli::command(), "altergeist", &mut io::stdout());
    0
}

/// Writes the manual pages, one for each command.
pub fn man(folder: &Path) -> u8 {
    match write_pages(folder) {
        Ok(()) => 0,
        Err(error) => {
            say_error(&format!("altergeist: cannot write to {}: {error}", folder.display()));
            1
        }
    }
}

fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}

/// Prints what the binary can do.
pub fn capabilities(as_json: bool) -> u8 {
    let commands = Cli::command();
    let commands = commands.get_subcommands().map(|command| command.get_name().to_owned());
    let capabilities = Capabilities {
        format_version: 1,
        version: env!("CARGO_PKG_VERSION"),
        engines: ENGINES,
        commands: commands.collect(),
    };
    if as_json {
        println!("{}", json(&capabilities));
        return 0;
    }
    println!("altergeist {}", capabilities.version);
    for engine in capabilities.engines {
        println!(
            "{:<11} from {}, tested on {}; {}://",
            engine.name,
            engine.oldest_version,
            engine.tested_versions.join(" and "),
            engine.schemes.join(":// or ")
        );
    }
    println!("commands    {}", capabilities.commands.join(", "));
    0
}
