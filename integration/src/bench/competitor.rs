//! Who changes the table: each in its own words, all the same change (k becomes a bigint).

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::setup::Setup;
use crate::session::Failure;

/// One way to change the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Competitor {
    /// altergeist, verification included.
    Altergeist,
    /// altergeist, told to go easier while commits are slow.
    Sparing,
    /// altergeist, told to rest as long as it works.
    Nice,
    /// The server's own rewriting ALTER, which blocks every writer.
    Native,
    /// gh-ost, if it is on the PATH.
    GhOst,
    /// Spirit, if it is on the PATH.
    Spirit,
    /// pt-online-schema-change, if it is on the PATH.
    PtOsc,
    /// pg_repack, if it is on the PATH and the server has its extension; it rebuilds the table
    /// without changing it.
    PgRepack,
}

/// What altergeist says it is doing, for some time.
#[derive(Clone, Debug)]
pub struct Phase {
    /// As it calls it.
    pub name: String,
    /// When it began, from the start of the run.
    pub began: Duration,
    /// How long it lasted.
    pub took: Duration,
}

/// What one run took.
#[derive(Clone, Debug)]
pub struct Run {
    /// From its start to its end, or to when it was given up.
    pub total: Duration,
    /// Whether it came to its end.
    pub is_finished: bool,
    /// Its phases, where the competitor says them.
    pub phases: Vec<Phase>,
    /// Processor time of the client.
    pub client_cpu: Duration,
    /// The largest memory of the client, in KiB.
    pub client_kib: u64,
    /// How long the table was locked, where the competitor says so.
    pub locked_ms: Option<f64>,
}

impl Run {
    /// How much of it altergeist spent on the proof alone; none for others.
    pub fn verifying(&self) -> Duration {
        self.phases.iter().filter(|phase| phase.name == "verifying").map(|phase| phase.took).sum()
    }
}

impl Competitor {
    /// Those that can be run against this setup's server here, the gentler ways of altergeist only
    /// beside an application.
    pub fn present(setup: &Setup, is_loaded: bool) -> Vec<Self> {
        let gentle = [Self::Sparing, Self::Nice].into_iter().filter(|_| is_loaded);
        let peers = [Self::GhOst, Self::Spirit, Self::PtOsc, Self::PgRepack];
        let found =
            peers.into_iter().filter(|peer| peer.is_for(setup) && is_on_the_path(peer.program()));
        [Self::Native, Self::Altergeist].into_iter().chain(gentle).chain(found).collect()
    }

    fn is_for(self, setup: &Setup) -> bool {
        match self {
            Self::PgRepack => {
                let known = "SELECT name FROM pg_available_extensions WHERE name = 'pg_repack'";
                setup.flavour.is_postgres()
                    && setup.server.query("postgres", known).is_ok_and(|rows| !rows.is_empty())
            }
            Self::GhOst | Self::Spirit | Self::PtOsc => {
                setup.flavour == crate::servers::Flavour::MySql97
            }
            Self::Native | Self::Altergeist | Self::Sparing | Self::Nice => true,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::GhOst => "gh-ost",
            Self::Spirit => "spirit",
            Self::PtOsc => "pt-online-schema-change",
            Self::PgRepack => "pg_repack",
            Self::Native | Self::Altergeist | Self::Sparing | Self::Nice => "altergeist",
        }
    }

