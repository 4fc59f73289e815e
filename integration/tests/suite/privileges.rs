//! The grants that docs/privileges.md names are enough, given to the user or by a role, and each that is missing is
//! refused by name before anything is begun.

use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::tool::{command, run, widening};
use altergeist_integration::workload::Table;

const ON_SCHEMA: [&str; 10] =
    ["ALTER", "CREATE", "DELETE", "DROP", "INDEX", "INSERT", "LOCK TABLES", "SELECT", "TRIGGER", "UPDATE"];

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
    let root = |sql: &str| server.execute("", sql).unwrap_or_else(|failure| panic!("{sql}: {failure}"));
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
        command(&["plan", "--url", &url, "--table", "orders", "--strategy", "copy", "--alter", alter])
    };
    plan("member").must_be(0);
    for (privileges, object) in [(&ON_SCHEMA[..], format!("{DATABASE}.*")), (everywhere, "*.*".to_owned())] {
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
    let trigger = "CREATE DEFINER = alone@'%' TRIGGER watch BEFORE UPDATE ON orders FOR EACH ROW SET @seen = NEW.id";
    server.execute(DATABASE, trigger).unwrap();
    run(&url("alone"), "orders", alter, &["--strategy", "copy"]).must_be(0);
    let triggers = server.query(DATABASE, "SHOW TRIGGERS LIKE 'orders'").unwrap();
    assert_eq!(triggers.len(), 1);
}
