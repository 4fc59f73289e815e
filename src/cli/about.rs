//! What the binary can do, for shells, manuals and other programs.

use crate::cli::args::Cli;
use crate::cli::engines::{ENGINES, Server};
use crate::interface::log::say_error;
use crate::interface::output::{print, print_line};
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
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "altergeist", &mut script);
    print(&String::from_utf8_lossy(&script))
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
        return print_line(&json(&capabilities));
    }
    let engine = |engine: &Server| {
        format!(
            "{:<11} from {}, tested on {}; {}://\n",
            engine.name,
            engine.oldest_version,
            engine.tested_versions.join(" and "),
            engine.schemes.join(":// or ")
        )
    };
    let engines: String = capabilities.engines.iter().map(engine).collect();
    let (version, commands) = (capabilities.version, capabilities.commands.join(", "));
    print(&format!("altergeist {version}\n{engines}commands    {commands}\n"))
}