    /// As it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Altergeist => "altergeist",
            Self::Sparing => "… sparing",
            Self::Nice => "… nice",
            Self::Native => "native",
            Self::GhOst => "gh-ost",
            Self::Spirit => "Spirit",
            Self::PtOsc => "pt-osc",
            Self::PgRepack => "pg_repack",
        }
    }

    /// Changes the table; gives up after `patience`.
    ///
    /// # Errors
    /// What it said if it failed.
    pub fn change(self, setup: &Setup, database: &str, patience: Duration) -> Result<Run, String> {
        if self == Self::PgRepack {
            let made = setup.server.execute(database, "CREATE EXTENSION pg_repack");
            made.map_err(|failure| failure.to_string())?;
        }
        let began = Instant::now();
        match self {
            Self::Native => {
                native(setup, database).map_err(|failure| failure.to_string())?;
                let none = Duration::ZERO;
                Ok(Run {
                    total: began.elapsed(),
                    is_finished: true,
                    phases: Vec::new(),
                    client_cpu: none,
                    client_kib: 0,
                    locked_ms: None,
                })
            }
            _ => watched(self.command(setup, database), began, patience),
        }
    }

    pub(super) fn command(self, setup: &Setup, database: &str) -> Command {
        let (host, port) = ("127.0.0.1", setup.server.port().to_string());
        let modify = "MODIFY COLUMN k bigint NOT NULL";
        let words: Vec<String> = match self {
            Self::Native => unreachable!("the server itself is no program of ours"),
            Self::Altergeist | Self::Sparing | Self::Nice => {
                let clauses =
                    if setup.flavour.is_postgres() { "ALTER COLUMN k TYPE bigint" } else { modify };
                let url = setup.server.url(database);
                [
                    "run",
                    "--url",
                    &url,
                    "--table",
                    "bench",
                    "--alter",
                    clauses,
                    "--strategy",
                    "copy",
                    "--progress",
                    "json",
                ]
                .into_iter()
                .chain(self.gently().iter().copied())
                .map(str::to_owned)
                .collect()
            }
            Self::GhOst => [
                "--user=root",
                "--password=",
                "--allow-on-master",
                "--assume-rbr",
                "--chunk-size=2000",
                "--dml-batch-size=100",
                "--max-lag-millis=100000",
                "--initially-drop-ghost-table",
                "--execute",
                "--gtid",
                "--table=bench",
            ]
            .map(str::to_owned)
            .into_iter()
            .chain([
                format!("--host={host}"),
                format!("--port={port}"),
                format!("--database={database}"),
                format!("--alter={modify}"),
                format!("--serve-socket-file=/tmp/bench-{port}-{database}.sock"),
            ])
            .collect(),
            Self::Spirit => vec![
                "migrate".into(),
                format!("--host={host}:{port}"),
                "--username=root".into(),
                "--password=".into(),
                format!("--database={database}"),
                "--tls-mode=DISABLED".into(),
                format!("--statement=ALTER TABLE bench {modify}"),
            ],
            Self::PtOsc => vec![
                "--execute".into(),
                "--recursion-method=none".into(),
                "--set-vars=explain_format=TRADITIONAL".into(),
                format!("--alter={modify}"),
                format!("h={host},P={port},u=root,D={database},t=bench"),
            ],
            Self::PgRepack => vec![
                "--no-order".into(),
                "--no-kill-backend".into(),
                "--table=bench".into(),
                format!("--host={host}"),
                format!("--port={port}"),
                "--username=postgres".into(),
                format!("--dbname={database}"),
            ],
        };
        let program = match self.program() {
            "altergeist" => own_binary(),
            peer => peer.into(),
        };
        let mut command = Command::new(program);
        command.args(words);
        command
    }

    fn gently(self) -> &'static [&'static str] {
        match self {
            Self::Sparing => &["--max-commit-latency", "5ms"],
            Self::Nice => &["--nice", "1"],
            _ => &[],
        }
    }
}

/// The binary that was built together with this one.
fn own_binary() -> OsString {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("altergeist").into()
}

fn is_on_the_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn native(setup: &Setup, database: &str) -> Result<(), Failure> {
    let clauses = match setup.flavour.is_postgres() {
        true => "ALTER COLUMN k TYPE bigint",
        false => "MODIFY COLUMN k bigint NOT NULL, ALGORITHM=COPY",
    };
    setup.server.execute(database, &format!("ALTER TABLE bench {clauses}")).map(drop)
}

/// Runs a program to its end, or until patience is at its end, reading what it says (a status a
/// line, in JSON, if it is altergeist) and what it uses.
fn watched(mut command: Command, began: Instant, patience: Duration) -> Result<Run, String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("it could not be started: {error}"))?;
    let pid = child.id();
    let complaints = child.stderr.take().expect("it was piped");
    let complaints =
        std::thread::spawn(move || std::io::read_to_string(complaints).unwrap_or_default());
    let (ended, end) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        let is_late = end.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout);
        if is_late {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        is_late
    });
    let mut phases: Vec<Phase> = Vec::new();
    let mut locked_ms = None;
    let mut used = (Duration::ZERO, 0);
    for line in
        BufReader::new(child.stdout.take().expect("it was piped")).lines().map_while(Result::ok)
    {
        used = usage(pid).unwrap_or(used);
        let Ok(status) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        if let Some(name) = status["phase"]
            .as_str()
            .filter(|name| phases.last().is_none_or(|last| last.name != *name))
        {
            end_last(&mut phases, began.elapsed());
            phases.push(Phase {
                name: name.to_owned(),
                began: began.elapsed(),
                took: Duration::ZERO,
            });
        }
        locked_ms = status["lock_held_ms"].as_f64().or(locked_ms);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let total = began.elapsed();
    end_last(&mut phases, total);
    drop(ended);
    let is_finished = !guard.join().expect("the guard does not panic");
    let said = complaints.join().unwrap_or_default();
    if is_finished && !status.success() {
        return Err(format!("it ended with {status}: {}", said.lines().last().unwrap_or_default()));
    }
    Ok(Run { total, is_finished, phases, client_cpu: used.0, client_kib: used.1, locked_ms })
}

fn end_last(phases: &mut [Phase], at: Duration) {
    if let Some(last) = phases.last_mut() {
        last.took = at.saturating_sub(last.began);
    }
}

/// Processor time and the largest memory (KiB) of a process that runs.
pub(super) fn usage(pid: u32) -> Option<(Duration, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Clock ticks; Linux has a hundred of them in a second on every platform it is used on.
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some((Duration::from_millis(ticks * 10), peak.split_whitespace().next()?.parse().ok()?))
}
