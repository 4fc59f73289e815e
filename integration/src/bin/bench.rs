//! `make bench`: the same change by altergeist, by the server and by the peers that are installed, in turn.

use std::process::ExitCode;
use std::time::Duration;

use altergeist_integration::bench::contender::Contender;
use altergeist_integration::bench::load::Load;
use altergeist_integration::bench::scene::Scene;
use altergeist_integration::bench::summary::{self, Felt, Sample};
use altergeist_integration::servers::Flavour;

const USAGE: &str =
    "usage: bench [--rows N] [--rounds N] [--writes N] [--json FILE] [mysql|mariadb|postgres15|postgres18]...";

/// How long the application writes on its own before a run, and after it.
const BEFORE: Duration = Duration::from_secs(6);
const AFTER: Duration = Duration::from_secs(2);

struct Options {
    rows: u64,
    rounds: u32,
    writes: u32,
    json: Option<String>,
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
    let mut options = Options { rows: 1_000_000, rounds: 3, writes: 500, json: None, flavours: Vec::new() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let number = |text: String| text.parse::<u32>().map_err(|_| format!("{text} is not a number"));
        match word.as_str() {
            "--rows" => options.rows = number(value()?)?.into(),
            "--rounds" => options.rounds = number(value()?)?,
            "--writes" => options.writes = number(value()?)?,
            "--json" => options.json = Some(value()?),
            name => options.flavours.push(Flavour::named(name).ok_or(format!("there is no server {name}"))?),
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
        let scene = Scene::open(*flavour, options.rows).ok_or("the server is not installed")?;
        for (scenario, writes) in [("idle", None), ("under load", Some(options.writes))] {
            if writes == Some(0) {
                continue;
            }
            println!("\n{}, {} rows, {scenario}{}", flavour.version(), options.rows, rate(writes));
            let samples = rounds(&scene, options, writes)?;
            println!("{}", summary::table(&samples));
            all.push(summary::json(&flavour.version(), scenario, options.rows, &samples));
        }
    }
    match &options.json {
        None => Ok(()),
        Some(path) => std::fs::write(path, format!("{:#}\n", serde_json::Value::from(all)))
            .map_err(|error| format!("{path} cannot be written: {error}")),
    }
}

fn rate(writes: Option<u32>) -> String {
    writes.map_or_else(String::new, |writes| format!(" of {writes} writes a second"))
}

/// Each contender in turn, round after round, so that a machine that slows down slows all of them.
fn rounds(scene: &Scene, options: &Options, writes: Option<u32>) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for round in 1..=options.rounds {
        for contender in Contender::present(scene) {
            match once(scene, contender, writes) {
                Ok(sample) => samples.push(sample),
                Err(why) => eprintln!("  round {round}, {}: {why}", contender.name()),
            }
        }
    }
    match samples.iter().any(|sample| sample.contender == Contender::Altergeist) {
        true => Ok(samples),
        false => Err("no run of altergeist came to its end".to_owned()),
    }
}

fn once(scene: &Scene, contender: Contender, writes: Option<u32>) -> Result<Sample, String> {
    const DATABASE: &str = "bench";
    scene.make(DATABASE).map_err(|failure| format!("the table could not be made: {failure}"))?;
    let sample = match writes {
        None => contender.change(scene, DATABASE).map(|run| Sample { contender, run, load: None }),
        Some(writes) => under_load(scene, contender, DATABASE, writes),
    };
    scene.drop(DATABASE).map_err(|failure| failure.to_string())?;
    sample
}

fn under_load(scene: &Scene, contender: Contender, database: &str, writes: u32) -> Result<Sample, String> {
    let load = Load::start(&scene.server.url(database), scene.rows, writes);
    std::thread::sleep(BEFORE);
    let began = load.clock();
    let run = contender.change(scene, database);
    let ended = load.clock();
    std::thread::sleep(AFTER);
    let written = load.stop()?;
    let around = ended.saturating_sub(BEFORE).max(began);
    let felt = Felt {
        before: written.percentile(99.0, Duration::from_secs(1), began),
        during: written.percentile(99.0, began, ended),
        gap: written.gap(around, ended + AFTER / 2),
        rate: written.rate(began, ended),
    };
    Ok(Sample { contender, run: run?, load: Some(felt) })
}
