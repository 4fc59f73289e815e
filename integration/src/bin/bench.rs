//! `make bench`: the same change by altergeist, by the server and by the peers that are installed,
//! in turn.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use altergeist_integration::bench::competitor::{Competitor, Run};
use altergeist_integration::bench::load::{Load, Written};
use altergeist_integration::bench::plot;
use altergeist_integration::bench::refresh;
use altergeist_integration::bench::setup::Setup;
use altergeist_integration::bench::shape::Shape;
use altergeist_integration::bench::summary::{self, Latency, PhaseLatency, Sample};
use altergeist_integration::bench::way_back;
use altergeist_integration::servers::Flavour;

const USAGE: &str = "usage: bench [--short] [--rows N] [--rounds N] [--writes N] [--json FILE] \
                     [--plots FOLDER] [--shape plain|uuid|composite|wide] [--hot] [--buffer MIB] \
                     [--but CONTENDER]... [--only idle|load|saturation|refresh|back] \
                     [mysql|mariadb|postgres15|postgres18]...";

const DATABASE: &str = "bench";

/// How many rows the short form has, so that it ends within ten minutes with all the peers.
const SHORT_ROWS: u64 = 250_000;

/// How long the application writes on its own before a run, and after it.
const BEFORE: Duration = Duration::from_secs(6);
const AFTER: Duration = Duration::from_secs(2);

/// A competitor that needs longer than this for a million rows is given up.
const PATIENCE_PER_MILLION: Duration = Duration::from_secs(120);

/// The pieces of which a plot is made.
const TICK: Duration = Duration::from_millis(500);

/// What goes on while the table is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    /// Nobody writes.
    Idle,
    /// Writes at a fixed rate.
    Load,
    /// As many writes as eight connections get done.
    Saturation,
    /// A fifth of the rows is changed when the copy is complete.
    Refresh,
    /// Writes at a fixed rate, before the swap and in the reversible phase after it.
    Back,
}

impl Scenario {
    const ALL: [Self; 5] = [Self::Idle, Self::Load, Self::Saturation, Self::Refresh, Self::Back];

    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Load => "load",
            Self::Saturation => "saturation",
            Self::Refresh => "refresh",
            Self::Back => "back",
        }
    }
}

struct Options {
    rows: u64,
    shape: Shape,
    /// What the server keeps of its tables in memory, in MiB.
    buffer: u32,
    scenarios: Vec<Scenario>,
    rounds: u32,
    writes: u32,
    /// Whether half of the writes go to a few rows.
    hot: bool,
    json: Option<String>,
    plots: Option<PathBuf>,
    /// Contenders left out, by name.
    but: Vec<String>,
    flavours: Vec<Flavour>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        rows: 1_000_000,
        shape: Shape::Plain,
        buffer: 4096,
        scenarios: Scenario::ALL.to_vec(),
        rounds: 3,
        writes: 500,
        hot: false,
        json: None,
        plots: None,
        but: Vec::new(),
        flavours: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let number =
            |text: String| text.parse::<u32>().map_err(|_| format!("{text} is not a number"));
        match word.as_str() {
            "--short" => {
                (options.rows, options.rounds) = (SHORT_ROWS, 1);
                options.flavours.extend([Flavour::MySql97, Flavour::Postgres18]);
            }
            "--rows" => options.rows = number(value()?)?.into(),
            "--rounds" => options.rounds = number(value()?)?,
            "--writes" => options.writes = number(value()?)?,
            "--buffer" => options.buffer = number(value()?)?,
            "--hot" => options.hot = true,
            "--shape" => {
                let name = value()?;
                options.shape = Shape::named(&name).ok_or(format!("there is no shape {name}"))?;
            }
            "--only" => {
                let name = value()?;
                options.scenarios.retain(|scenario| scenario.name() == name);
            }
            "--plots" => options.plots = Some(value()?.into()),
            "--but" => options.but.push(value()?),
            "--json" => options.json = Some(value()?),
            name => options
                .flavours
                .push(Flavour::named(name).ok_or(format!("there is no server {name}"))?),
        }
    }
    if options.flavours.is_empty() {
        options.flavours = vec![Flavour::MySql97, Flavour::MariaDb1011, Flavour::Postgres18];
    }
    Ok(options)
}

fn measure(options: &Options) -> Result<(), String> {
    let mut all = Vec::new();
    for flavour in &options.flavours {
        let setup = Setup::open(*flavour, options.shape, options.rows, options.buffer)
            .ok_or("the server is not installed")?;
        for &scenario in &options.scenarios {
            let shape = options.shape.name();
            println!("\n{}, {} rows, {shape}, {}", flavour.version(), setup.rows, scenario.name());
            all.push(match scenario {
                Scenario::Refresh => refreshed(&setup, options)?,
                Scenario::Back => put_back(&setup, options)?,
                _ => contest(&setup, options, scenario)?,
            });
        }
    }
    match &options.json {
        None => Ok(()),
        Some(path) => std::fs::write(path, format!("{:#}\n", serde_json::Value::from(all)))
            .map_err(|error| format!("{path} cannot be written: {error}")),
    }
}

