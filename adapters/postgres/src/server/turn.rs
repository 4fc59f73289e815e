//! The turn on a server: an advisory lock. Advisory locks are per database, so all runs take it in
//! the same one.

use crate::engine::Postgres;
use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::sql;
use altergeist_contract::{Error, Kind, Result, Target, Turn, Turns};
use std::time::Duration;

/// The database of the lock: every server has it, and usually every role may connect.
const DATABASE: &str = "postgres";
/// The number of the lock: "altergei" in ASCII.
const LOCK: i64 = 0x616c_7465_7267_6569;
/// The server ends the session if its client does not answer for so long.
const SILENCE: Duration = Duration::from_secs(20);

impl Turns for Postgres {
    async fn take_turn(target: &Target) -> Result<Turn> {
        let server = Server::reach(&target.url, &target.passwords).await?;
        let server = Server { database: DATABASE.into(), ..server };
        let attempted = || format!("take the turn on {}", server.name());
        let opened = server.open("altergeist", &sql::holder_settings(SILENCE)).await;
        let session = opened.map_err(|error| match error.kind {
            Kind::Fatal => Error::refused(
                attempted(),
                format!(
                    "{}. The turn is a lock in database {DATABASE}: let this role connect to it",
                    error.reason
                ),
            ),
            _ => error,
        })?;
        if session.one(sql::TRY_LOCK, &[&LOCK]).await.doing(attempted)?.get(0) {
            return Ok(Turn::Ours(Box::new(session)));
        }
        let who = session.query(sql::WHO_HOLDS, &[&LOCK]).await.doing(attempted)?;
        let who = who.first().map(|row| row.get(0));
        Ok(Turn::HeldBy(who.unwrap_or_else(|| "a session that has just ended".to_owned())))
    }
}
