//! Every case folder on every server it is meant for: `cargo test -p altergeist-integration --test
//! cases -- NAME`.
//!
//! The tests are found when the program starts, so that a case is a folder and nothing else; that
//! is why they do not run in the usual harness.

use std::process::ExitCode;
use std::sync::Arc;

use altergeist_integration::cases::{Case, Mode, SharedServers, run};
use libtest_mimic::{Arguments, Trial};

/// Cases wait for servers most of the time.
const AT_ONCE: usize = 4;

/// Set, every case runs killed and live on every server it is for: `make cases`. Otherwise it runs
/// once, and the servers and the ways take turns from case to case.
const EVERYWHERE: &str = "ALTERGEIST_EVERYWHERE";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let servers = Arc::new(SharedServers::default());
    let conclusion = libtest_mimic::run(&arguments, trials(&servers));
    drop(servers);
    conclusion.exit_code()
}

/// Set, every case that can be undone is undone as its last step.
const BACK: &str = "ALTERGEIST_BACK";

/// Whether a case is undone: a third of them, always the same ones.
fn is_chosen(name: &str) -> bool {
    std::env::var_os(BACK).is_some() || name.bytes().map(u32::from).sum::<u32>() % 3 == 0
}

fn trials(shared: &Arc<SharedServers>) -> Vec<Trial> {
    let is_everywhere = std::env::var_os(EVERYWHERE).is_some();
    let mut trials = Vec::new();
    for (nth, case) in Case::all().into_iter().enumerate() {
        let servers = case.flavours.len();
        for (at, flavour) in case.flavours.iter().copied().enumerate() {
            for &mode in Mode::of(&case) {
                let turn = nth % (2 * servers);
                let is_its_turn = match mode {
                    Mode::Killed => at == turn,
                    Mode::Live => at + servers == turn,
                    Mode::Refused => true,
                };
                if !is_its_turn && !is_everywhere {
                    continue;
                }
                let is_put_back = case.has_way_back() && (is_everywhere || is_chosen(&case.name));
                let (case, shared) = (case.clone(), shared.clone());
                let name = format!("{}::{}::{}", case.name, flavour.name(), mode.name());
                let name = if is_put_back { format!("{name}::back") } else { name };
                trials.push(Trial::test(name, move || {
                    Ok(run(&case, flavour, mode, is_put_back, &shared)?)
                }));
            }
        }
    }
    trials
}