fn contest(
    setup: &Setup,
    options: &Options,
    scenario: Scenario,
) -> Result<serde_json::Value, String> {
    let samples = rounds(setup, options, scenario)?;
    println!("{}{}", summary::table(&samples), summary::phases(&samples));
    if let Some(folder) = &options.plots {
        let title = format!("{}, {}", setup.flavour.version(), scenario.name());
        plot::draw(folder, &title, &samples)
            .map_err(|error| format!("no plot could be drawn: {error}"))?;
    }
    Ok(summary::json(
        &setup.flavour.version(),
        scenario.name(),
        options.shape.name(),
        setup.rows,
        &samples,
    ))
}

fn refreshed(setup: &Setup, options: &Options) -> Result<serde_json::Value, String> {
    let mut rates = Vec::new();
    for _ in 0..options.rounds {
        setup
            .make(DATABASE)
            .map_err(|failure| format!("the table could not be made: {failure}"))?;
        let rate = refresh::rate(setup, DATABASE);
        setup.drop(DATABASE).map_err(|failure| failure.to_string())?;
        rates.push(rate?);
    }
    println!(
        "  {} changed rows a second",
        rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(", ")
    );
    Ok(serde_json::json!({
        "server": setup.flavour.version(),
        "scenario": "refresh",
        "shape": options.shape.name(),
        "rows": setup.rows,
        "refreshed_per_second": rates,
    }))
}

fn put_back(setup: &Setup, options: &Options) -> Result<serde_json::Value, String> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        setup
            .make(DATABASE)
            .map_err(|failure| format!("the table could not be made: {failure}"))?;
        let round = way_back::measure(setup, DATABASE, options.writes);
        setup.drop(DATABASE).map_err(|failure| failure.to_string())?;
        let round = round?;
        println!("  {}", round.line());
        rounds.push(round.json());
    }
    Ok(serde_json::json!({
        "server": setup.flavour.version(),
        "scenario": "back",
        "shape": options.shape.name(),
        "rows": setup.rows,
        "rounds": rounds,
    }))
}

/// Each competitor in turn, round after round, so that a machine that slows down slows all of them.
fn rounds(setup: &Setup, options: &Options, scenario: Scenario) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for round in 1..=options.rounds {
        let is_loaded = matches!(scenario, Scenario::Load | Scenario::Saturation);
        for competitor in Competitor::present(setup, is_loaded) {
            if options.but.iter().any(|name| name == competitor.name()) {
                continue;
            }
            match once(setup, competitor, options, scenario) {
                Ok(sample) => samples.push(sample),
                Err(why) => eprintln!("  round {round}, {}: {why}", competitor.name()),
            }
        }
    }
    match samples.iter().any(|sample| sample.competitor == Competitor::Altergeist) {
        true => Ok(samples),
        false => Err("no run of altergeist came to its end".to_owned()),
    }
}

fn once(
    setup: &Setup,
    competitor: Competitor,
    options: &Options,
    scenario: Scenario,
) -> Result<Sample, String> {
    setup.make(DATABASE).map_err(|failure| format!("the table could not be made: {failure}"))?;
    let sample = match scenario {
        Scenario::Load => under_load(setup, competitor, Some(options.writes), options.hot),
        Scenario::Saturation => under_load(setup, competitor, None, options.hot),
        Scenario::Idle | Scenario::Refresh | Scenario::Back => competitor
            .change(setup, DATABASE, patience(setup))
            .map(|run| Sample { competitor, run, load: None }),
    };
    setup.drop(DATABASE).map_err(|failure| failure.to_string())?;
    sample
}

fn patience(setup: &Setup) -> Duration {
    PATIENCE_PER_MILLION.mul_f64(setup.rows as f64 / 1e6).max(PATIENCE_PER_MILLION)
}

fn under_load(
    setup: &Setup,
    competitor: Competitor,
    writes: Option<u32>,
    hot: bool,
) -> Result<Sample, String> {
    let load = Load::start(setup, DATABASE, writes, hot);
    std::thread::sleep(BEFORE);
    let began = load.clock();
    let run = competitor.change(setup, DATABASE, patience(setup));
    let ended = load.clock();
    std::thread::sleep(AFTER);
    let (written, run) = (load.stop()?, run?);
    let around = ended.saturating_sub(BEFORE).max(began);
    let latency = Latency {
        before: written.percentile(99.0, Duration::from_secs(1), began),
        during: written.percentile(99.0, began, ended),
        phases: by_phase(&written, &run, began),
        gap: written.gap(around, ended + AFTER / 2),
        rate: written.rate(began, ended),
        rate_before: written.rate(Duration::from_secs(1), began),
        began,
        course: written.course(TICK),
    };
    Ok(Sample { competitor, run, load: Some(latency) })
}

/// What the application felt in each phase of a run that began at this time of the load's clock.
fn by_phase(written: &Written, run: &Run, began: Duration) -> Vec<PhaseLatency> {
    let spans =
        run.phases.iter().map(|phase| (began + phase.began, began + phase.began + phase.took));
    spans
        .map(|(from, to)| PhaseLatency {
            p99: written.percentile(99.0, from, to),
            rate: written.rate(from, to),
        })
        .collect()
}
