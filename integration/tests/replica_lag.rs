//! A replica that falls behind holds up the copy, and nothing else; one that catches up lets it go on.

use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::tool;
use altergeist_integration::workload::Table;

fn reason(status: &serde_json::Value) -> &str {
    status["throttle_reason"].as_str().unwrap_or_default()
}

fn a_replica_behind_throttles_and_is_named_until_it_has_caught_up(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 20_000).expect("the table can be filled");
    let replica = primary.start_replica();
    replica.pause_replay();
    let more = ["--replica", &replica.url(DATABASE), "--max-lag", "1s", "--chunk-rows", "500"];
    let mut run = tool::start(&primary.url(DATABASE), "orders", tool::widening(flavour), &more);
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert!(reason(&throttled).contains(&replica.port().to_string()), "{}", reason(&throttled));
    replica.resume_replay();
    run.wait().must_be(0);
}

fn a_replica_that_does_not_answer_counts_as_behind(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 2_000).expect("the table can be filled");
    let mut replica = primary.start_replica();
    let url = replica.url(DATABASE);
    replica.stop();
    let mut run = tool::start(&primary.url(DATABASE), "orders", tool::widening(flavour), &["--replica", &url]);
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert_eq!(throttled["rows_copied"], 0);
    run.ask("panic");
    run.wait().must_be(5);
}

every_server!(
    a_replica_behind_throttles_and_is_named_until_it_has_caught_up,
    a_replica_that_does_not_answer_counts_as_behind,
);
