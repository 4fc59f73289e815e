//! Starts a throwaway server by hand: `servers start mysql [name=value]…` prints its URL and runs
//! until Ctrl-C.

use std::process::ExitCode;

use altergeist_integration::servers::{DATABASE, Flavour, Server};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flavour = match arguments.as_slice() {
        [start, word, ..] if start == "start" => Flavour::named(word),
        _ => None,
    };
    let Some(flavour) = flavour else {
        eprintln!("usage: servers start postgres15|postgres18|mariadb|mysql [setting=value]…");
        return ExitCode::from(2);
    };
    let settings: Vec<(&str, &str)> =
        arguments[2..].iter().filter_map(|s| s.split_once('=')).collect();
    let Some(server) = Server::start(flavour, &settings) else {
        return ExitCode::FAILURE;
    };
    println!(
        "{}  ({}, sockets in {})",
        server.url(DATABASE),
        flavour.version(),
        server.socket_dir().display()
    );
    run_until_interrupted();
    drop(server);
    ExitCode::SUCCESS
}

fn run_until_interrupted() {
    altergeist_integration::session::block_on(async {
        tokio::signal::ctrl_c().await.expect("Ctrl-C can be listened for");
    });
}
