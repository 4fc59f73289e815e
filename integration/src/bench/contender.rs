//! Who changes the table: each in its own words, all the same change (k becomes a bigint).

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::scene::Scene;
use crate::session::Failure;

/// One way to change the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// altergeist, verification included.
    Altergeist,
    /// The server's own rewriting ALTER, which blocks every writer.
    Native,
    /// gh-ost, if it is on the PATH.
    GhOst,
    /// Spirit, if it is on the PATH.
    Spirit,
    /// pt-online-schema-change, if it is on the PATH.
    PtOsc,
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// From its start to its end.
    pub total: Duration,
    /// How much of it altergeist spent on the proof; none for others.
    pub verifying: Duration,
    /// Processor time of the client.
    pub client_cpu: Duration,
    /// The largest memory of the client, in KiB.
    pub client_kib: u64,
    /// How long the table was locked, where the contender says so.
    pub locked_ms: Option<f64>,
}

impl Contender {
    /// Those that can be run against this scene's server here.
    pub fn present(scene: &Scene) -> Vec<Self> {
        let peers = [(Self::GhOst, "gh-ost"), (Self::Spirit, "spirit"), (Self::PtOsc, "pt-online-schema-change")];
        let is_mysql = scene.flavour == crate::servers::Flavour::MySql97;
        let found = peers.into_iter().filter(|(_, program)| is_mysql && is_on_the_path(program)).map(|(peer, _)| peer);
        [Self::Native, Self::Altergeist].into_iter().chain(found).collect()
    }

    /// As it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Altergeist => "altergeist",
            Self::Native => "native",
            Self::GhOst => "gh-ost",
            Self::Spirit => "Spirit",
            Self::PtOsc => "pt-osc",
        }
    }

    /// Changes the table.
    ///
    /// # Errors
    /// What it said if it failed.
    pub fn change(self, scene: &Scene, database: &str) -> Result<Run, String> {
        let began = Instant::now();
        match self {
            Self::Native => {
                native(scene, database).map_err(|failure| failure.to_string())?;
                let none = Duration::ZERO;
                Ok(Run { total: began.elapsed(), verifying: none, client_cpu: none, client_kib: 0, locked_ms: None })
            }
            _ => watched(self.command(scene, database), began),
        }
    }

    pub(super) fn command(self, scene: &Scene, database: &str) -> Command {
        let (host, port) = ("127.0.0.1", scene.server.port().to_string());
        let modify = "MODIFY COLUMN k bigint NOT NULL";
        let words: Vec<String> = match self {
            Self::Native => unreachable!("the server itself is no program of ours"),
            Self::Altergeist => {
                let clauses = if scene.flavour.is_postgres() { "ALTER COLUMN k TYPE bigint" } else { modify };
                let url = scene.server.url(database);
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
                .map(str::to_owned)
                .into()
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
                "--table=bench".into(),
                format!("--alter={modify}"),
            ],
            Self::PtOsc => vec![
                "--execute".into(),
                "--recursion-method=none".into(),
                "--set-vars=explain_format=TRADITIONAL".into(),
                format!("--alter={modify}"),
                format!("h={host},P={port},u=root,D={database},t=bench"),
            ],
        };
        let program = match self {
            Self::Altergeist | Self::Native => own_binary(),
            Self::GhOst => "gh-ost".into(),
            Self::Spirit => "spirit".into(),
            Self::PtOsc => "pt-online-schema-change".into(),
        };
        let mut command = Command::new(program);
        command.args(words);
        command
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

fn native(scene: &Scene, database: &str) -> Result<(), Failure> {
    let clauses = match scene.flavour.is_postgres() {
        true => "ALTER COLUMN k TYPE bigint",
        false => "MODIFY COLUMN k bigint NOT NULL, ALGORITHM=COPY",
    };
    scene.server.execute(database, &format!("ALTER TABLE bench {clauses}")).map(drop)
}

/// Runs a program to its end, reading what it says (a status a line, in JSON, if it is altergeist) and what it uses.
fn watched(mut command: Command, began: Instant) -> Result<Run, String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("it could not be started: {error}"))?;
    let pid = child.id();
    let complaints = child.stderr.take().expect("it was piped");
    let complaints = std::thread::spawn(move || std::io::read_to_string(complaints).unwrap_or_default());
    let (mut verifying, mut entered, mut locked_ms) = (Duration::ZERO, None, None);
    let mut used = (Duration::ZERO, 0);
    for line in BufReader::new(child.stdout.take().expect("it was piped")).lines().map_while(Result::ok) {
        used = usage(pid).unwrap_or(used);
        let Ok(status) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
        let is_verifying = status["phase"] == "verifying";
        match entered {
            None if is_verifying => entered = Some(Instant::now()),
            Some(since) if !is_verifying => {
                verifying += Instant::now() - since;
                entered = None;
            }
            _ => {}
        }
        locked_ms = status["lock_held_ms"].as_f64().or(locked_ms);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let total = began.elapsed();
    let said = complaints.join().unwrap_or_default();
    match status.success() {
        true => Ok(Run { total, verifying, client_cpu: used.0, client_kib: used.1, locked_ms }),
        false => Err(format!("it ended with {status}: {}", said.lines().last().unwrap_or_default())),
    }
}

/// Processor time and the largest memory (KiB) of a process that runs.
fn usage(pid: u32) -> Option<(Duration, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // Clock ticks; Linux has a hundred of them in a second on every platform it is used on.
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some((Duration::from_millis(ticks * 10), peak.split_whitespace().next()?.parse().ok()?))
}
