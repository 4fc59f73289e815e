//! The ways into MySQL and MariaDB: with TLS and without, by each of the servers' ways to prove a
//! password, by a socket. Each is asked for a plan, which needs sessions, and for a whole run,
//! which reads the log over the same way.

use std::path::Path;
use std::process::Command;

use altergeist_integration::altergeist_process::{Ended, command, run};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::Table;

use Flavour::{MariaDb1011, MySql97};

fn plan(url: &str) -> Ended {
    command(&[
        "plan",
        "--url",
        url,
        "--table",
        "orders",
        "--alter",
        "ENGINE=InnoDB",
        "--strategy",
        "copy",
    ])
}

fn with_user(server: &Server, how: &str) {
    Table::load(&server.url(DATABASE), "orders", 300).unwrap();
    for statement in
        [format!("CREATE USER me@'%' IDENTIFIED {how}"), "GRANT ALL ON *.* TO me@'%'".into()]
    {
        server
            .execute(DATABASE, &statement)
            .unwrap_or_else(|failure| panic!("{statement}: {failure}"));
    }
}

fn url(server: &Server, host: &str, parameters: &str) -> String {
    format!("mysql://me:secret@{host}:{}/{DATABASE}{parameters}", server.port())
}

/// A certificate for 127.0.0.1 by an authority of its own; None where there is no openssl.
fn certificate(folder: &Path) -> Option<()> {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .ok()
            .filter(|output| output.status.success())
    };
    std::fs::write(
        folder.join("names"),
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out \
         ca.pem",
    )?;
    openssl("req -newkey rsa:2048 -nodes -subj /CN=server -keyout key.pem -out request.pem")?;
    openssl(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile \
         names -out cert.pem",
    )?;
    Some(())
}

fn the_wire_is_protected_as_the_url_says(flavour: Flavour, how: &str) {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = certificate(folder.path()) else {
        println!("SKIP: there is no openssl");
        return;
    };
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let Some(server) =
        Server::start(flavour, &[("ssl-ca", &ca), ("ssl-cert", &cert), ("ssl-key", &key)])
    else {
        return;
    };
    with_user(&server, &format!("{how} REQUIRE SSL"));
    for mode in ["REQUIRED", "PREFERRED", "VERIFY_CA", "VERIFY_IDENTITY"] {
        plan(&url(&server, "127.0.0.1", &format!("?ssl-mode={mode}&ssl-ca={ca}"))).must_be(0);
    }
    // Without TLS the server refuses; a certificate whose authority nobody vouches for, or of
    // another name, is refused by us.
    for (host, parameters) in [
        ("127.0.0.1", "?ssl-mode=DISABLED"),
        ("127.0.0.1", "?ssl-mode=VERIFY_IDENTITY"),
        ("localhost", &*format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}")),
    ] {
        let ended = plan(&url(&server, host, parameters));
        assert!(!ended.output.contains("secret"), "{parameters}: {ended:?}");
        ended.must_be(1);
    }
    let protected = url(&server, "127.0.0.1", &format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"));
    run(&protected, "orders", "MODIFY k bigint NOT NULL", &[]).must_be(0);
}

#[test]
fn mysql_the_wire_is_protected_as_the_url_says() {
    the_wire_is_protected_as_the_url_says(MySql97, "WITH caching_sha2_password BY 'secret'");
}

#[test]
fn mariadb_the_wire_is_protected_as_the_url_says() {
    the_wire_is_protected_as_the_url_says(MariaDb1011, "BY 'secret'");
}

/// The first time the server has no digest of the password and wants it whole: encrypted with its
/// key, as there is no TLS.
#[test]
fn mysql_a_password_is_proven_without_tls() {
    let Some(server) = Server::start(MySql97, &[]) else { return };
    with_user(&server, "WITH caching_sha2_password BY 'secret'");
    let bare = url(&server, "127.0.0.1", "?ssl-mode=DISABLED");
    plan(&bare).must_be(0);
    run(&bare, "orders", "MODIFY k bigint NOT NULL", &[]).must_be(0);
    plan(&bare.replace("secret", "guess")).must_say(&["denied"]);
}

#[test]
fn mariadb_a_password_is_proven_without_tls() {
    // Since 11.4 it makes a certificate of its own.
    let Some(server) = Server::start(MariaDb1011, &[("skip-ssl", "")]) else { return };
    with_user(&server, "VIA mysql_native_password USING PASSWORD('secret')");
    let bare = url(&server, "127.0.0.1", "?ssl-mode=DISABLED");
    run(&bare, "orders", "MODIFY k bigint NOT NULL", &[]).must_be(0);
    plan(&bare.replace("secret", "guess")).must_say(&["denied"]);
    let asks = url(&server, "127.0.0.1", "?ssl-mode=REQUIRED");
    plan(&asks).must_say(&["offers no TLS"]);
}

fn a_socket_is_a_way_in(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    Table::load(&server.url(DATABASE), "orders", 300).unwrap();
    let socket = server.socket_dir().join("mysql.sock");
    let url = format!("mysql://root@localhost/{DATABASE}?socket={}", socket.display());
    run(&url, "orders", "MODIFY k bigint NOT NULL", &[]).must_be(0);
}

#[test]
fn mysql_a_socket_is_a_way_in() {
    a_socket_is_a_way_in(MySql97);
}

#[test]
fn mariadb_a_socket_is_a_way_in() {
    a_socket_is_a_way_in(MariaDb1011);
}
