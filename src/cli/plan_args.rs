//! The arguments of `plan`.

use crate::cli::change_args::ChangeArgs;
use crate::interface::plan::{FailOn, Format};
use altergeist::Wishes;
use altergeist::contract::{Look, Target};
use clap::Args;
use clap::builder::ArgPredicate;
use std::path::PathBuf;

/// `plan`. A file names the tables and the changes itself.
#[derive(Args)]
#[command(
    mut_arg("table", |table| table.default_value_if("file", ArgPredicate::IsPresent, ""))
)]
pub struct PlanArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Judge the statements of a file of SQL instead of --table and --alter
    #[arg(long, value_name = "FILE", conflicts_with_all = ["table", "alter", "create"])]
    pub file: Option<PathBuf>,
    /// Count every row exactly, however long that takes. Without it a question about the rows ends
    /// after a minute, and some counts stop earlier
    #[arg(long)]
    thorough: bool,
    /// What tells the free bytes of the server's disk: a query, or a command whose last line
    /// counts: "ssh db1 df --output=avail -B1 /data"
    #[arg(long, value_name = "QUERY or COMMAND")]
    pub free_disk: Option<String>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Exit with 3 from this severity on
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// File of accepted findings, which do not count
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Accept everything found: write it to this file, and exit with 0
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
}

impl PlanArgs {
    /// Checks what clap cannot: that flags do not contradict each other.
    ///
    /// # Errors
    /// What to change.
    pub fn check(&self) -> Result<(), String> {
        if self.file.is_some() { Ok(()) } else { self.change.check() }
    }

    /// Returns the target for an engine.
    pub fn target(&self) -> Target {
        let look = if self.thorough { Look::Thorough } else { Look::Brief };
        Target { look, ..self.change.target() }
    }

    /// Returns what the plan depends on, beyond the change itself.
    pub fn wishes(&self) -> Wishes {
        self.change.wishes()
    }

    /// Returns how to print what was found.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}
