//! The grants that docs/privileges.md names are enough, given to the user or by a role, and each
//! that is missing is refused by name before anything is begun.

use altergeist_integration::altergeist_process::{command, run, widening};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::Table;

const ON_SCHEMA: [&str; 10] = [
    "ALTER",
    "CREATE",
    "DELETE",
    "DROP",
    "INDEX",
    "INSERT",
    "LOCK TABLES",
    "SELECT",
    "TRIGGER",
    "UPDATE",
];

#[test]
fn mysql_the_documented_grants_are_enough_and_each_is_asked_for() {
    grants(Flavour::MySql97);
}

#[test]
fn mariadb_the_documented_grants_are_enough_and_each_is_asked_for() {
    grants(Flavour::MariaDb1011);
}

fn grants(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[("log_bin_trust_function_creators", "ON")]) else {
        return;
    };
    Table::load(&server.url(DATABASE), "orders", 300).unwrap();
    let is_mysql = flavour == Flavour::MySql97;
    let everywhere: &[&str] = match is_mysql {
        true => &["REPLICATION SLAVE", "REPLICATION CLIENT", "XA_RECOVER_ADMIN"],
        false => &["REPLICATION SLAVE", "REPLICATION CLIENT"],
    };
    let root =
        |sql: &str| server.execute("", sql).unwrap_or_else(|failure| panic!("{sql}: {failure}"));
    let give = |to: &str| {
        root(&format!("GRANT {} ON {DATABASE}.* TO {to}", ON_SCHEMA.join(", ")));
        root(&format!("GRANT {} ON *.* TO {to}", everywhere.join(", ")));
    };
    root("CREATE USER alone@'%'");
    give("alone@'%'");
    root("CREATE ROLE ops");
    give("ops");
    root("CREATE USER member@'%'");
    root("GRANT ops TO member@'%'");
    root(match is_mysql {
        true => "SET DEFAULT ROLE ops TO member@'%'",
        false => "SET DEFAULT ROLE ops FOR member@'%'",
    });

    let url = |user: &str| server.url(DATABASE).replace("root@", &format!("{user}@"));
    let alter = widening(flavour);
    let plan = |user: &str| {
        let url = url(user);
        command(&[
            "plan",
            "--url",
            &url,
            "--table",
            "orders",
            "--strategy",
            "copy",
            "--alter",
            alter,
        ])
    };
    plan("member").must_be(0);
    for (privileges, object) in
        [(&ON_SCHEMA[..], format!("{DATABASE}.*")), (everywhere, "*.*".to_owned())]
    {
        for privilege in privileges {
            let word = match (*privilege, is_mysql) {
                ("REPLICATION CLIENT", false) => "BINLOG MONITOR",
                _ => privilege,
            };
            root(&format!("REVOKE {privilege} ON {object} FROM alone@'%'"));
            plan("alone").must_be(3).must_say(&[word]);
            root(&format!("GRANT {privilege} ON {object} TO alone@'%'"));
        }
    }
    let trigger = "CREATE DEFINER = alone@'%' TRIGGER watch BEFORE UPDATE ON orders FOR EACH ROW \
                   SET @seen = NEW.id";
    server.execute(DATABASE, trigger).unwrap();
    run(&url("alone"), "orders", alter, &["--strategy", "copy"]).must_be(0);
    let triggers = server.query(DATABASE, "SHOW TRIGGERS LIKE 'orders'").unwrap();
    assert_eq!(triggers.len(), 1);
    let alone = url("alone");
    let on_orders = ["--url", &alone, "--table", "orders"];
    command(&[&["status"], &on_orders[..]].concat()).must_be(0);
    command(&[&["cleanup"], &on_orders[..], &["--drop-old"]].concat()).must_be(0);

    // A parent and a child in other schemas.
    for sql in [
        "CREATE DATABASE others",
        "CREATE TABLE others.parents (id INT PRIMARY KEY)",
        "INSERT INTO others.parents VALUES (1)",
    ] {
        root(sql);
    }
    let kids = "CREATE TABLE others.kids (id INT PRIMARY KEY, m INT, FOREIGN KEY (m) REFERENCES ";
    for sql in [
        "CREATE TABLE middle (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES \
         others.parents (id))",
        &format!("{kids}{DATABASE}.middle (id))"),
        "INSERT INTO middle VALUES (1, 1)",
        "INSERT INTO others.kids VALUES (1, 1)",
    ] {
        server.execute(DATABASE, sql).unwrap();
    }
    let on_middle =
        ["--url", &alone, "--table", "middle", "--strategy", "copy", "--alter", "ADD x INT"];
    let plan = || command(&[&["plan"], &on_middle[..]].concat());
    root("GRANT ALTER, LOCK TABLES ON others.* TO alone@'%'");
    plan().must_be(3).must_say(&["others.parents", "SELECT"]);
    root("GRANT SELECT, REFERENCES ON others.* TO alone@'%'");
    if is_mysql {
        plan().must_be(3).must_say(&["middle", "lacks REFERENCES"]);
        root(&format!("GRANT REFERENCES ON {DATABASE}.* TO alone@'%'"));
    }
    plan().must_be(0);
    // MariaDB shows a key of a table only to users with more than SELECT on it.
    root("REVOKE ALTER, REFERENCES, LOCK TABLES ON others.* FROM alone@'%'");
    match is_mysql {
        true => plan().must_be(3).must_say(&["others.kids", "lacks ALTER"]),
        false => plan().must_be(3).must_say(&["others.kids", "GRANT PROCESS"]),
    };
    root("GRANT ALTER, REFERENCES, LOCK TABLES ON others.* TO alone@'%'");
    plan().must_be(0).must_say(&["GRANT PROCESS"]);
    run(&alone, "middle", "ADD x INT", &["--strategy", "copy"]).must_be(0);

    // MySQL lets nobody but an administrator set how many warnings are kept.
    root("SET GLOBAL max_error_count = 0");
    let plan = command(&[
        "plan",
        "--url",
        &alone,
        "--table",
        "orders",
        "--strategy",
        "copy",
        "--alter",
        "DROP note",
    ]);
    match is_mysql {
        true => plan.must_be(3).must_say(&["SET GLOBAL max_error_count"]),
        false => plan.must_be(0),
    };
}
