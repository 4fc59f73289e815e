//! `run --detach`: the run goes on in a process of its own, and this one reports how to watch it.

use crate::cli::engines::{Task, with_engine};
use crate::cli::run_args::RunArgs;
use crate::cli::url;
use crate::interface::log::{say, say_error};
use crate::interface::output::print_line;
use altergeist::Failure;
use altergeist::contract::{Engine, Record, Result, Stage, Target};
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often the beginning of the run is awaited.
const LOOK: Duration = Duration::from_millis(300);

/// How the detached run began.
enum Begun {
    /// It works on the table; the run's name.
    Works(String),
    /// It has ended already.
    Ended(ExitStatus),
}

/// Starts the same command in a process of its own. Returns 0 once the run works on the table, else
/// the exit code of the run.
pub async fn run(args: &RunArgs) -> u8 {
    let target = args.target();
    let (path, child) = match start(&target) {
        Ok(started) => started,
        Err(error) => {
            say_error(&format!("altergeist: could not start the detached run: {error}"));
            return 1;
        }
    };
    let process = child.id();
    let begun = with_engine(&target, BegunTask { child }).await;
    match begun.and_then(|begun| begun) {
        Err(error) => {
            let failure = Failure::from(error);
            say_error(&format!(
                "altergeist: {failure}. Process {process} may still run; its log: {}",
                path.display()
            ));
            failure.exit_code()
        }
        Ok(Begun::Ended(status)) => {
            say(fs::read_to_string(&path).unwrap_or_default().trim_end());
            status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or_else(|| {
                say_error(&format!("altergeist: a signal ended it: {:?}", status.signal()));
                1
            })
        }
        Ok(Begun::Works(name)) => {
            print_line(&name);
            say(&how_to_watch(args, &target, &name, process, &path));
            0
        }
    }
}

/// The lines that follow the name.
fn how_to_watch(args: &RunArgs, target: &Target, name: &str, process: u32, log: &Path) -> String {
    let socket = args.watch.steering.path(target);
    let table = format!("--url '{}' --table {}", url::without_password(&target.url), target.table);
    format!(
        "run {name} works on {} as process {process}\n  log    {}\n  steer  altergeist ctl \
         --socket {} status\n  watch  altergeist status {table}\n  wait   altergeist wait {table}",
        target.table,
        log.display(),
        socket.display()
    )
}

/// Starts the process. A group of its own keeps it from the terminal's signals.
fn start(target: &Target) -> io::Result<(PathBuf, Child)> {
    let (path, log) = log_file(&target.table)?;
    let words = env::args_os().skip(1).filter(|word| word != "--detach");
    let child = Command::new(env::current_exe()?)
        .args(words)
        .arg("--detach=false")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    Ok((path, child))
}

/// Makes the log file, for its owner only, in the user's folder for state.
fn log_file(table: &str) -> io::Result<(PathBuf, File)> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(env::temp_dir)
        .join("altergeist");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let table: String = table.chars().map(|c| if plain(c) { c } else { '_' }).take(60).collect();
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let path = folder.join(format!("{table}-{now}-{}.log", std::process::id()));
    let log = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, log))
}

struct BegunTask {
    child: Child,
}

impl Task for BegunTask {
    type Outcome = Result<Begun>;

    async fn run<E: Engine>(mut self, target: &Target) -> Self::Outcome {
        let mut engine = None;
        let holder = format!("process {}", self.child.id());
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(Begun::Ended(status));
            }
            // While the server is out of reach, the run itself says so.
            if engine.is_none() {
                engine = E::connect(target).await.ok();
            }
            let record = match &engine {
                Some(engine) => engine.load().await.ok().flatten(),
                None => None,
            };
            if let Some(record) = record.filter(|record| is_at_work(record, &holder)) {
                return Ok(Begun::Works(record.run));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn is_at_work(record: &Record, holder: &str) -> bool {
    let is_at_work =
        matches!(record.stage, Stage::Altering | Stage::Copying | Stage::CuttingOver | Stage::Done);
    record.holder.ends_with(holder) && is_at_work
}
