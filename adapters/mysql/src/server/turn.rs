//! The turn on a server: a named lock on a session of its own. The session reports itself, so the
//! server soon notices if its process is gone.

use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::session::{Session, text};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Result, Target, Turn, Turns};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The server ends the session if it hears nothing for so long.
const IDLE: Duration = Duration::from_secs(60);
/// How often the session reports itself.
const PING: Duration = Duration::from_secs(15);

impl Turns for MySql {
    async fn take_turn(target: &Target) -> Result<Turn> {
        let access = Access::read(&target.url, &target.passwords)?;
        let attempted = || format!("take the turn on {}", access.address);
        let mut session = Session::bare(&access).await?;
        let idle = sql::session::idle_sessions_end(IDLE);
        session.execute(&idle).await.doing_in_catalogue(attempted)?;
        let take = sql::session::get_lock(sql::turn::LOCK, 0);
        if session.text(&take).await.doing_in_catalogue(attempted)? == "1" {
            let task = tokio::spawn(keep_alive(session));
            return Ok(Turn::Ours(Box::new(Held(task))));
        }
        let holder = sql::session::lock_holder(sql::turn::LOCK);
        let holder = session.text(&holder).await.doing_in_catalogue(attempted)?;
        Ok(Turn::HeldBy(describe(&mut session, &holder).await))
    }
}

async fn describe(session: &mut Session, holder: &str) -> String {
    let Ok(id) = holder.parse() else { return "a session that has just ended".into() };
    match session.row(&sql::session::who_is(id)).await {
        Ok(Some(row)) => format!("{}@{} (connection {id})", text(&row[0]), text(&row[1])),
        _ => format!("connection {id}"),
    }
}

/// The task that holds the session.
struct Held(JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep_alive(mut session: Session) {
    while session.execute(sql::turn::PING).await.is_ok() {
        tokio::time::sleep(PING).await;
    }
    tracing::warn!("the connection with the turn on the server is lost; another run may begin");
}
