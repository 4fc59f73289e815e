//! The arguments of every command that works on a table for a while: who hears of it, where it
//! takes orders, and how progress is shown.

use crate::cli::notify::NotifyArgs;
use crate::cli::steering::SteeringArgs;
use crate::interface::progress::ProgressArg;
use clap::Args;

/// How a run is watched and steered.
#[derive(Args)]
pub struct WatchArgs {
    /// Who hears of it.
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// Where it takes orders.
    #[command(flatten)]
    pub steering: SteeringArgs,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto)]
    pub progress: ProgressArg,
}
