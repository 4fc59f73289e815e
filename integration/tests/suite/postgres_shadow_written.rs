//! Somebody else writes to the shadow: a job that cleans up every table it finds. That hinders
//! nobody, and is noticed.

use altergeist_integration::altergeist_process::{command, start};
use altergeist_integration::every_postgres;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

every_postgres!(
    a_shadow_that_somebody_else_wrote_to_is_copied_again,
    a_write_that_is_undone_is_no_alarm
);

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, n int);
    INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 300) AS i";

fn rows(server: &Server) -> Option<String> {
    server.query(DATABASE, "SELECT count(*)::text FROM t").unwrap()[0][0].clone()
}

fn a_shadow_that_somebody_else_wrote_to_is_copied_again(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, TABLE).unwrap();
    let url = server.url(DATABASE);
    let writes = [
        "DELETE FROM ag_shadow_public.t WHERE id = 7",
        "UPDATE ag_shadow_public.t SET v = '' WHERE id = 7",
        "TRUNCATE ag_shadow_public.t",
        "SET session_replication_role = replica; DELETE FROM ag_shadow_public.t WHERE id = 7",
    ];
    for (number, write) in writes.into_iter().enumerate() {
        let alter = format!("ADD COLUMN c{number} int DEFAULT 1");
        let mut running = start(&url, "t", &alter, &["--strategy", "copy", "--postpone-cut-over"]);
        running.wait_until(|status| status["phase"] == "waiting");
        server.execute(DATABASE, write).unwrap();
        running.ask("cut-over");
        running
            .wait()
            .must_be(0)
            .must_say(&["another session wrote to its shadow", "copies the table again"]);
        assert_eq!(rows(&server).as_deref(), Some("300"), "{write}");
        let lost = "SELECT count(*)::text FROM ag_old_public.t o FULL JOIN t n USING (id) WHERE \
                    o.v IS DISTINCT FROM n.v";
        assert_eq!(server.query(DATABASE, lost).unwrap(), [[Some("0".to_owned())]], "{write}");
        command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
        let left = "SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^ag_'";
        assert!(server.query(DATABASE, left).unwrap().is_empty(), "{write}");
    }
}

fn a_write_that_is_undone_is_no_alarm(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    server.execute(DATABASE, TABLE).unwrap();
    let url = server.url(DATABASE);
    let mut running =
        start(&url, "t", "ADD COLUMN c int", &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    server.execute(DATABASE, "BEGIN; DELETE FROM ag_shadow_public.t; ROLLBACK").unwrap();
    server
        .execute(DATABASE, "UPDATE t SET n = n + 1 WHERE id < 50; DELETE FROM t WHERE id = 300")
        .unwrap();
    running.ask("cut-over");
    let ended = running.wait().must_be(0);
    assert!(!ended.output.contains("copies the table again"), "it said:\n{}", ended.output);
    assert_eq!(rows(&server).as_deref(), Some("299"));
}
