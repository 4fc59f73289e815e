//! The promise, kept in front of one's eyes: a throwaway server, a million rows, an application
//! writing all the time, one real change of the table by the real binary, and the proof.
//!
//! `make demo [ENGINE=postgres|mariadb|mysql]`; it ends with 0 only when everything is proven.

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Mix, Report, Table, Writers};

const ROWS: u64 = 1_000_000;
const WRITES_PER_SECOND: u32 = 500;
const CONNECTIONS: u32 = 8;
const BASELINE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let engine = std::env::args().nth(1).unwrap_or_else(|| "postgres".into());
    let Some(flavour) = Flavour::named(&engine) else {
        eprintln!("usage: demo [postgres|mariadb|mysql]");
        return ExitCode::from(2);
    };
    match demonstrate(flavour) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nNOT PROVEN: {why}");
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(flavour: Flavour) -> Result<(), String> {
    let server = Server::start(flavour, &[]).ok_or("the server is not installed")?;
    let url = server.url(DATABASE);
    println!("{}\n  at {url}", flavour.version());

    let began = Instant::now();
    let table = Table::load(&url, "orders", ROWS).map_err(|e| e.to_string())?;
    println!("  {ROWS} rows loaded in {:.1} s", began.elapsed().as_secs_f64());

    let writers =
        Writers::start(&url, &table, WRITES_PER_SECOND, CONNECTIONS, 1, &Mix::everything());
    println!(
        "  {WRITES_PER_SECOND} writes a second over {CONNECTIONS} connections, for {} s on their \
         own\n",
        BASELINE.as_secs()
    );
    thread::sleep(BASELINE);

    let run = alter(&url, flavour, &writers)?;
    thread::sleep(Duration::from_secs(1));
    let report = writers.stop();
    tell(&run, &report);
    prove(&server, &run, &report)
}

/// One run of the real binary.
struct Run {
    status: ExitStatus,
    from: Duration,
    to: Duration,
    peak_kib: u64,
}

fn alter(url: &str, flavour: Flavour, writers: &Writers) -> Result<Run, String> {
    let clauses = match flavour.is_postgres() {
        true => "ALTER COLUMN k TYPE bigint, ADD COLUMN note text NOT NULL DEFAULT 'new'",
        false => {
            "MODIFY COLUMN k bigint NOT NULL, ADD COLUMN note varchar(40) NOT NULL DEFAULT 'new'"
        }
    };
    println!("$ altergeist run --url {url} --table orders --alter \"{clauses}\"\n");
    let from = writers.clock();
    let mut child = Command::new(binary()?)
        .args(["run", "--url", url, "--table", "orders", "--alter", clauses])
        .spawn()
        .map_err(|e| format!("altergeist could not be started: {e}"))?;
    let (status, peak_kib) = wait(&mut child)?;
    Ok(Run { status, from, to: writers.clock(), peak_kib })
}

/// The binary that was built together with this one.
fn binary() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let binary = own.with_file_name("altergeist");
    binary
        .exists()
        .then_some(binary)
        .ok_or_else(|| "altergeist is not built; use `make demo`".into())
}

/// Waits for the end, watching the largest resident size meanwhile.
fn wait(child: &mut Child) -> Result<(ExitStatus, u64), String> {
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    loop {
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let high_water = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = high_water.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok((status, peak_kib));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn tell(run: &Run, report: &Report) {
    let ms = |time: Option<Duration>| {
        time.map_or_else(|| "-".into(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
    };
    let stall = report.longest_stall(run.from, run.to);
    let cut_over = run.to.saturating_sub(Duration::from_secs(3)).max(run.from);
    let at_cut_over = report.longest_stall(cut_over, run.to + Duration::from_millis(500));
    let duration = run.to - run.from;
    println!();
    line("the change took", &format!("{:.1} s", duration.as_secs_f64()));
    line(
        "writes meanwhile",
        &format!(
            "{} ({:.0} a second)",
            report.count_between(run.from, run.to),
            report.count_between(run.from, run.to) as f64 / duration.as_secs_f64()
        ),
    );
    line("p99 latency before", &ms(report.percentile(99.0, Duration::from_secs(1), run.from)));
    line("p99 latency during", &ms(report.percentile(99.0, run.from, run.to)));
    line(
        "longest write stall",
        &format!(
            "{} (at {:.1} s of {:.1} s)",
            ms(stall.map(|(length, _)| length)),
            stall.map_or(0.0, |(_, at)| at.saturating_sub(run.from).as_secs_f64()),
            duration.as_secs_f64()
        ),
    );
    line("stall at the cut-over", &ms(at_cut_over.map(|(length, _)| length)));
    line("errors for the application", &report.errors().len().to_string());
    line("altergeist's peak memory", &format!("{:.1} MiB", run.peak_kib as f64 / 1024.0));
}

fn line(what: &str, value: &str) {
    println!("  {what:<28}{value}");
}

fn prove(server: &Server, run: &Run, report: &Report) -> Result<(), String> {
    if !run.status.success() {
        return Err(format!("altergeist ended with {}", run.status));
    }
    if let Some(first) = report.errors().first() {
        return Err(format!("the application got an error: {first}"));
    }
    let url = server.url(DATABASE);
    let proof = report.prove(&url)?;
    must_have_changed(server)?;
    line(
        "proven equal",
        &format!("{} rows, {} of them written meanwhile", proof.rows, proof.touched),
    );
    Ok(())
}

fn must_have_changed(server: &Server) -> Result<(), String> {
    let sql = "SELECT data_type FROM information_schema.columns WHERE table_name = 'orders' AND \
               table_schema IN ('public', 'app') AND column_name IN ('k', 'note') ORDER BY \
               column_name";
    let types: Vec<_> = server
        .query(DATABASE, sql)
        .map_err(|e| e.to_string())?
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    match types.first().map(String::as_str) {
        Some("bigint") if types.len() == 2 => Ok(()),
        _ => Err(format!("the table is not altered: k and note are {types:?}")),
    }
}
