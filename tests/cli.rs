//! The command line without a server: what scripts and people meet first.

use std::process::{Command, Output};

fn altergeist(words: &[&str]) -> Output {
    let folder = std::env::temp_dir().join(format!("altergeist-cli-test-{}", std::process::id()));
    Command::new(env!("CARGO_BIN_EXE_altergeist"))
        .args(words)
        .env_remove("ALTERGEIST_URL")
        .env("XDG_RUNTIME_DIR", folder)
        .output()
        .expect("the binary can be run")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn wrong_usage_exits_2_and_says_what_is_missing() {
    let output = altergeist(&["run", "--table", "t"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("--url"), "{}", said(&output));
}

#[test]
fn a_number_out_of_range_is_wrong_usage() {
    let run = ["run", "--url", "postgres://h/d", "--table", "t", "--alter", "ADD c int"];
    assert_eq!(code(&altergeist(&[&run[..], &["--workers", "0"]].concat())), 2);
    assert_eq!(code(&altergeist(&[&run[..], &["--chunk-time", "5"]].concat())), 2);
    assert_eq!(code(&altergeist(&[&run[..], &["--rename", "nothing"]].concat())), 2);
}

#[test]
fn a_url_of_no_engine_exits_2_and_shows_no_password() {
    let output = altergeist(&[
        "plan",
        "--url",
        "oracle://me:secret@h/d",
        "--table",
        "t",
        "--alter",
        "ADD c int",
    ]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("postgres://"), "{}", said(&output));
    assert!(!said(&output).contains("secret"), "{}", said(&output));
}

#[test]
fn a_server_that_is_not_there_is_said_by_name_and_shows_no_password() {
    for scheme in ["postgres", "mysql"] {
        let url = format!("{scheme}://me:secret@127.0.0.1:1/d");
        let output = altergeist(&["plan", "--url", &url, "--table", "t", "--alter", "ADD c int"]);
        assert_eq!(code(&output), 1, "{}", said(&output));
        assert!(said(&output).contains("127.0.0.1:1"), "{}", said(&output));
        assert!(!said(&output).contains("secret"), "{}", said(&output));
    }
}

#[test]
fn ctl_says_where_it_looked_when_no_run_listens() {
    let output = altergeist(&["ctl", "status"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("--socket"), "{}", said(&output));
}

#[test]
fn help_lists_the_exit_codes() {
    let output = altergeist(&["--help"]);
    assert_eq!(code(&output), 0);
    let words: Vec<String> = said(&output).split_whitespace().map(str::to_owned).collect();
    for code in [
        "3 refused by the plan",
        "6 another run holds the table",
        "8 the outcome of the swap is unknown",
    ] {
        assert!(words.join(" ").contains(code), "{code} is missing in {}", said(&output));
    }
}

#[test]
fn a_file_at_the_socket_s_path_is_kept_and_wrong_usage() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let file = folder.path().join("precious");
    std::fs::write(&file, "precious").expect("a file can be written");
    let missing = folder.path().join("nowhere").join("socket");
    for (path, words) in [(&file, "no socket"), (&missing, "nowhere")] {
        let path = path.to_str().expect("the path is text");
        let run = [
            "run",
            "--url",
            "postgres://127.0.0.1:1/d",
            "--table",
            "t",
            "--alter",
            "ADD c int",
            "--socket",
            path,
        ];
        let output = altergeist(&run);
        assert_eq!(code(&output), 2, "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
    assert_eq!(std::fs::read_to_string(&file).expect("the file is still there"), "precious");
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn a_file_of_statements_needs_no_table_and_no_clauses() {
    let words = ["plan", "--url", "postgres://h/d", "--file", "no/such/file.sql"];
    let output = altergeist(&words);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("no/such/file.sql cannot be read"), "{}", said(&output));
    assert_eq!(code(&altergeist(&[&words[..], &["--table", "t"]].concat())), 2);
}

#[test]
fn a_file_gives_flags_and_a_flag_wins() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join("shop.toml");
    let file = "url = 'postgres://me:hush@127.0.0.1:1/d'\ntable = 't'\nalter = 'ADD c int'\n\
                workers = 8\n";
    std::fs::write(&path, file).expect("a file can be written");
    let config = ["--config", path.to_str().expect("the path is text")];
    let plan = altergeist(&[&["plan"], &config[..]].concat());
    assert_eq!(code(&plan), 1, "the server is not there: {}", said(&plan));
    assert!(said(&plan).contains("127.0.0.1:1"), "{}", said(&plan));
    let words = ["config", "show", "--config", config[1], "--workers", "2"];
    let shown = altergeist(&words);
    assert_eq!(code(&shown), 0, "{}", said(&shown));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("workers = 2"), "{}", said(&shown));
    assert!(!said(&shown).contains("hush"), "{}", said(&shown));
    std::fs::write(&path, "worker = 8").expect("a file can be written");
    let wrong = altergeist(&[&["plan"], &config[..]].concat());
    assert_eq!(code(&wrong), 2);
    assert!(said(&wrong).contains("'worker' is no flag. The nearest is 'workers'"));
    std::fs::write(&path, "workers = 0").expect("a file can be written");
    let run = ["run", "--url", "postgres://h/d", "--table", "t", "--alter", ""];
    let wrong = altergeist(&[&run[..], &config].concat());
    assert_eq!(code(&wrong), 2);
    assert!(said(&wrong).contains("shop.toml sets workers"), "{}", said(&wrong));
}

#[test]
fn people_are_spoken_to_on_stderr_in_the_form_of_the_log() {
    let words = ["status", "--url", "mysql://me@127.0.0.1:1/d", "--table", "t"];
    let plain = altergeist(&words);
    assert_eq!(code(&plain), 1);
    assert!(plain.stdout.is_empty());
    assert!(plain.stderr.starts_with(b"altergeist: could not connect"), "{}", said(&plain));
    let json = altergeist(&[&words[..], &["--log", "json"]].concat());
    assert!(json.stdout.is_empty());
    let lines = String::from_utf8_lossy(&json.stderr).into_owned();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("every line is JSON");
        assert!(line["message"].as_str().is_some_and(|text| text.contains("127.0.0.1:1")));
    }
}

/// `altergeist plan … | head`: the reader leaves first.
#[test]
fn a_reader_who_leaves_ends_no_command_in_a_panic() {
    for words in [
        &["completions", "bash"][..],
        &["capabilities"],
        &["capabilities", "--json"],
        &["config", "show"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        drop(reader);
        let closed = writer.try_clone().expect("a pipe can be shared");
        let child = |stderr: std::process::Stdio, stdout: std::process::Stdio| {
            Command::new(env!("CARGO_BIN_EXE_altergeist"))
                .args(words)
                .stdout(stdout)
                .stderr(stderr)
                .spawn()
                .expect("the binary can be run")
        };
        let output = child(std::process::Stdio::piped(), writer.into());
        let output = output.wait_with_output().expect("it ends");
        assert_eq!((code(&output), said(&output).as_str()), (0, ""), "{words:?}");
        let mut wrong = Command::new(env!("CARGO_BIN_EXE_altergeist"));
        wrong.args(["ctl", "--socket", "/no/where", "status"]).stderr(closed);
        assert_eq!(wrong.status().expect("it ends").code(), Some(1), "a closed stderr");
    }
}
