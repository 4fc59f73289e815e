//! What `plan` prints for people, pull requests and pipelines, and when it fails a pipeline.

use altergeist_integration::altergeist_process::{Ended, command};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use std::fs;

every_server!(a_file_of_migrations_is_judged_against_the_tables);

fn a_file_of_migrations_is_judged_against_the_tables(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    for sql in [
        "CREATE TABLE users (id int PRIMARY KEY, mail varchar(40), age int)",
        "INSERT INTO users VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 3)",
    ] {
        server.execute(DATABASE, sql).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (file, baseline) = (path("1.sql"), path("accepted"));
    let text = [
        "-- one; two",
        "CREATE TABLE fresh (id int PRIMARY KEY);",
        "ALTER TABLE fresh ADD COLUMN a int;",
        "ALTER TABLE users ADD CONSTRAINT u UNIQUE (mail);",
        "",
        "ALTER TABLE users ADD COLUMN note varchar(9) DEFAULT ';';",
        "ALTER TABLE nowhere ADD COLUMN a int;",
        "",
    ]
    .join("\n");
    fs::write(&file, &text).unwrap();
    let judge = |more: &[&str]| -> Ended {
        command(&[&["plan", "--url", &url, "--file", &file], more].concat())
    };

    let said = judge(&["--format", "json"]).must_be(3).output;
    let plans: Vec<serde_json::Value> =
        said.lines().filter(|line| !line.is_empty()).map(json).collect();
    let places: Vec<_> = plans.iter().map(|plan| plan["place"]["line"].as_u64()).collect();
    assert_eq!(places, [Some(4), Some(6), Some(7)], "{said}");
    let first = &plans[0]["findings"][0];
    assert_eq!(first["severity"], "error", "{said}");
    assert_eq!(plans[1]["verdict"].as_object().map(|it| it.contains_key("native")), Some(true));
    assert!(plans[2]["findings"].to_string().contains("nowhere"), "{said}");
    assert_eq!(plans[0]["fingerprint"].as_str().map(str::len), Some(32));
    assert_ne!(plans[0]["fingerprint"], plans[1]["fingerprint"]);

    let annotations = judge(&["--format", "github"]).must_be(3).output;
    assert!(annotations.contains(&format!("::error file={file},line=4,title=")), "{annotations}");
    let sarif = json(&judge(&["--format", "sarif"]).must_be(3).output);
    assert_eq!(sarif["version"], "2.1.0");
    let markdown = judge(&["--format", "markdown"]).must_be(3).output;
    assert!(markdown.contains("| error | `"), "{markdown}");

    judge(&["--write-baseline", &baseline]).must_be(0);
    judge(&["--baseline", &baseline, "--fail-on", "note"]).must_be(0);
    fs::write(&file, format!("{text}ALTER TABLE users MODIFY_NOTHING;\n")).unwrap();
    judge(&["--baseline", &baseline]).must_be(3);
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
}
